package abi

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

func detect(t *testing.T, root, exe string, env Environment) Python {
	t.Helper()
	p, err := DetectPython(rootfs.Dir(root), exe, env)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"version", "implementation", "arch", "prefix", "stdlib", "site_dirs"} {
		if p.Evidence[field] == "" {
			t.Errorf("no evidence for %s", field)
		}
	}
	return p
}

func wantNoConflicts(t *testing.T, p Python) {
	t.Helper()
	if len(p.Conflicts) > 0 {
		t.Errorf("conflicts: %+v", p.Conflicts)
	}
}

func TestDetectConda(t *testing.T) {
	root := t.TempDir()
	fake{text: "3.10.13"}.build(t, filepath.Join(root, "opt/conda/bin/python3.10"))
	lib := "opt/conda/lib/python3.10/"
	write(t, root, lib+"os.py", "", lib+"site.py", "", "opt/conda/conda-meta/python-3.10.13.json", "{}", lib+"site-packages/x.py", "",
		lib+"_sysconfigdata__linux_x86_64-linux-gnu.py", sysconfig("cpython-310-x86_64-linux-gnu"),
		lib+"_sysconfigdata_x86_64_conda_linux_gnu.py", sysconfig("cpython-310-x86_64-conda-gnu"),
		lib+"_sysconfigdata_x86_64_conda_cos6_linux_gnu.py", sysconfig("cpython-310-x86_64-cos6-gnu"))
	p := detect(t, root, "/opt/conda/bin/python3.10", Environment{})
	wantNoConflicts(t, p)
	if p.Layout != "conda" || p.SOABI != "cpython-310-x86_64-linux-gnu" || p.Version.String() != "3.10.13" || p.BasePrefix != "/opt/conda" {
		t.Errorf("%+v", p)
	}
	p = detect(t, root, "/opt/conda/bin/python3.10", Environment{SysconfigData: "_sysconfigdata_x86_64_conda_cos6_linux_gnu"})
	if p.SOABI != "cpython-310-x86_64-cos6-gnu" {
		t.Errorf("_PYTHON_SYSCONFIGDATA_NAME is not obeyed: %s", p.SOABI)
	}
}

func TestDetectStandalone(t *testing.T) {
	root := t.TempDir()
	fake{needed: "$ORIGIN/../lib/libpython3.11.so.1.0"}.build(t, filepath.Join(root, "uv/bin/python3.11"))
	fake{hex: 0x030b0bf0, soname: "libpython3.11.so.1.0", modules: []string{"sys", "_io", "_testbuffer"}}.build(t, filepath.Join(root, "uv/lib/libpython3.11.so.1.0"))
	write(t, root, "uv/lib/python3.11/os.py", "",
		"uv/lib/python3.11/_sysconfigdata__linux_x86_64-linux-gnu.py", sysconfig("cpython-311-x86_64-linux-gnu", "'prefix': '/install'"))
	link(t, root, "/uv/bin/python3.11", "usr/local/bin/python")
	p := detect(t, root, "python", Environment{})
	wantNoConflicts(t, p)
	if p.Layout != "standalone" || p.Libpython != "/uv/lib/libpython3.11.so.1.0" || p.Version.String() != "3.11.11" || p.Prefix != "/uv" {
		t.Errorf("%+v", p)
	}
	if !slices.Equal(p.Builtins, []string{"_io", "_testbuffer", "sys"}) {
		t.Errorf("builtins %q", p.Builtins)
	}
	if len(p.SiteDirs) != 0 || !slices.Equal(p.SiteDirsDeclared, []string{"/uv/lib/python3.11/site-packages"}) {
		t.Errorf("site directories %q of %q", p.SiteDirs, p.SiteDirsDeclared)
	}
}

func TestDetectRedHat(t *testing.T) {
	for site, want := range map[string][]string{
		"":                          {"/usr/lib64/python3.9/site-packages", "/usr/lib/python3.9/site-packages"},
		"os.environ RPM_BUILD_ROOT": {"/usr/local/lib64/python3.9/site-packages", "/usr/local/lib/python3.9/site-packages", "/usr/lib64/python3.9/site-packages", "/usr/lib/python3.9/site-packages"},
	} {
		root := t.TempDir()
		fake{text: "3.9.21"}.build(t, filepath.Join(root, "usr/bin/python3.9"))
		write(t, root, "usr/lib64/python3.9/os.py", "", "usr/lib64/python3.9/site.py", site, "usr/lib/python3.9/site-packages/pip.py", "",
			"usr/lib64/python3.9/_sysconfigdata__linux_x86_64-linux-gnu.py", sysconfig("cpython-39-x86_64-linux-gnu"))
		p := detect(t, root, "/usr/bin/python3.9", Environment{})
		wantNoConflicts(t, p)
		if p.Stdlib != "/usr/lib64/python3.9" || !slices.Equal(p.SiteDirsDeclared, want) || !slices.Equal(p.SiteDirs, []string{"/usr/lib/python3.9/site-packages"}) {
			t.Errorf("%q: %+v", site, p)
		}
	}
}

