package imports

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/rootfs"
)

var fuzzPython = abi.Python{Version: abi.Version{Major: 3, Minor: 11, Micro: 2}, Implementation: "cpython", Suffixes: []string{".so"}, Stdlib: "/lib/python3.11"}

// FuzzParse: no text makes the parser panic, hang, or say a line that the text does not have.
func FuzzParse(f *testing.F) {
	for _, c := range cases {
		for _, text := range c.files {
			f.Add(text)
		}
	}
	for _, s := range []string{"f'{", "f\"{x:{y:{z}}}\"", "rf'\\{x}'", "'''", "\\", "(\n(", "if x:\n\ttry:\n  else:\n", "from . import (", "import a.b.", "x = ((((((((1", strings.Repeat("if x:\n ", 300),
		"from .... import *", "class", "async def", "match x:", "lambda: (", "\x00", "# coding: utf-7\nimport x", "exec('", "import_module('a.b'", "if sys.version_info >= (3,:\n pass"} {
		f.Add(s)
	}
	known := newFacts(fuzzPython)
	f.Fuzz(func(t *testing.T, src string) {
		u := parse(src, known, "p")
		lines := int32(strings.Count(strings.ReplaceAll(src, "\r", "\n"), "\n") + 1)
		within := func(body []statement) {}
		within = func(body []statement) {
			for _, s := range body {
				if s.line < 1 || s.line > lines {
					t.Fatalf("line %d of %d: %q", s.line, lines, src)
				}
				for _, a := range s.arms {
					within(a.body)
				}
			}
		}
		within(u.body)
	})
}

// FuzzScan imports what the text says, in a tree where a few names are there.
func FuzzScan(f *testing.F) {
	root := f.TempDir()
	for name, text := range map[string]string{"lib/python3.11/encodings/__init__.py": "", "lib/python3.11/io.py": "", "lib/python3.11/abc.py": "", "lib/python3.11/site.py": "",
		"lib/python3.11/p/__init__.py": "from . import q\nfrom r import *\n", "lib/python3.11/p/q.py": "import p.q.r\nimport r", "lib/python3.11/r.py": "import p\ntry:\n import x\nexcept ImportError:\n raise\n"} {
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			f.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	for _, c := range cases {
		for _, text := range c.files {
			f.Add(text)
		}
	}
	f.Add("import p.q.r, r\nfrom p import *\nfrom .p import q\nimport os.path\n")
	view := rootfs.Dir(root)
	f.Fuzz(func(t *testing.T, src string) {
		report, err := Scan(t.Context(), view, Request{Python: fuzzPython, Command: []string{"python3", "-c", src}, Deep: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range report.Missing {
			if m.Reach == "" || m.Message == "" {
				t.Errorf("%+v of %q", m, src)
			}
		}
		report.Findings(true)
	})
}

// FuzzCommand: no command makes the search for its programs panic or hang.
func FuzzCommand(f *testing.F) {
	for _, s := range []string{"python3 -u -X dev -W ignore train.py --lr 1", "bash -c 'cd /x && exec python -m a.b \"c d\"'", "env A=1 -u B python -c 'import x'", "torchrun --nproc-per-node 8 t.py",
		"sh -c \"sh -c 'sh -c python'\"", "timeout -s KILL 5 nice -n 3 python x", "python -", "python -m", "env -S 'python -I x'", "\\", "'", "a>b<c|d;;&&"} {
		f.Add(s)
	}
	view := rootfs.Dir(f.TempDir())
	f.Fuzz(func(t *testing.T, line string) {
		for _, words := range commands(line) {
			understand(view, Request{Command: words})
		}
		understand(view, Request{Command: []string{"sh", "-c", line}})
	})
}

// FuzzSite: no .pth file, finder, list of entry points or RECORD makes their readers panic.
func FuzzSite(f *testing.F) {
	for _, s := range []string{"import __editable___x_finder; __editable___x_finder.install()", "MAPPING: dict[str, str] = {'a': '/b', 'c.d': '/e'}\n", "[torch.backends]\nx = y:z\n",
		"import site, sys; sys.version_info[:2] == (3, 11) and (site.addsitedir('/opt/\\U00000041'))", "import sys; sys._hostrun = len(sys.path)\n/x\nimport sys; sys.path.index('/')",
		"import sys,types,os;p = os.path.join(sys._getframe(1).f_locals['sitedir'], *('a', 'b'));", "a/__init__.py,,\nb.py,,\n", "\x00",
		"NAMESPACES = {'a': ['/b', '/c'], 'c': []}\nPATH_PLACEHOLDER = 'x' + \".__path_hook__\"\n", "from editables.redirector import RedirectingFinder as F\nF.install()\nF.map_module('p', '/q/__init__.py')",
		"class ScikitBuildRedirectingFinder:\n    pass\ninstall({'p': '/q/__init__.py'}, {'p._core': 'p/_core.so'}, {'p': ['/q', 'p']}, ['p'], None, False)\n"} {
		f.Add(s)
	}
	root := f.TempDir()
	view := rootfs.Dir(root)
	f.Fuzz(func(t *testing.T, text string) {
		s := newSite(view, fuzzPython, options{})
		s.addPth("/", "/x.pth", []byte(text))
		if err := os.WriteFile(filepath.Join(root, "finder.py"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		s.addFinder("/finder.py")
		s.addRedirects("/finder.py")
		f := newFinder(view, fuzzPython)
		defer f.close()
		for _, name := range []string{"a", "c.d", "p", "p._core"} {
			s.findEditable(f, name)
			s.redirected(f, name)
		}
		entryPoints(text, "torch.backends")
		if err := os.WriteFile(filepath.Join(root, "RECORD"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		(&scanner{view: view}).recordModules("/RECORD")
	})
}
