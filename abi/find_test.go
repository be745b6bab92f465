package abi

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// python puts an interpreter of Python 3.minor with its standard library below root/prefix.
func python(t *testing.T, root, prefix string, minor string) {
	t.Helper()
	fake{text: "3." + minor + ".4"}.build(t, filepath.Join(root, prefix, "bin/python3."+minor))
	lib := filepath.Join(prefix, "lib/python3."+minor)
	write(t, root, lib+"/os.py", "", lib+"/_sysconfigdata__linux_x86_64-linux-gnu.py", sysconfig("cpython-3"+minor+"-x86_64-linux-gnu"))
}

func executables(pythons []Python) []string {
	var all []string
	for _, p := range pythons {
		all = append(all, p.Executable)
	}
	return all
}

func TestFindPythonsOrderAndNames(t *testing.T) {
	root := t.TempDir()
	python(t, root, "usr", "9")
	python(t, root, "usr/local", "10")
	python(t, root, "opt/conda", "8")
	link(t, root, "python3.9", "usr/bin/python3")
	link(t, root, "python3.10", "usr/local/bin/python3")
	link(t, root, "python3", "usr/local/bin/python")
	link(t, root, "usr/bin", "bin")
	link(t, root, "/usr/bin/python3", "venv/bin/python")
	write(t, root, "venv/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n", "usr/bin/python3-config", "#!/bin/sh\n",
		"usr/local/bin/pypy3", "#!/bin/sh\n")
	tests := []struct {
		path []string
		want []string
	}{
		{nil, []string{"/usr/local/bin/python3", "/usr/bin/python3", "/opt/conda/bin/python3.8", "/venv/bin/python"}},
		{[]string{"/bin", "/opt/conda/bin"}, []string{"/bin/python3", "/opt/conda/bin/python3.8", "/usr/local/bin/python3", "/venv/bin/python"}},
		{[]string{"/venv/bin", "/nowhere"}, []string{"/venv/bin/python", "/usr/local/bin/python3", "/usr/bin/python3", "/opt/conda/bin/python3.8"}},
	}
	for _, tt := range tests {
		pythons, findings := FindPythons(rootfs.Dir(root), Environment{Path: tt.path})
		if got := executables(pythons); !slices.Equal(got, tt.want) || len(findings) > 0 {
			t.Errorf("PATH %q: %q, want %q; findings %+v", tt.path, got, tt.want, findings)
		}
	}
}

func TestFindPythonsTellsOfDanglingLinks(t *testing.T) {
	root := t.TempDir()
	link(t, root, "/etc/alternatives/python3", "usr/bin/python3")
	link(t, root, "/usr/bin/python3.12", "etc/alternatives/python3")
	pythons, findings := FindPythons(rootfs.Dir(root), Environment{})
	if len(pythons) != 0 || len(findings) != 1 {
		t.Fatalf("%q, %+v", executables(pythons), findings)
	}
	f := findings[0]
	if f.ID != finding.PythonMissingImage || f.Severity != finding.Error || !strings.Contains(f.Message, "/etc/alternatives/python3 -> /usr/bin/python3.12") {
		t.Errorf("%+v", f)
	}
	python(t, root, "usr/local", "11")
	pythons, findings = FindPythons(rootfs.Dir(root), Environment{})
	if len(pythons) != 1 || len(findings) != 1 || findings[0].Severity != finding.Warning {
		t.Errorf("beside another interpreter: %q, %+v", executables(pythons), findings)
	}
}