// Before 3.11 CPython called itself -linux-gnu on musl too: that is no contradiction, and no sign of glibc.
func TestDetectMusl(t *testing.T) {
	root := t.TempDir()
	fake{text: "3.10.9", interp: "/lib/ld-musl-x86_64.so.1"}.build(t, filepath.Join(root, "usr/local/bin/python3.10"))
	write(t, root, "usr/local/lib/python3.10/os.py", "",
		"usr/local/lib/python3.10/_sysconfigdata__linux_x86_64-linux-gnu.py", sysconfig("cpython-310-x86_64-linux-gnu"))
	p := detect(t, root, "/usr/local/bin/python3.10", Environment{})
	wantNoConflicts(t, p)
	if p.Libc != "musl" || p.LibcVersion != "" || p.Static {
		t.Errorf("%+v", p)
	}
}

func TestDetectStatic(t *testing.T) {
	root := t.TempDir()
	fake{static: true}.build(t, filepath.Join(root, "usr/bin/python3.12"))
	write(t, root, "usr/lib/python3.12/os.py", "")
	if p := detect(t, root, "/usr/bin/python3.12", Environment{}); !p.Static || p.Libc != "" {
		t.Errorf("%+v", p)
	}
}

func TestDetectFreeThreaded(t *testing.T) {
	root := t.TempDir()
	fake{hex: 0x030d05f0, runtime: true, threaded: true, suffixes: []string{".cpython-313t-x86_64-linux-gnu.so", ".abi3.so", ".so"}}.
		build(t, filepath.Join(root, "opt/py/bin/python"))
	write(t, root, "opt/py/lib/python3.13t/os.py", "", "opt/py/lib/python3.13/os.py", "", "opt/py/lib/python3.13t/site-packages/x.py", "",
		"opt/py/lib/python3.13t/_sysconfigdata_t_linux_x86_64-linux-gnu.py", sysconfig("cpython-313t-x86_64-linux-gnu", "'Py_GIL_DISABLED': 1", "'ABIFLAGS': 't'"))
	p := detect(t, root, "/opt/py/bin/python", Environment{})
	wantNoConflicts(t, p)
	if !p.FreeThreaded || p.ABIFlags != "t" || p.Stdlib != "/opt/py/lib/python3.13t" || p.SiteDirs[0] != "/opt/py/lib/python3.13t/site-packages" {
		t.Errorf("%+v", p)
	}
}

// Debian keeps the build details of both its builds in one directory, under names of its own.
func TestDetectDebianBuildDetails(t *testing.T) {
	root := t.TempDir()
	fake{hex: 0x030e0af0, debug: true}.build(t, filepath.Join(root, "usr/bin/python3.14d"))
	details := `{"implementation":{"hexversion":51251952,"_multiarch":"x86_64-linux-gnu"},"abi":{"flags":[%s]},"suffixes":{"extensions":[%s]}}`
	lib := "usr/lib/python3.14/"
	write(t, root, lib+"os.py", "", lib+"site.py", "dist-packages",
		lib+"build-details..x86_64-linux-gnu.json", fmt.Sprintf(details, "", `".cpython-314-x86_64-linux-gnu.so",".so"`),
		lib+"build-details.d.x86_64-linux-gnu.json", fmt.Sprintf(details, `"d"`, `".cpython-314d-x86_64-linux-gnu.so",".cpython-314-x86_64-linux-gnu.so",".abi3.so",".so"`))
	p := detect(t, root, "/usr/bin/python3.14d", Environment{})
	wantNoConflicts(t, p)
	if !p.Debug || p.SOABI != "cpython-314d-x86_64-linux-gnu" || len(p.Suffixes) != 4 || p.Multiarch != "x86_64-linux-gnu" || p.Layout != "debian" {
		t.Errorf("%+v", p)
	}
}

// Without any text beside it the binary itself tells its suffixes, in its order, Debian's additional one among them.
func TestDetectFromBinaryAlone(t *testing.T) {
	root := t.TempDir()
	suffixes := []string{".cpython-313d-x86_64-linux-gnu.so", ".cpython-313-x86_64-linux-gnu.so", ".abi3.so", ".abi3-x86_64-linux-gnu.so", ".so"}
	fake{hex: 0x030d00c2, runtime: true, debug: true, suffixes: suffixes}.build(t, filepath.Join(root, "usr/bin/python3.13"))
	write(t, root, "usr/lib/python3.13/os.pyc", "")
	p := detect(t, root, "/usr/bin/python3.13", Environment{})
	wantNoConflicts(t, p)
	if !slices.Equal(p.Suffixes, suffixes) || p.SOABI != "cpython-313d-x86_64-linux-gnu" || p.Multiarch != "x86_64-linux-gnu" ||
		p.ABIFlags != "d" || p.Version.String() != "3.13.0rc2" {
		t.Errorf("%+v", p)
	}
}

