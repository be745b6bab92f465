package imports

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

// TestModuleFromElsewhereIsNotChecked: glfw failed with "Version mismatch", as the image's _cffi_backend came before the one
// that cffi brought, and nothing said so.
func TestModuleFromElsewhereIsNotChecked(t *testing.T) {
	python, site := environment(t, map[string]string{
		"glfw.py":          "import cffi\n",
		"cffi/__init__.py": "from .api import FFI\nFFI()\n",
		"cffi/api.py":      "class FFI:\n    def __init__(self):\n        import _cffi_backend as b\n        if b.version != 2:\n            raise Exception('Version mismatch')\n",
		"_cffi_backend.py": "version = 2\n",
	})
	first := t.TempDir()
	must(t, os.WriteFile(first+"/_cffi_backend.py", []byte("version = 1\n"), 0o644))
	py := detect(t, python)
	mixed := func(path string) (found []NotChecked) {
		report, err := Scan(t.Context(), rootfs.Dir("/"), Request{Python: py, Packages: []string{"glfw"}, Env: map[string]string{"PYTHONPATH": path}})
		must(t, err)
		for _, n := range report.NotChecked {
			if n.What == "mixed" {
				found = append(found, n)
			}
		}
		return found
	}
	if _, failed := ended(python, []string{"-c", "import glfw"}, []string{"PYTHONPATH=" + first}); !failed {
		t.Error("import glfw does not fail")
	}
	if got := mixed(first); len(got) != 1 || got[0].Name != "_cffi_backend" || got[0].At.File != site+"/cffi/api.py" || got[0].At.Line != 3 {
		t.Errorf("%+v", got)
	}
	if got := mixed(""); got != nil {
		t.Errorf("without another one: %+v", got)
	}
}

// TestNameThatComesLaterIsNotChecked: dm-tree's package binds _tree behind the import of a module that asks for it already; with
// another interpreter's native module that fails, and nothing said so.
func TestNameThatComesLaterIsNotChecked(t *testing.T) {
	python, site := environment(t, map[string]string{
		"tree/__init__.py": "from .sequence import x\ntry:\n    from tree import _tree\nexcept ImportError:\n    _tree = None\n",
		"tree/sequence.py": "from tree import _tree\nx = 1\n", "tree/_tree.cpython-27-x86_64-linux-gnu.so": "",
	})
	if last, failed := ended(python, []string{"-c", "import tree"}, nil); !failed || !strings.Contains(last, "cannot import name '_tree'") {
		t.Errorf("import tree: %s", last)
	}
	report := scan(t, detect(t, python), "import tree")
	listed := func(n NotChecked) bool {
		return n.At == At{Module: "tree.sequence", File: site + "/tree/sequence.py", Line: 1}
	}
	if report.First() == nil && !slices.ContainsFunc(report.NotChecked, listed) {
		t.Errorf("neither claimed nor listed: %+v", report.NotChecked)
	}
}

// TestRaiseBelowAConditionIsNotChecked: psycopg_binary refuses to be imported before psycopg, and nothing said so.
func TestRaiseBelowAConditionIsNotChecked(t *testing.T) {
	python, site := environment(t, map[string]string{
		"binary.py": "import sys\nif 'psycopg' not in sys.modules:\n    raise ImportError('the psycopg package should be imported before')\n",
		"sound.py":  "import sys\nif sys.version_info < (3,):\n    raise ImportError('too old')\ndef f(x):\n    if x:\n        raise ValueError(x)\n",
	})
	py := detect(t, python)
	raises := func(code string) (found []At) {
		for _, n := range scan(t, py, code).NotChecked {
			if n.What == "raise" && strings.HasPrefix(n.At.File, site) {
				found = append(found, n.At)
			}
		}
		return found
	}
	if got := raises("import binary"); len(got) != 1 || got[0] != (At{Module: "binary", File: site + "/binary.py", Line: 3}) {
		t.Errorf("%+v", got)
	}
	if got := raises("import sound"); got != nil {
		t.Errorf("%+v", got)
	}
	if last, failed := ended(python, []string{"-c", "import binary"}, nil); !failed || !strings.HasPrefix(last, "ImportError: the psycopg") {
		t.Error(last)
	}
}

