package proof

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/rootfs"
)

// thePython is the machine's own interpreter, in the machine's own files.
func thePython(t testing.TB) abi.Python {
	t.Helper()
	py, err := abi.DetectPython(rootfs.Dir("/"), "/usr/bin/python3", abi.Environment{})
	if err != nil {
		fixture.Skip(t, "no Python at /usr/bin/python3: "+err.Error())
	}
	return py
}

// A library is compiled from code, below a site directory. extra are options of gcc.
type library struct {
	path  string
	code  string
	extra []string
}

// module is a native module without anything in it; its initialisation calls what code defines as use().
func module(path, code string, extra ...string) library {
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	text := fmt.Sprintf(`%s
extern void *PyModule_Create2(void *, int);
static void *def[16] = {(void *)1, 0, 0, 0, 0, "%s", 0, (void *)-1};
void *PyInit_%s(void) { return PyModule_Create2(def, 1013); }`, code, name, name)
	return library{path, text, extra}
}

func (l library) build(t testing.TB, site string) {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		fixture.Skip(t, "gcc makes the modules: "+err.Error())
	}
	out := filepath.Join(site, l.path)
	source := filepath.Join(t.TempDir(), "s.c")
	if err := errors.Join(os.MkdirAll(filepath.Dir(out), 0o755), os.WriteFile(source, []byte(l.code), 0o644)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("gcc", append([]string{"-shared", "-fPIC", "-o", out, source}, l.extra...)...)
	cmd.Dir = site
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", l.path, err, text)
	}
}

// A world is a site directory and a program.
type world struct {
	name    string
	build   []library
	remove  []string
	sources map[string]string
	script  string
	id      string // of the finding that stops it; "" for none
	fails   bool   // it ends with an error, really; where id is "", files can't tell
	verdict map[string]Verdict
}

const usesP = "extern int p(void); int use(void) { return p(); }"

var libp = library{"prov/lib/libp.so", "int p(void) { return 1; }", []string{"-Wl,-soname,libp.so"}}

var linksP = []string{"-Lprov/lib", "-lp"}

// staticTLS wants bytes of the static TLS block.
func staticTLS(bytes int) string {
	return fmt.Sprintf("__attribute__((tls_model(\"initial-exec\"))) __thread char block[%d]; char *use(int i) { return block + i; }", bytes)
}