func TestDetectConflicts(t *testing.T) {
	tests := []struct {
		name  string
		fake  fake
		data  string
		field string
		says  []string
	}{
		{"version", fake{hex: 0x030b02f0}, sysconfig("cpython-311-x86_64-linux-gnu", "'VERSION': '3.12'"), "version", []string{"3.11.2, by symbol Py_Version", "3.12, by VERSION"}},
		{"soabi", fake{hex: 0x030b02f0}, sysconfig("cpython-312-x86_64-linux-gnu"), "soabi", []string{"cpython-311, by", "cpython-312-x86_64-linux-gnu, by SOABI"}},
		{"debug", fake{hex: 0x030b02f0, debug: true}, sysconfig("cpython-311-x86_64-linux-gnu"), "debug", []string{"true, by symbols", "false, by Py_DEBUG"}},
		{"arch", fake{hex: 0x030b02f0}, strings.ReplaceAll(sysconfig("cpython-311-x86_64-linux-gnu"), "x86_64", "aarch64"), "arch", []string{"x86_64, by ELF header", "aarch64-linux-gnu, by MULTIARCH"}},
		{"free_threaded", fake{hex: 0x030b02f0, runtime: true}, sysconfig("cpython-311-x86_64-linux-gnu", "'Py_GIL_DISABLED': 1"), "free_threaded", []string{"false, by symbols", "true, by Py_GIL_DISABLED"}},
		{"unreadable", fake{hex: 0x030b02f0}, "build_time_vars = {'SOABI': compute()}", "soabi", []string{"unreadable, by /usr/lib"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			tt.fake.build(t, filepath.Join(root, "usr/bin/python3.11"))
			write(t, root, "usr/lib/python3.11/os.py", "", "usr/lib/python3.11/_sysconfigdata__linux_x86_64-linux-gnu.py", tt.data)
			p := detect(t, root, "/usr/bin/python3.11", Environment{})
			i := slices.IndexFunc(p.Conflicts, func(c Conflict) bool { return c.Field == tt.field })
			if i < 0 {
				t.Fatalf("no conflict about %s: %+v", tt.field, p.Conflicts)
			}
			said := strings.Join(p.Conflicts[i].Said, "; ")
			for _, s := range tt.says {
				if !strings.Contains(said, s) {
					t.Errorf("%q does not say %q", said, s)
				}
			}
		})
	}
}

func TestDetectRefuses(t *testing.T) {
	root := t.TempDir()
	fake{text: "2.7.18"}.build(t, filepath.Join(root, "usr/bin/python2.7"))
	fake{needed: "libpython3.11.so.1.0"}.build(t, filepath.Join(root, "usr/bin/python3.11"))
	fake{hex: 0x030c00f0}.build(t, filepath.Join(root, "opt/nolib/bin/python3.12"))
	fake{bare: true}.build(t, filepath.Join(root, "usr/bin/tool"))
	write(t, root, "usr/bin/torchrun", "#!/usr/bin/python3 -s\n", "usr/bin/empty", "", "usr/bin/junk", "\x7fELF\x02\x01 and no more",
		"usr/lib/python2.7/os.py", "", "venv/pyvenv.cfg", "home = /opt/gone/bin\n")
	link(t, root, "/opt/gone/bin/python3", "usr/bin/dangling")
	link(t, root, "/usr/bin/python3.11", "venv/bin/python")
	tests := map[string]string{
		"/usr/bin/python2.7":        "is Python 2.7; hostrun needs Python 3.6 or later",
		"/usr/bin/python3.11":       "error while loading shared libraries: libpython3.11.so.1.0: cannot open shared object file",
		"/opt/nolib/bin/python3.12": "No module named 'encodings'",
		"/usr/bin/torchrun":         "is a script (#!/usr/bin/python3 -s)",
		"/usr/bin/empty":            "is no program",
		"/usr/bin/junk":             "is no program",
		"/usr/bin/tool":             "is a program, but no Python interpreter",
		"/usr/bin":                  "is no program: open /usr/bin: not a regular file",
		"/usr/bin/dangling":         "/usr/bin/dangling -> /opt/gone/bin/python3",
		"/venv/bin/python":          "virtual environment /venv: its home /opt/gone/bin has no Python",
		"nothing":                   "look for nothing on PATH /usr/local/sbin:",
	}
	for exe, says := range tests {
		_, err := DetectPython(rootfs.Dir(root), exe, Environment{})
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, want %q", exe, err, says)
		}
	}
	_, err := DetectPython(rootfs.Dir(root), "/usr/bin/torchrun", Environment{})
	if not := (*NotPythonError)(nil); !errors.As(err, &not) || not.Script != "/usr/bin/python3 -s" {
		t.Errorf("%#v", err)
	}
	_, err = DetectPython(rootfs.Dir(root), "/usr/bin/dangling", Environment{})
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%#v", err)
	}
	_, err = DetectPython(rootfs.Dir(root), "/venv/bin/python", Environment{})
	if broken := (*BrokenVenvError)(nil); !errors.As(err, &broken) || broken.Home != "/opt/gone/bin" {
		t.Errorf("%#v", err)
	}
}