func TestFindPythonsTellsWhatItRefused(t *testing.T) {
	root := t.TempDir()
	fake{text: "2.7.18"}.build(t, filepath.Join(root, "usr/bin/python"))
	write(t, root, "usr/bin/python3", "damaged", "venv/pyvenv.cfg", "home = /gone\n", "venv/bin/python3", "")
	link(t, root, "/usr/bin/python", "venv/bin/python")
	_, findings := FindPythons(rootfs.Dir(root), Environment{})
	var got []string
	for _, f := range findings {
		got = append(got, f.ID+" "+f.Subject)
		if f.Message == "" || f.Remedy == "" {
			t.Errorf("%+v", f)
		}
	}
	want := []string{"HR018 /usr/bin/python3", "HR018 /usr/bin/python", "HR018 /venv/bin/python3", "HR011 /venv/bin/python"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestFindPythonsInLayers(t *testing.T) {
	bottom, top := t.TempDir(), t.TempDir()
	python(t, bottom, "usr", "11")
	link(t, top, "python3.11", "usr/bin/python3")
	write(t, top, "usr/lib/python3.11/site.py", "dist-packages", "usr/local/lib/python3.11/dist-packages/x.py", "")
	pythons, findings := FindPythons(rootfs.Layers(top, bottom), Environment{})
	if len(pythons) != 1 || len(findings) != 0 || pythons[0].Layout != "debian" ||
		!slices.Equal(pythons[0].SiteDirs, []string{"/usr/local/lib/python3.11/dist-packages"}) {
		t.Errorf("%+v, %+v", pythons, findings)
	}
}

// A shim of pyenv is a script: which interpreter runs depends on variables and files.
func TestDetectPyenvShim(t *testing.T) {
	root := t.TempDir()
	python(t, root, "pyenv/versions/3.9.4", "9")
	python(t, root, "pyenv/versions/3.10.4", "10")
	python(t, root, "pyenv/versions/3.10.12", "10")
	shim := "#!/usr/bin/env bash\nset -e\nprogram=\"${0##*/}\"\nexport PYENV_ROOT=\"/pyenv\"\nexec \"/pyenv/libexec/pyenv\" exec \"$program\" \"$@\"\n"
	for _, v := range []string{"3.9.4", "3.10.4", "3.10.12"} {
		entries, err := filepath.Glob(filepath.Join(root, "pyenv/versions", v, "bin/python3.*"))
		if err != nil || len(entries) != 1 {
			t.Fatal(entries, err)
		}
		link(t, root, filepath.Base(entries[0]), "pyenv/versions/"+v+"/bin/python3")
	}
	write(t, root, "pyenv/shims/python3", shim, "pyenv/version", "3.9.4 # the default\n", "work/.python-version", "3.10\n", "work/sub/x", "")
	tests := []struct {
		env        Environment
		real, from string
	}{
		{Environment{}, "/pyenv/versions/3.9.4/bin/python3.9", "/pyenv/version"},
		{Environment{Dir: "/work/sub"}, "/pyenv/versions/3.10.12/bin/python3.10", "/work/.python-version"},
		{Environment{Dir: "/work", PyenvVersion: "2.7:3.10.4"}, "/pyenv/versions/3.10.4/bin/python3.10", "PYENV_VERSION"},
	}
	for _, tt := range tests {
		p := detect(t, root, "/pyenv/shims/python3", tt.env)
		if p.Real != tt.real || !strings.HasSuffix(p.Evidence["executable"], tt.from) || p.Executable != "/pyenv/shims/python3" {
			t.Errorf("%+v: %s by %s", tt.env, p.Real, p.Evidence["executable"])
		}
	}
	python(t, root, "usr", "8")
	link(t, root, "python3.8", "usr/bin/python3")
	p := detect(t, root, "python3", Environment{Path: []string{"/pyenv/shims", "/usr/bin"}, PyenvVersion: "system"})
	if p.Real != "/usr/bin/python3.8" {
		t.Errorf("PYENV_VERSION=system: %s", p.Real)
	}
	for _, version := range []string{"3.12", "../../../usr"} {
		if p, err := DetectPython(rootfs.Dir(root), "/pyenv/shims/python3", Environment{PyenvVersion: version}); err == nil || !strings.Contains(err.Error(), "pyenv shim") {
			t.Errorf("PYENV_VERSION=%s: %s, %v", version, p.Real, err)
		}
	}
}