var worlds = []world{
	{name: "more static TLS than any process has", build: []library{module("pkg/_a.so", staticTLS(20000))},
		sources: map[string]string{"pkg/__init__.py": "from . import _a"}, script: "import pkg", id: finding.NativeGate, fails: true,
		verdict: map[string]Verdict{"pkg._a": Gate}},
	{name: "static TLS is taken by another module", build: []library{module("pkg/_a.so", staticTLS(1100)), module("pkg/_b.so", staticTLS(1100))},
		sources: map[string]string{"pkg/__init__.py": "from . import _a, _b"}, script: "import pkg", fails: true, verdict: map[string]Verdict{"pkg._a": OK, "pkg._b": Gate}},
	{name: "whole", build: []library{module("pkg/_a.so", "")}, sources: map[string]string{"pkg/__init__.py": "from . import _a"},
		script: "import pkg", verdict: map[string]Verdict{"pkg._a": OK}},
	{name: "library gone", build: []library{libp, module("pkg/_a.so", usesP, linksP...)}, remove: []string{"prov/lib/libp.so"},
		sources: map[string]string{"pkg/__init__.py": "from . import _a"}, script: "import pkg", id: finding.NativeMissing, fails: true,
		verdict: map[string]Verdict{"pkg._a": Missing}},
	{name: "a copy of the library is there, under a name that no program loads", build: []library{libp, {"prov/lib/libp.so.kept", libp.code, libp.extra}, module("pkg/_a.so", usesP, linksP...)},
		remove: []string{"prov/lib/libp.so"}, sources: map[string]string{"pkg/__init__.py": "from . import _a"}, script: "import pkg", id: finding.NativeMissing, fails: true},
	{name: "the failure is caught", build: []library{libp, module("pkg/_a.so", usesP, linksP...)}, remove: []string{"prov/lib/libp.so"},
		sources: map[string]string{"pkg/__init__.py": "try:\n    from . import _a\nexcept ImportError:\n    _a = None"}, script: "import pkg",
		verdict: map[string]Verdict{"pkg._a": Missing}},
	{name: "the failure is caught, and another one raised", build: []library{libp, module("pkg/_a.so", usesP, linksP...)}, remove: []string{"prov/lib/libp.so"},
		sources: map[string]string{"pkg/__init__.py": "try:\n    from . import _a\nexcept ImportError as err:\n    raise ImportError('sorry') from err"},
		script:  "import pkg", id: finding.NativeMissing, fails: true},
	{name: "a handler takes another module", build: []library{libp, module("pkg/_a.so", usesP, linksP...), module("pkg/_b.so", usesP, linksP...)}, remove: []string{"prov/lib/libp.so"},
		sources: map[string]string{"pkg/__init__.py": "try:\n    from . import _a\nexcept ImportError:\n    from . import _b"},
		script:  "import pkg", id: finding.NativeMissing, fails: true},
	{name: "under a condition", build: []library{libp, module("pkg/_a.so", usesP, linksP...)}, remove: []string{"prov/lib/libp.so"},
		sources: map[string]string{"pkg/__init__.py": "import os\nif os.environ.get('NEVER_SET'):\n    from . import _a"}, script: "import pkg"},
	{name: "the provider is imported first", build: []library{libp, module("prov/_p.so", usesP, append(linksP, "-Wl,-rpath,$ORIGIN/lib")...), module("pkg/_a.so", usesP, linksP...)},
		sources: map[string]string{"prov/__init__.py": "from . import _p", "pkg/__init__.py": "import prov\nfrom . import _a"}, script: "import pkg",
		verdict: map[string]Verdict{"pkg._a": OK, "prov._p": OK}},
	{name: "the provider may be imported first", build: []library{libp, module("prov/_p.so", usesP, append(linksP, "-Wl,-rpath,$ORIGIN/lib")...), module("pkg/_a.so", usesP, linksP...)},
		sources: map[string]string{"prov/__init__.py": "from . import _p", "pkg/__init__.py": "import os\nif os.sep:\n    import prov\nfrom . import _a"}, script: "import pkg"},
	{name: "ctypes loads the provider", build: []library{libp, module("pkg/_a.so", usesP, linksP...)},
		sources: map[string]string{"pkg/__init__.py": "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), '../prov/lib/libp.so'))\nfrom . import _a"},
		script:  "import pkg", verdict: map[string]Verdict{"pkg._a": Conditional}},
	{name: "ctypes loads the provider, whose file is called otherwise", build: []library{{"prov/lib/libp.so", libp.code, []string{"-Wl,-soname,libp.so.28"}}, module("pkg/_a.so", usesP, linksP...)},
		sources: map[string]string{"pkg/__init__.py": "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), '../prov/lib/libp.so'))\nfrom . import _a"},
		script:  "import pkg", verdict: map[string]Verdict{"pkg._a": Conditional}},
	{name: "nobody loads the provider, which files can't tell", build: []library{libp, module("pkg/_a.so", usesP, linksP...)},
		sources: map[string]string{"pkg/__init__.py": "from . import _a"}, script: "import pkg", fails: true, verdict: map[string]Verdict{"pkg._a": Conditional}},
	{name: "ctypes loads the symbols", build: []library{libp, module("pkg/_a.so", usesP)},
		sources: map[string]string{"pkg/__init__.py": "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), '../prov/lib/libp.so'), ctypes.RTLD_GLOBAL)\nfrom . import _a"},
		script:  "import pkg"},
	{name: "nothing defines the symbol", build: []library{module("pkg/_a.so", usesP)},
		sources: map[string]string{"pkg/__init__.py": "from . import _a"}, script: "import pkg", id: finding.NativeUndefined, fails: true,
		verdict: map[string]Verdict{"pkg._a": Undefined}},
	{name: "made for another Python", build: []library{module("pkg/_a.cpython-38-x86_64-linux-gnu.so", "")},
		sources: map[string]string{"pkg/__init__.py": "import pkg._a"}, script: "import pkg", id: finding.NativeSuffix, fails: true,
		verdict: map[string]Verdict{"pkg._a": IgnoredSuffix}},
	{name: "made for another Python too", build: []library{module("pkg/_a.cpython-38-x86_64-linux-gnu.so", ""), module("pkg/_a.abi3.so", "")},
		sources: map[string]string{"pkg/__init__.py": "from . import _a"}, script: "import pkg", verdict: map[string]Verdict{"pkg._a": OK}},
	{name: "the command adds to sys.path", sources: map[string]string{"more/inner.py": ""},
		script: "import os, sys\nsys.path.insert(0, os.environ['PYTHONPATH'] + '/more')\nimport inner"},
	{name: "not imported", build: []library{module("pkg/_a.so", usesP)}, sources: map[string]string{"pkg/__init__.py": "def f():\n    from . import _a"}, script: "import pkg"},
}

