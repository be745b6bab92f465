package host

import (
	"context"
	"strings"
	"testing"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

const shim = "#!/usr/bin/env bash\nset -e\nprogram=\"${0##*/}\"\nexport PYENV_ROOT=\"/py\"\nexec \"/py/libexec/pyenv\" exec \"$program\" \"$@\"\n"

func TestChoose(t *testing.T) {
	pyenv := map[string]string{
		"py/shims/python3": shim, "py/versions/3.11.7/bin/python3": "#!x", "py/versions/3.11.10/bin/python3": "#!x",
		"py/versions/3.12.1/bin/python3": "#!x", "py/versions/2.7.18/bin/python2": "#!x", "usr/bin/python3": "#!x",
		"py/versions/3.11.11rc1/bin/python3": "#!x",
	}
	with := func(more map[string]string) map[string]string {
		all := map[string]string{}
		for _, m := range []map[string]string{pyenv, more} {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	const shimPath = "PATH=/py/shims:/usr/bin"
	tests := []struct {
		name  string
		files map[string]string
		env   string
		need  string
		want  string // executable
		said  string // id, severity and a part of message or got of the first finding
	}{
		{"first on the PATH", map[string]string{"a/bin/python3": "#!x", "b/bin/python3": "#!x"}, "PATH=/none:/b/bin:/a/bin", "auto", "/b/bin/python3", ""},
		{"not executable", map[string]string{"a/bin/python3": "text", "b/bin/python3": "#!x"}, "PATH=/a/bin:/b/bin", "auto", "/b/bin/python3", ""},
		{"a directory of that name", map[string]string{"a/bin/python3/": "", "b/bin/python3": "#!x"}, "PATH=/a/bin:/b/bin", "auto", "/b/bin/python3", ""},
		{"relative and empty elements", map[string]string{"job/sub/bin/python3": "#!x"}, "PATH=:sub/bin", "auto", "/job/sub/bin/python3", ""},
		{"none", map[string]string{"usr/": ""}, "PATH=/usr/bin", "auto", "", "HR010 error no python3 on the PATH"},
		{"dangling outside of a venv is skipped", map[string]string{"a/bin/python3": "-> /gone", "b/bin/python3": "#!x"}, "PATH=/a/bin:/b/bin", "auto", "/b/bin/python3", ""},
		{"dangling in a venv", map[string]string{"v/bin/python3": "-> python", "v/bin/python": "-> /old/python3.9", "v/pyvenv.cfg": "home = /old", "b/bin/python3": "#!x"},
			"PATH=/v/bin:/b/bin", "auto", "", "HR011 error /v/bin/python -> /old/python3.9"},
		{"VIRTUAL_ENV off the PATH", map[string]string{"v/bin/python3": "#!x", "b/bin/python3": "#!x"}, "PATH=/b/bin VIRTUAL_ENV=/v", "auto", "/b/bin/python3", "HR025 info VIRTUAL_ENV names another environment"},
		{"CONDA_PREFIX on the PATH", map[string]string{"c/bin/python3": "#!x"}, "PATH=/c/bin CONDA_PREFIX=/c", "auto", "/c/bin/python3", ""},
		{"environment's directory", map[string]string{"v/bin/python3": "#!x"}, "", "/v", "/v/bin/python3", ""},
		{"relative directory, python alone", map[string]string{"job/.venv/bin/python": "#!x"}, "", ".venv", "/job/.venv/bin/python", ""},
		{"directory without", map[string]string{"v/": ""}, "", "/v", "", "HR010 error /v is no Python environment"},
		{"venv's directory without", map[string]string{"v/pyvenv.cfg": ""}, "", "/v", "", "HR011 error no bin/python3 in /v"},
		{"missing path", map[string]string{"v/": ""}, "", "/v/bin/python3.9", "", "HR010 error no Python interpreter at /v/bin/python3.9"},

		{"pyenv global", with(map[string]string{"py/version": "3.12.1\n"}), shimPath, "auto", "/py/versions/3.12.1/bin/python3", ""},
		{"pyenv local above the directory", with(map[string]string{".python-version": "# c\n3.11.7  x\n", "py/version": "3.12.1"}), shimPath, "auto", "/py/versions/3.11.7/bin/python3", ""},
		{"PYENV_VERSION wins", with(map[string]string{"job/.python-version": "3.11.7"}), shimPath + " PYENV_VERSION=3.12.1", "auto", "/py/versions/3.12.1/bin/python3", ""},
		{"several in one file", with(map[string]string{"py/version": "2.7.18\n3.11.7\n3.12.1\n"}), shimPath, "auto", "/py/versions/3.11.7/bin/python3", ""},
		{"several in one variable", pyenv, shimPath + " PYENV_VERSION=2.7.18:3.12.1", "auto", "/py/versions/3.12.1/bin/python3", ""},
		{"a prefix means the latest", with(map[string]string{"py/version": "3.11"}), shimPath, "auto", "/py/versions/3.11.10/bin/python3", ""},
		{"python- is cut off", with(map[string]string{"py/version": "python-3.12.1"}), shimPath, "auto", "/py/versions/3.12.1/bin/python3", ""},
		{"system", with(map[string]string{"py/version": "system"}), shimPath, "auto", "/usr/bin/python3", ""},
		{"no version file", pyenv, shimPath, "auto", "/usr/bin/python3", ""},
		{"version without python3 falls to the system", with(map[string]string{"py/version": "2.7.18"}), shimPath, "auto", "/usr/bin/python3", ""},
		{"not installed, no other", map[string]string{"py/shims/python3": shim, "py/version": "3.9.1", "py/versions/": ""}, "PATH=/py/shims", "auto", "", "HR010 error pyenv: version `3.9.1' is not installed (set by /py/version)"},
		{"a shim by its path", with(map[string]string{"py/version": "3.12.1"}), "PATH=/usr/bin", "/py/shims/python3", "/py/versions/3.12.1/bin/python3", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := fakeRoot(t, tt.files)
			env := map[string]string{}
			for _, word := range strings.Fields(tt.env) {
				k, v, _ := strings.Cut(word, "=")
				env[k] = v
			}
			m := machine{view: rootfs.Dir(root), opt: Options{Root: root, Env: env, Dir: "/job"}}
			got, said := m.choose(tt.need)
			if got.Executable != tt.want {
				t.Errorf("chose %q, want %q", got.Executable, tt.want)
			}
			checkSaid(t, said, tt.said)
		})
	}
}

// checkSaid compares the first finding with "ID severity part of its text"; "" wants none.
func checkSaid(t *testing.T, said []finding.Finding, want string) {
	t.Helper()
	if want == "" {
		if len(said) > 0 {
			t.Errorf("unexpected: %+v", said)
		}
		return
	}
	f := strings.SplitN(want, " ", 3)
	if len(said) == 0 || said[0].ID != f[0] || string(said[0].Severity) != f[1] || !strings.Contains(said[0].Message+said[0].Got, f[2]) || said[0].Remedy == "" {
		t.Errorf("want %s, got %+v", want, said)
	}
}

func TestBrokenEnvironments(t *testing.T) {
	py := systemPython(t)
	tests := []struct {
		name, need, said string
		files            map[string]string
	}{
		{"home is gone, a copy stayed", "/v", "HR011 error home = /opt/old/bin, which is gone",
			map[string]string{"v/bin/python3": "elf", "v/pyvenv.cfg": "home = /opt/old/bin\n"}},
		{"link into nowhere", "/v/bin/python3", "HR011 error /v/bin/python3 -> /opt/old/bin/python3",
			map[string]string{"v/bin/python3": "-> /opt/old/bin/python3", "v/pyvenv.cfg": "home = /opt/old/bin\n"}},
		{"no venv, link into nowhere", "/v/bin/python3", "HR010 error leads nowhere", map[string]string{"v/bin/python3": "-> gone"}},
		{"a script", "/v/bin/python3", "HR010 error no usable Python interpreter at /v/bin/python3", map[string]string{"v/bin/python3": "#!/bin/sh\n"}},
		{"links in a circle", "/v/bin/python3", "HR010 error leads nowhere", map[string]string{"v/bin/python3": "-> python", "v/bin/python": "-> python3"}},
		{"home is there, its library is not", "/v", "HR01",
			map[string]string{"v/bin/python3": "-> /usr/bin/" + py, "usr/bin/" + py: "elf", "v/pyvenv.cfg": "home = /usr/bin\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := fakeRoot(t, tt.files)
			f, err := Probe(context.Background(), Options{Root: root}, Needs{Python: tt.need})
			if err != nil {
				t.Fatal(err)
			}
			if tt.said != "HR01" {
				checkSaid(t, f.Findings, tt.said)
				return
			}
			if (f.Python == nil) != (len(finding.Errors(f.Findings)) > 0) {
				t.Errorf("neither facts nor an error: %+v", f.Findings)
			}
		})
	}
}
