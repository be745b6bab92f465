package imports

import (
	"archive/zip"
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

// A made case is a tree of files on PYTHONPATH, and code that runs beside it. What really happens is the expectation, but
// for what the scan must claim or must not.
var cases = []struct {
	name  string
	files map[string]string
	code  string
	first string // message that the scan must name first; "" for none
	least int    // minor version from which on the case holds
}{
	{name: "missing", files: map[string]string{"a.py": "import json\nimport nothere.sub\n"}, code: "import a", first: "No module named 'nothere'"},
	{name: "missing submodule", files: map[string]string{"p/__init__.py": "", "a.py": "import p.gone"}, code: "import a", first: "No module named 'p.gone'"},
	{name: "below a module", files: map[string]string{"m.py": "x = 1", "a.py": "import m.x"}, code: "import a", first: "No module named 'm.x'; 'm' is not a package"},
	{name: "caught", files: map[string]string{"a.py": "try:\n    import nothere\nexcept ImportError:\n    nothere = None\nif nothere is not None:\n    import other\n"}, code: "import a"},
	{name: "caught by another", files: map[string]string{"a.py": "try:\n    import nothere\nexcept (ValueError, KeyError):\n    pass\n"}, code: "import a", first: "No module named 'nothere'"},
	{name: "caught two levels up", files: map[string]string{"a.py": "try:\n    import b\nexcept Exception:\n    pass\n", "b.py": "import c", "c.py": "import nothere"}, code: "import a"},
	{name: "handler needs more", files: map[string]string{"a.py": "try:\n    import nothere\nexcept ImportError:\n    import neither\n"}, code: "import a", first: "No module named 'neither'"},
	{name: "handler raises again", files: map[string]string{"a.py": "try:\n    import nothere\nexcept ImportError:\n    print('sorry')\n    raise\n"}, code: "import a", first: "No module named 'nothere'"},
	{name: "suppressed", files: map[string]string{"a.py": "import contextlib\nwith contextlib.suppress(ImportError):\n    import nothere\n"}, code: "import a"},
	{name: "in a function", files: map[string]string{"a.py": "def f():\n    import nothere\n"}, code: "import a"},
	{name: "in a class", files: map[string]string{"a.py": "class C:\n    import nothere\n"}, code: "import a", first: "No module named 'nothere'"},
	{name: "type checking", files: map[string]string{"a.py": "import typing\nif typing.TYPE_CHECKING:\n    import nothere\nelse:\n    import b\n", "b.py": ""}, code: "import a"},
	{name: "type checking by its own name", files: map[string]string{"a.py": "from typing import TYPE_CHECKING\nfrom sys import version_info\nif TYPE_CHECKING or version_info < (3,):\n    import nothere\nif not TYPE_CHECKING:\n    import neither\n"}, code: "import a", first: "No module named 'neither'"},
	{name: "versions", files: map[string]string{"a.py": "import sys\nif sys.version_info < (3, 4) or sys.platform.startswith('win'):\n    import nothere\nelif sys.version_info[0] == 3:\n    import b\n", "b.py": ""}, code: "import a"},
	{name: "constant of the module", files: map[string]string{"a.py": "import sys\nWINDOWS = sys.platform == 'win32'\nif WINDOWS:\n    import nothere\nif not WINDOWS:\n    import neither\n"}, code: "import a", first: "No module named 'neither'"},
	{name: "bound name is no submodule", files: map[string]string{"p/__init__.py": "version = '1'\n", "p/version.py": "import nothere\n", "a.py": "from p import version\n"}, code: "import a"},
	{name: "submodule of a from list", files: map[string]string{"p/__init__.py": "", "p/sub.py": "import nothere\n", "a.py": "from p import (\n    sub, # comment\n    )\n"}, code: "import a", first: "No module named 'nothere'"},
	{name: "all of a package", files: map[string]string{"p/__init__.py": "__all__ = ['sub']\n", "p/sub.py": "import json\n", "a.py": "from p import *\n"}, code: "import a"},
	{name: "relative", files: map[string]string{"p/__init__.py": "from . import q\n", "p/q/__init__.py": "from ..r import x\nfrom ... import z\n", "p/r.py": "x = 1"}, code: "import p", first: "attempted relative import beyond top-level package"},
	{name: "cycle", files: map[string]string{"a.py": "import b\nimport nothere\n", "b.py": "import a\n"}, code: "import a", first: "No module named 'nothere'"},
	{name: "namespace over two entries", files: map[string]string{"n/one.py": "", "more/n/two.py": "", "a.py": "import sys\nimport n.one\n"}, code: "import a"},
	{name: "strings", files: map[string]string{"a.py": "x = '''\nimport nothere\n'''\ny = f\"{x!r:>{10}} import {'}'} \"\nz = 'a\\\nimport nothere2'\nimport json; import b\n", "b.py": ""}, code: "import a"},
	{name: "nested quotes of f-strings", files: map[string]string{"a.py": "d = {'a': 1}\nx = f\"{d[\"a\"]}\"\ny = f'{d['a']:{'>'}5}'\nimport nothere\n"}, code: "import a", first: "No module named 'nothere'", least: 12},
	{name: "odd layout", files: map[string]string{"a.py": "\ufeff# coding: utf-8\r\nif True: import json\r\n\fimport b as \\\r\n   c, d\r\n", "b.py": "", "d.py": "x = (1 +\n2) ; import e\n", "e.py": ""}, code: "import a"},
	{name: "latin-1", files: map[string]string{"a.py": "# -*- coding: latin-1 -*-\nx = '\xe9'\nimport nothere\n"}, code: "import a", first: "No module named 'nothere'"},
	{name: "hook", files: map[string]string{"p/__init__.py": "import sys, types\nsys.modules[__name__ + '.made'] = types.ModuleType('made')\n", "a.py": "import p.made\nfrom p.made import __name__\n"}, code: "import a"},
	{name: "hook of a top-level name", files: map[string]string{"h.py": "import sys, types\nsys.modules['made'] = types.ModuleType('made')\n", "a.py": "import h\nimport made\n"}, code: "import a"},
	{name: "import_module", files: map[string]string{"a.py": "import importlib\nb = importlib.import_module('b')\n", "b.py": "import json"}, code: "import a"},
	{name: "raise ends a module", files: map[string]string{"a.py": "try:\n    import b\nexcept RuntimeError:\n    pass\n", "b.py": "raise RuntimeError('x')\nimport nothere\n"}, code: "import a"},
	{name: "finally", files: map[string]string{"a.py": "try:\n    x = 1\nfinally:\n    import nothere\n"}, code: "import a", first: "No module named 'nothere'"},
	{name: "name of another version", files: map[string]string{"p/__init__.py": "__version__ = '1'\n", "p/m.py": "def f():\n    pass\n", "a.py": "from p.m import f\nfrom p import __version__, newer\n"}, code: "import a", least: 8, first: "cannot import name 'newer' from 'p' ({dir}/p/__init__.py)"},
	{name: "name of another version, of a module", files: map[string]string{"m.py": "import logging\nlog = logging.getLogger(__name__)\nclass C:\n    pass\n", "a.py": "from m import (C, log, D)\n"}, code: "import a", least: 8, first: "cannot import name 'D' from 'm' ({dir}/m.py)"},
	{name: "names that are made", files: map[string]string{"a.py": "from g import x1\nfrom s import x2\nfrom e import x3\nfrom h import x4\nfrom n import x5\nfrom t import x6\nfrom w import x7\nfrom f import x8\nfrom l import x9\n",
		"g.py": "for i in range(9):\n    globals()['x%d' % i] = i\n", "s.py": "from g import *\n", "e.py": "exec('x%d = 1' % 3)\n", "h.py": "def __getattr__(name):\n    return 1\n", "n.py": "from helper import fill\nfill(__name__, 5)\n",
		"helper.py": "import sys\ndef fill(name, i):\n    setattr(sys.modules[name], 'x%d' % i, i)\n", "t.py": "(x5, x6), [x9] = (1, 2), [3]\n", "w.py": "if (x7 := 1):\n    pass\n", "f.py": "def f():\n    global x8\n    x8 = 1\nf()\n", "l.py": "try:\n    import nothere\nexcept ImportError as e:\n    x9 = str(e)\n"}, code: "import a", least: 8},
	{name: "else of try", files: map[string]string{"a.py": "try:\n    import json\nexcept ImportError:\n    pass\nelse:\n    import b\n", "b.py": ""}, code: "import a"},
	{name: "extended path", files: map[string]string{"p/__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n", "more/p/other.py": "", "a.py": "import sys, os\nsys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), 'more'))\nimport p.other\n"}, code: "import a"},
	{name: "from future", files: map[string]string{"a.py": "from __future__ import print_function\nimport nothere\n"}, code: "import a", first: "No module named 'nothere'"},
	{name: "lambda and slices", files: map[string]string{"a.py": "f = lambda x: x\ng = [1][0:1]\nh = {'a': lambda: 0}\nif f(1): pass\nimport nothere\n"}, code: "import a", first: "No module named 'nothere'"},
	{name: "match", files: map[string]string{"a.py": "match 1:\n    case 1:\n        import b\n    case _:\n        import nothere\nmatch = {}\nmatch['x'] = 1\n", "b.py": ""}, code: "import a", least: 10},
	{name: "native module of another interpreter", files: map[string]string{"p/__init__.py": "from p import _x\n", "p/_x.cpython-27-x86_64-linux-gnu.so": ""}, code: "import p", least: 8,
		first: "cannot import name '_x' from partially initialized module 'p' (most likely due to a circular import) ({dir}/p/__init__.py)"},
	{name: "native module of another interpreter, from elsewhere", files: map[string]string{"p/__init__.py": "x = 1\n", "p/_x.cpython-27-x86_64-linux-gnu.so": "", "a.py": "from p import x, _x\n"}, code: "import a", least: 7,
		first: "cannot import name '_x' from 'p' ({dir}/p/__init__.py)"},
	{name: "native module of another interpreter, and a name of its own", files: map[string]string{"p/__init__.py": "_x = 1\nfrom p import _x\nfrom .q import *\n", "p/q.py": "", "p/_x.cpython-27-x86_64-linux-gnu.so": ""}, code: "import p"},
	{name: "native module of another interpreter, before names come from elsewhere", files: map[string]string{"p/__init__.py": "import p.main\nfrom p.main import *\n", "p/main.py": "from p import _x\n", "p/_x.cpython-27-x86_64-linux-gnu.so": ""}, code: "import p", least: 8,
		first: "cannot import name '_x' from partially initialized module 'p' (most likely due to a circular import) ({dir}/p/__init__.py)"},
	{name: "native module of another interpreter, behind names from elsewhere", files: map[string]string{"p/__init__.py": "from p.other import *\nimport p.main\n", "p/other.py": "__all__ = ['_x']\n_x = 1\n", "p/main.py": "from p import _x\n", "p/_x.cpython-27-x86_64-linux-gnu.so": ""}, code: "import p"},
	{name: "lazy attributes", files: map[string]string{"p/__init__.py": "import importlib\ndef __getattr__(name):\n    if name == 'sub':\n        return importlib.import_module('.sub', __name__)\n    raise AttributeError(name)\n", "p/sub.py": "import json\n", "a.py": "from p import sub\nimport p\np.sub\n"}, code: "import a"},
	{name: "lazy attributes that fail", files: map[string]string{"p/__init__.py": "def __getattr__(name):\n    import nothere\n", "a.py": "try:\n    from p import sub\nexcept ImportError:\n    pass\n"}, code: "import a"},
	{name: "lazy modules of a table", files: map[string]string{"p/__init__.py": "import sys, types\nclass Lazy(types.ModuleType):\n    __path__ = __path__\n    def __getattr__(self, name):\n        import importlib\n        return importlib.import_module('.' + name, __name__)\nsys.modules[__name__] = Lazy(__name__)\n", "p/sub.py": "import json\n", "a.py": "from p import sub, other\n", "p/other.py": ""}, code: "import a"},
	{name: "environment decides", files: map[string]string{"a.py": "import os\nif os.environ.get('NEVER'):\n    import nothere\nif not os.environ.get('NEVER'):\n    import b\n", "b.py": ""}, code: "import a"},
	{name: "platform decides", files: map[string]string{"a.py": "import platform, sys\nif platform.system() == 'Windows' or sys.platform in ('win32', 'darwin') or sys.byteorder == 'big':\n    import nothere\nif sys.implementation.name == 'pypy':\n    import nothere2\n"}, code: "import a"},
	{name: "size of words decides", files: map[string]string{"a.py": "import sys\nif sys.maxsize < 2**32:\n    import nothere\n"}, code: "import a"},
	{name: "main guard", files: map[string]string{"a.py": "if __name__ == '__main__':\n    import nothere\n"}, code: "import a"},
	{name: "handler looks at the message", files: map[string]string{"a.py": "try:\n    import nothere\nexcept ImportError as e:\n    if 'else' in str(e):\n        raise\n"}, code: "import a"},
	{name: "handler raises its own from nothing", files: map[string]string{"b.py": "try:\n    import nothere\nexcept ImportError:\n    raise ImportError('sorry') from None\n", "a.py": "try:\n    import b\nexcept ImportError:\n    import json\n"}, code: "import a"},
	{name: "else of a failed try", files: map[string]string{"a.py": "try:\n    import nothere\nexcept ImportError:\n    pass\nelse:\n    import neither\n"}, code: "import a"},
	{name: "circular names", files: map[string]string{"p/__init__.py": "from .a import x\n", "p/a.py": "from . import b\nx = 1\n", "p/b.py": "from . import a\nimport json\n"}, code: "import p"},
	{name: "bare name of a package in the table", files: map[string]string{"a.py": "import sys\nsys.modules['gone'] = None\ntry:\n    import gone\nexcept ImportError:\n    pass\n"}, code: "import a"},
	{name: "star of an unknown name", files: map[string]string{"p/__init__.py": "__all__ = ['gone']\n", "a.py": "try:\n    from p import *\nexcept AttributeError:\n    pass\n"}, code: "import a"},
	{name: "import in a decorator's argument", files: map[string]string{"a.py": "@(lambda f: f)\ndef f(x=__import__('json')):\n    import nothere\n"}, code: "import a"},
	{name: "import in an expression", files: map[string]string{"a.py": "try:\n    x = __import__('nothere')\nexcept ImportError:\n    x = None\n"}, code: "import a"},
	{name: "loops that do not run", files: map[string]string{"a.py": "for x in []:\n    import nothere\nwhile False:\n    import nothere\nelse:\n    import b\n", "b.py": ""}, code: "import a"},
	{name: "version text", files: map[string]string{"a.py": "import sys\nif sys.version.startswith('2') or sys.version_info.major == 2 or sys.hexversion < 0x3000000:\n    import nothere\n"}, code: "import a"},
	{name: "version of a package", files: map[string]string{"q.py": "__version__ = '2.0'\n", "a.py": "import q\nif q.__version__ < '1':\n    import nothere\n"}, code: "import a"},
	{name: "a module hides a package's attribute", files: map[string]string{"p/__init__.py": "from .sub import sub\n", "p/sub.py": "sub = 1\n", "a.py": "import p.sub\nfrom p import sub\n"}, code: "import a"},
	{name: "namespace package with parts of two kinds", files: map[string]string{"n/a.py": "", "n/q/__init__.py": "from n import a\nfrom n.q import r\n", "n/q/r.py": ""}, code: "import n.q"},
	{name: "relative to a namespace", files: map[string]string{"n/a.py": "from . import b\nfrom .b import c\n", "n/b.py": "c = 1\n"}, code: "import n.a"},
	{name: "name that a test binds", files: map[string]string{"a.py": "try:\n    import nothere\n    HAVE = True\nexcept ImportError:\n    HAVE = False\nif HAVE:\n    import neither\n"}, code: "import a"},
	{name: "optional by find_spec", files: map[string]string{"a.py": "import importlib.util\nif importlib.util.find_spec('nothere') is not None:\n    import nothere\n"}, code: "import a"},
	{name: "function called at the top", files: map[string]string{"a.py": "def f():\n    import json\n    try:\n        import nothere\n    except ImportError:\n        pass\nf()\n"}, code: "import a"},
	{name: "deleted name", files: map[string]string{"p/__init__.py": "from . import sub\ndel sub\n", "p/sub.py": "", "a.py": "from p import sub\n"}, code: "import a"},
	{name: "exec of text", files: map[string]string{"a.py": "exec('import json')\ntry:\n    exec('import nothere')\nexcept ImportError:\n    pass\n"}, code: "import a"},
	{name: "import hook", files: map[string]string{"h.py": "import sys, importlib.machinery, importlib.abc\nclass F(importlib.abc.MetaPathFinder, importlib.abc.Loader):\n    def find_spec(self, name, path, target=None):\n        if name == 'made':\n            return importlib.machinery.ModuleSpec(name, self)\n    def create_module(self, spec): return None\n    def exec_module(self, m): pass\nsys.meta_path.append(F())\n", "a.py": "import h\nimport made\n"}, code: "import a"},
	{name: "zip that a module adds", files: map[string]string{"a.py": "import sys\nsys.path.insert(0, '/nowhere.zip')\ntry:\n    import nothere\nexcept ImportError:\n    pass\n"}, code: "import a"},
	{name: "bytecode only", files: map[string]string{"a.py": "import compiled\n", "compiled.pyc": ""}, code: "try:\n    import a\nexcept ImportError: pass"},
}

// TestCasesAgreeWithPython runs each case with several interpreters.
func TestCasesAgreeWithPython(t *testing.T) {
	all := pythons(t)
	if !everything() { // the oldest and the newest
		slices.SortFunc(all, func(a, b string) int { return cmp.Compare(detect(t, a).Version.Minor, detect(t, b).Version.Minor) })
		all = slices.Compact([]string{all[0], all[len(all)-1]})
	}
	for _, python := range all {
		py := detect(t, python)
		for _, c := range cases {
			if py.Version.Minor < c.least {
				continue
			}
			t.Run(py.Version.String()+": "+c.name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				for name, text := range c.files {
					must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
					must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
				}
				report, err := Scan(t.Context(), rootfs.Dir("/"), Request{Python: py, Known: &parsed, Command: []string{python, "-c", c.code}, Env: map[string]string{"PYTHONPATH": dir}, Deep: true})
				must(t, err)
				for _, w := range disagreements(report, trace(t, python, c.code, "PYTHONPATH="+dir)) {
					t.Error(w)
				}
				first := ""
				if m := report.First(); m != nil {
					first = m.Message
				}
				if first != strings.ReplaceAll(c.first, "{dir}", dir) {
					t.Errorf("the scan says %q, want %q", first, c.first)
				}
			})
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestZipOnPath imports packages out of an archive, as Python does.
func TestZipOnPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "lib.zip")
	f, err := os.Create(file)
	must(t, err)
	w := zip.NewWriter(f)
	for name, text := range map[string]string{"p/__init__.py": "from . import sub", "p/sub.py": "import nothere", "top.py": "import json", "n/": "", "n/part.py": ""} {
		e, err := w.Create(name)
		must(t, err)
		_, err = e.Write([]byte(text))
		must(t, err)
	}
	must(t, w.Close())
	must(t, f.Close())
	for _, python := range pythons(t) {
		py := detect(t, python)
		for _, code := range []string{"import top", "import p", "import p.sub", "import n.part"} {
			report, err := Scan(t.Context(), rootfs.Dir("/"), Request{Python: py, Known: &parsed, Command: []string{python, "-c", code}, Env: map[string]string{"PYTHONPATH": file}, Deep: true})
			must(t, err)
			for _, wrong := range disagreements(report, trace(t, python, code, "PYTHONPATH="+file)) {
				t.Errorf("%s: %s: %s", py.Version, code, wrong)
			}
		}
	}
}

// TestSysPathAgrees: sys.path is the interpreter's own, with PYTHONPATH and without, and .pth files read.
func TestSysPathAgrees(t *testing.T) {
	for _, python := range append(pythons(t), demoPython) {
		if _, err := os.Stat(python); err != nil {
			continue
		}
		py := detect(t, python)
		for _, list := range []string{"", "/nonexistent:/tmp:", "/tmp/:/tmp"} {
			env := map[string]string{"PYTHONPATH": list}
			out, err := command(python, "-c", "import sys; print('\\n'.join(sys.path[1:]))", "PYTHONPATH="+list)
			must(t, err)
			got := strings.Join(newSite(rootfs.Dir("/"), py, options{env: env, cwd: "/"}).path, "\n")
			if want := strings.TrimSpace(out); got != want {
				t.Errorf("%s, PYTHONPATH=%s:\n%s\nwant\n%s", python, list, got, want)
			}
		}
	}
}