// TestWorlds holds the proof against the interpreter itself. What it refuses must fail, and by the words that it quotes.
func TestWorlds(t *testing.T) {
	py := thePython(t)
	for _, w := range worlds {
		t.Run(w.name, func(t *testing.T) {
			site := w.make(t)
			r := prove(t, py, site, w.script)
			out, err := run(site, w.script)
			if (err != nil) != w.fails {
				t.Fatalf("the interpreter itself: %v: %s", err, out)
			}
			stops := finding.Errors(r.Findings)
			switch {
			case w.id == "" && len(stops) > 0:
				t.Errorf("a false alarm: %+v", stops)
			case w.id != "" && (len(stops) == 0 || stops[0].ID != w.id):
				t.Errorf("%+v, want %s", stops, w.id)
			case w.id != "" && !strings.Contains(out, strings.TrimPrefix(stops[0].Message, "ImportError: ")):
				t.Errorf("it quotes %q, and the interpreter says %s", stops[0].Message, out)
			}
			for name, want := range w.verdict {
				if at := slices.IndexFunc(r.All, func(m Module) bool { return m.Name == name }); at < 0 || r.All[at].Verdict != want {
					t.Errorf("%s: %+v, want %s", name, r.All, want)
				}
			}
		})
	}
}

func (w world) make(t testing.TB) string {
	t.Helper()
	site := t.TempDir()
	for _, l := range w.build {
		l.build(t, site)
	}
	for _, file := range w.remove {
		if err := os.Remove(filepath.Join(site, file)); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range w.sources {
		file := filepath.Join(site, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text+"\n"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return site
}

// shown is where the site directory is mounted.
const shown = "/opt/site"

func view(t testing.TB, site string) *rootfs.View {
	t.Helper()
	v, err := rootfs.Mounted(rootfs.Dir("/"), rootfs.Mount{Source: site, Destination: shown})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func request(py abi.Python, script string) Request {
	return Request{Python: py, Command: []string{py.Executable, "-c", script}, WorkingDir: "/", Env: map[string]string{"PYTHONPATH": shown, "PATH": "/usr/bin"},
		HostDirs: []string{shown}, SiteDirs: []string{shown}}
}

func prove(t testing.TB, py abi.Python, site, script string) Report {
	t.Helper()
	r, err := Prove(context.Background(), view(t, site), request(py, script))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func run(site, script string) (string, error) {
	cmd := exec.Command("/usr/bin/python3", "-B", "-c", script)
	cmd.Env = []string{"PYTHONPATH=" + site, "PATH=/usr/bin"}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	return strings.ReplaceAll(string(out), site, shown), err
}

// TestCancelled: ^C ends a proof.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Prove(ctx, view(t, t.TempDir()), request(thePython(t), "import json")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestHostileTree: links that lead back, pipes, names with newlines, huge files of nothing. The proof ends, and says which
// modules do not load.
func TestHostileTree(t *testing.T) {
	py, site := thePython(t), t.TempDir()
	for _, err := range []error{
		os.Symlink(".", filepath.Join(site, "loop")), os.Symlink("..", filepath.Join(site, "up")), os.Symlink("gone", filepath.Join(site, "dangling.so")),
		exec.Command("mkfifo", filepath.Join(site, "pipe.so")).Run(), os.WriteFile(filepath.Join(site, "two\nlines.so"), nil, 0o644),
		os.WriteFile(filepath.Join(site, "zeros.so"), nil, 0o644), os.Truncate(filepath.Join(site, "zeros.so"), 4<<30), os.Mkdir(filepath.Join(site, "dir.so"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r := prove(t, py, site, "import json")
	if len(finding.Errors(r.Findings)) > 0 || r.Counts.Fail != 2 {
		t.Errorf("%+v %+v", r.Counts, r.Findings)
	}
}

// TestFindingsAreInTheOrderOfExecution: a module that is not found stands before a native one that comes later, and the first is the one that
// Python tells.
func TestFindingsAreInTheOrderOfExecution(t *testing.T) {
	w := world{build: []library{module("pkg/_a.so", usesP)}, sources: map[string]string{"pkg/__init__.py": "import hrgone\nfrom . import _a\nimport hrlater"}}
	var ids []string
	for _, f := range finding.Errors(prove(t, thePython(t), w.make(t), "import pkg").Findings) {
		ids = append(ids, f.ID+" "+f.Subject)
	}
	if want := []string{"HR090 hrgone", "HR103 pkg._a", "HR090 hrlater"}; !slices.Equal(ids, want) {
		t.Errorf("%v, want %v", ids, want)
	}
}