// TestStandInOfThePartialLibrary: the tempfile of Debian 13's python3-minimal, which has no shutil, stands in for it by code that names os where
// it is called _os: NameError, and nothing said so.
func TestStandInOfThePartialLibrary(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{"encodings/__init__.py": "", "io.py": "", "abc.py": "", "os.py": "", "site.py": "",
		"tempfile.py": "import os as _os\ntry:\n    import shutil\nexcept ImportError:\n    known = {os.open}\n", "glob.py": "try:\n    import _winapi, msvcrt\nexcept ImportError:\n    pass\n",
		"site-packages/own.py": "try:\n    import shutil\nexcept ImportError:\n    shutil = None\n"} {
		at := filepath.Join(root, "lib/python3.11", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	py := fuzzPython
	py.Executable, py.Prefix, py.BasePrefix = "/bin/python3", "/", "/"
	py.SiteDirs = []string{"/lib/python3.11/site-packages"}
	py.SiteDirsDeclared = py.SiteDirs
	stands := func(code string) (found []At) {
		report, err := Scan(t.Context(), rootfs.Dir(root), Request{Python: py, Command: []string{"/bin/python3", "-c", code}})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range report.NotChecked {
			if n.What == "standin" {
				found = append(found, n.At)
			}
		}
		return found
	}
	want := []At{{Module: "tempfile", File: "/lib/python3.11/tempfile.py", Line: 2}}
	if got := stands("import tempfile, glob, own"); !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestNameThatAModuleLacksIsNotChecked: `from a import b` failed where a, of another version, had no b any more, and nothing said so
// (mlflow with a newer protobuf, flask with a newer werkzeug).
func TestNameThatAModuleLacksIsNotChecked(t *testing.T) {
	python, site := environment(t, map[string]string{
		"urls.py":         "import os as system\nfrom json import loads\na = b = 1\n(c, d), *e = (1, 2), 3\nx: int = 1\nif x:\n    y = 2\nelse:\n    def quote(): pass\nclass K:\n    inner = 1\nfor i in (): pass\nwith open('/dev/null') as null: pass\n",
		"pkg/__init__.py": "", "pkg/part.py": "",
		"star.py":   "from json import *\n",
		"lazy.py":   "def __getattr__(name): return name\n",
		"gone.py":   "import urls\nfrom urls import url_quote\n",
		"broken.py": "from pkg import service\n",
		"sound.py":  "from urls import system, loads, a, b, c, d, e, x, y, quote, K, i, null, __file__\nfrom pkg import part\nfrom star import dumps\nfrom lazy import anything\ndef f():\n    from urls import nothing\n",
	})
	py := detect(t, python)
	names := func(code string) (found []NotChecked, counted int) {
		for _, n := range scan(t, py, code).NotChecked {
			if n.What == "name" && strings.HasPrefix(n.At.File, site) {
				found = append(found, n)
			} else if n.What == "name" && n.At.File == "" {
				counted, _ = strconv.Atoi(strings.TrimSuffix(n.Name, " names"))
			}
		}
		return found, counted
	}
	for code, want := range map[string]At{"import gone": {Module: "gone", File: site + "/gone.py", Line: 2}, "import broken": {Module: "broken", File: site + "/broken.py", Line: 1}} {
		if got, _ := names(code); len(got) != 1 || got[0].At != want || got[0].Reach != Required {
			t.Errorf("%s: %+v", code, got)
		}
		if last, failed := ended(python, []string{"-c", code}, nil); !failed || !strings.Contains(last, "cannot import name") {
			t.Error(last)
		}
	}
	_, before := names("import star, lazy") // the standard library's own
	if got, counted := names("import sound"); got != nil || counted != before+2 {
		t.Errorf("%d and %d: %+v", before, counted, got)
	}
}

// TestSWIGModuleOfAnotherPython: Box2D and openmm take their native half from their package, which the star of that very statement opens,
// below a condition of SWIG's; nothing was said where that half is another Python's.
func TestSWIGModuleOfAnotherPython(t *testing.T) {
	const swig = "if __package__ or \".\" in __name__:\n    from . import _box\nelse:\n    import _box\n"
	python, site := environment(t, map[string]string{
		"box/__init__.py": "from .box import *\n", "box/box.py": swig, "box/_box.cpython-27-x86_64-linux-gnu.so": "",
		"box2/__init__.py": "from .box import *\n", "box2/box.py": swig, "box2/_box.py": "", "box3.py": swig, "_box.py": "",
	})
	py := detect(t, python)
	for code, fails := range map[string]bool{"import box": true, "import box2": false, "import box3": false} {
		last, failed := ended(python, []string{"-c", code}, nil)
		first := scan(t, py, code).First()
		if failed != fails || (first != nil) != fails || fails && !strings.HasSuffix(last, first.Message) {
			t.Errorf("%s: %+v, and really %q", code, first, last)
		}
	}
	if first := scan(t, py, "import box").First(); first != nil && first.At != (At{Module: "box.box", File: site + "/box/box.py", Line: 2}) {
		t.Errorf("%+v", first)
	}
}
