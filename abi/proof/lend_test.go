package proof

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/exectest"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// A lendingHost is a host of its own, below a directory, that has the loader of this machine, its C library, and what build adds
// to its directory of libraries.
type lendingHost struct {
	root, dir string
}

func newLendingHost(t *testing.T, build ...library) lendingHost {
	t.Helper()
	root := t.TempDir()
	interpreter, err := ld.Interpreter(rootfs.Dir("/"), "/usr/bin/python3")
	must(t, err)
	system, err := ld.NewSystem(rootfs.Dir("/"), interpreter, ld.Options{})
	must(t, err)
	libc, ok := system.Find("libc.so.6")
	if !ok {
		t.Fatal("no C library")
	}
	h := lendingHost{root, "/lib/" + filepath.Base(filepath.Dir(libc.Real))}
	for from, to := range map[string]string{interpreter: interpreter, libc.Real: h.dir + "/libc.so.6"} {
		text, err := os.ReadFile(from)
		must(t, errors.Join(err, os.MkdirAll(filepath.Dir(root+to), 0o755)))
		must(t, exectest.WriteFile(root+to, text, 0o755))
	}
	for _, l := range build {
		l.build(t, root+h.dir)
	}
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h lendingHost) request(t *testing.T, script string) Request {
	r := request(thePython(t), script)
	r.Lend = Lending{HostRoot: h.root, Libraries: "/opt/hostrun/lib"}
	return r
}

func verdictOf(r Report, name string) Verdict {
	at := slices.IndexFunc(r.All, func(m Module) bool { return m.Name == name })
	if at < 0 {
		return ""
	}
	return r.All[at].Verdict
}

// lent is a name that no machine has a library of.
func lent(file string) library {
	return library{file, "int lent(void) { return 1; }", []string{"-Wl,-soname," + filepath.Base(file)}}
}

const usesLent = "extern int lent(void); int use(void) { return lent(); }"

// TestLibrariesAreLent: to a module that the command imports, and to one that stands beside it; not to those of other
// packages. The proof is made with what is lent.
func TestLibrariesAreLent(t *testing.T) {
	h := newLendingHost(t, lent("libhrone.so.1"), lent("libhrtwo.so.1"), lent("libhrother.so.1"))
	libs := "-L" + h.root + h.dir
	w := world{build: []library{module("pkg/_a.so", usesLent, libs, "-l:libhrone.so.1"), module("pkg/_b.so", usesLent, libs, "-l:libhrtwo.so.1"),
		module("far/_c.so", usesLent, libs, "-l:libhrother.so.1")},
		sources: map[string]string{"pkg/__init__.py": "from . import _a", "far/__init__.py": ""}}
	site := w.make(t)
	base := view(t, site)
	r, err := Prove(context.Background(), base, h.request(t, "import pkg"))
	must(t, err)
	for name, want := range map[string]Verdict{"pkg._a": OK, "pkg._b": OK, "far._c": Missing} {
		if got := verdictOf(r, name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if len(finding.Errors(r.Findings)) > 0 || r.Lent == nil || len(r.Lent.Libraries) != 2 || !strings.HasSuffix(r.Lent.Summary(), "from the host, for pkg") {
		t.Fatalf("lends %+v; %+v", r.Lent, r.Findings)
	}
	if len(r.Lent.Binds) != 1 || r.Lent.Binds[0].Source != h.dir || r.Lent.Binds[0].Destination != "/opt/hostrun/lib"+h.dir || !r.Lent.Binds[0].Dir {
		t.Errorf("binds %+v", r.Lent.Binds)
	}
	h.replay(t, base, r.Lent)
	for _, l := range []Lending{{}, {HostRoot: h.root, Off: true}} {
		request := h.request(t, "import pkg")
		request.Lend = l
		r, err := Prove(context.Background(), base, request)
		must(t, err)
		if stops := finding.Errors(r.Findings); len(stops) != 1 || stops[0].ID != finding.NativeMissing || r.Lent != nil ||
			strings.Contains(stops[0].Remedy, "borrow_libraries") != l.Off {
			t.Errorf("%+v: %+v, %+v", l, stops, r.Lent)
		}
	}
}

// TestComputedName: a package that imports its native module by a name that files do not tell, as OpenCV's wheels do.
func TestComputedName(t *testing.T) {
	h := newLendingHost(t, lent("libhrgl.so.1"))
	w := world{build: []library{module("cv/cv.abi3.so", usesLent, filepath.Join(h.root, h.dir, "libhrgl.so.1"))},
		sources: map[string]string{"cv/__init__.py": "import importlib\nname = ''.join(['c', 'v.cv'])\nimportlib.import_module(name)"}}
	r, err := Prove(context.Background(), view(t, w.make(t)), h.request(t, "import cv"))
	must(t, err)
	if verdictOf(r, "cv.cv") != OK || r.Lent == nil || len(r.Lent.Libraries) != 1 {
		t.Errorf("%+v, lends %+v", r.All, r.Lent)
	}
}

// replay: with exactly the mounts and the file that are recorded, and no lender, the loader finds the same.
func (h lendingHost) replay(t *testing.T, base *rootfs.View, l *Lent) {
	t.Helper()
	cache := filepath.Join(t.TempDir(), "ld.so.cache")
	must(t, os.WriteFile(cache, l.Cache, 0o644))
	mounts := []rootfs.Mount{{Source: cache, Destination: ld.CachePath}}
	for _, b := range l.Binds {
		mounts = append(mounts, rootfs.Mount{Source: filepath.Join(h.root, b.Source), Destination: b.Destination})
	}
	v, err := rootfs.Mounted(base, mounts...)
	must(t, err)
	r, err := Prove(context.Background(), v, request(thePython(t), "import pkg"))
	must(t, err)
	if len(finding.Errors(r.Findings)) > 0 || verdictOf(r, "pkg._a") != OK || verdictOf(r, "pkg._b") != OK {
		t.Errorf("with what was recorded: %+v", r.Findings)
	}
	own, err := ld.ReadCache(base)
	must(t, err)
	merged, err := ld.ParseCache(l.Cache)
	must(t, err)
	if len(merged.Entries) != len(own.Entries)+len(l.Libraries) {
		t.Errorf("%d entries from %d and %d", len(merged.Entries), len(own.Entries), len(l.Libraries))
	}
}

// TestRefusalIsToldWithItsReason: a library of the host that is not lent stops the start as before, and says why.
func TestRefusalIsToldWithItsReason(t *testing.T) {
	h := newLendingHost(t, library{"libhrnew.so.1", "#include <stdlib.h>\nint lent(void) { return malloc(1) != 0; }", []string{"-Wl,-soname,libhrnew.so.1"}})
	file := filepath.Join(h.root, h.dir, "libhrnew.so.1")
	w := world{build: []library{module("pkg/_a.so", usesLent, file)}, sources: map[string]string{"pkg/__init__.py": "from . import _a"}}
	site := w.make(t)
	text, err := os.ReadFile(file)
	must(t, err)
	changed := bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("GLIBC_2.2.5\x00"), []byte("GLIBC_9.2.5\x00")), []byte("GLIBC_2.17\x00"), []byte("GLIBC_9.17\x00"))
	must(t, os.WriteFile(file, changed, 0o755))
	r, err := Prove(context.Background(), view(t, site), h.request(t, "import pkg"))
	must(t, err)
	stops := finding.Errors(r.Findings)
	if len(stops) != 1 || stops[0].ID != finding.NativeMissing || !strings.Contains(stops[0].Remedy, "libhrnew.so.1 is not lent") || !strings.Contains(stops[0].Remedy, "asks for GLIBC_9.") {
		t.Errorf("%+v", stops)
	}
}

// TestOlderLibraryThatIsLoadedAlready: one module loads the container's library, a later one needs a newer build of it. With
// the host's in its place both load, which only a second round shows.
func TestOlderLibraryThatIsLoadedAlready(t *testing.T) {
	old, newer := filepath.Join(t.TempDir(), "old.map"), filepath.Join(t.TempDir(), "new.map")
	must(t, os.WriteFile(old, []byte("V1 { global: one; };\n"), 0o644))
	must(t, os.WriteFile(newer, []byte("V1 { global: one; };\nV2 { global: two; };\n"), 0o644))
	soname := "-Wl,-soname,libhrver.so.1"
	h := newLendingHost(t, library{"libhrver.so.1", "int one(void) { return 1; }\nint two(void) { return 2; }", []string{soname, "-Wl,--version-script=" + newer}})
	own := t.TempDir()
	library{"libhrver.so.1", "int one(void) { return 1; }", []string{soname, "-Wl,--version-script=" + old}}.build(t, own)
	file := filepath.Join(h.root, h.dir, "libhrver.so.1")
	w := world{build: []library{module("pkg/_a.so", "extern int one(void); int use(void) { return one(); }", file),
		module("pkg/_b.so", "extern int two(void); int use(void) { return two(); }", file)},
		sources: map[string]string{"pkg/__init__.py": "from . import _a\nfrom . import _b"}}
	v, err := rootfs.Mounted(view(t, w.make(t)), rootfs.Mount{Source: filepath.Join(own, "libhrver.so.1"), Destination: "/usr" + h.dir + "/libhrver.so.1"})
	must(t, err)
	r, err := Prove(context.Background(), v, h.request(t, "import pkg"))
	must(t, err)
	if len(finding.Errors(r.Findings)) > 0 || verdictOf(r, "pkg._a") != OK || verdictOf(r, "pkg._b") != OK || r.Lent == nil || r.Lent.Libraries[0].Instead == "" {
		t.Errorf("%+v; lends %+v", r.All, r.Lent)
	}
}

// bindings are what links of packages lead to, and what becomes of each.
var bindings = []struct {
	name, source, destination string
	bound                     bool
	why                       string
}{
	{"a directory", "/srv/data", "/opt/data", true, ""},
	{"a file, at its own path", "/usr/share/hr/words.txt", "/usr/share/hr/words.txt", true, ""},
	{"below a home", "/home/ann/code/src", "/home/ann/code/src", true, ""},
	{"a home", "/home/ann", "/opt/ann", false, "home"},
	{"a key", "/home/ann/.ssh/id", "/opt/id", false, "keys"},
	{"a cache as a whole", "/root/.cache", "/opt/cache", false, "home"},
	{"one cache", "/root/.cache/uv/archive-v0", "/root/.cache/uv/archive-v0", true, ""},
	{"root's home", "/root", "/opt/root", false, "whole tree"},
	{"all", "/", "/opt/all", false, "whole tree"},
	{"configuration", "/etc/shadow", "/opt/shadow", false, "configuration"},
	{"an alternative", "/etc/alternatives/thing", "/opt/thing", true, ""},
	{"a link to a home", "/srv/tohome", "/opt/tohome", false, "home"},
	{"a home that lies elsewhere", "/data/bea", "/opt/bea", false, "home"}, // was bound with its keys
	{"code in it", "/data/bea/code", "/opt/code", true, ""},
	{"what the container has", "/srv/data", "/usr/bin", false, "something else"},
	{"what is not there", "/srv/gone", "/opt/gone", false, ""},
	{"in a mount", "/srv/data", shown + "/new/place", false, "a mount covers"},
	{"the kernel's", "/srv/data", "/proc/hr", false, "without being asked"},
}

func TestPlacesThatAreBound(t *testing.T) {
	root := t.TempDir()
	for _, file := range []string{"srv/data/x", "usr/share/hr/words.txt", "home/ann/code/src/x.py", "home/ann/.ssh/id", "root/.cache/uv/archive-v0/x", "etc/shadow", "etc/alternatives/thing", "data/bea/.ssh/id", "data/bea/code/x.py"} {
		must(t, errors.Join(os.MkdirAll(filepath.Join(root, filepath.Dir(file)), 0o755), os.WriteFile(filepath.Join(root, file), nil, 0o644)))
	}
	must(t, os.Symlink("/home/ann", filepath.Join(root, "srv/tohome")))
	for _, c := range bindings {
		t.Run(c.name, func(t *testing.T) {
			p := &prover{view: view(t, t.TempDir()), r: Request{Lend: Lending{HostRoot: root}}}
			if p.lendPlace(Lead{Source: c.source, Destination: c.destination, For: "pkg", Kind: BindLink}) != c.bound || len(p.binds) == 1 != c.bound {
				t.Errorf("bound %+v", p.binds)
			}
			if len(p.left) == 1 != (c.why != "") || c.why != "" && !strings.Contains(p.left[0].Why, c.why) {
				t.Errorf("left %+v, want %q", p.left, c.why)
			}
		})
	}
}

// TestSourcesThatAreLent: what a .pth file of the host's packages names is bound; what one of the image names is not.
func TestSourcesThatAreLent(t *testing.T) {
	h := newLendingHost(t)
	must(t, errors.Join(os.MkdirAll(h.root+"/srv/code/new", 0o755), os.WriteFile(h.root+"/srv/code/new/inner.py", nil, 0o644)))
	site := t.TempDir()
	must(t, os.Symlink("/srv/code/new/inner.py", filepath.Join(site, "inner.py")))
	request := h.request(t, "import inner")
	r, err := Prove(context.Background(), view(t, site), request)
	must(t, err)
	if len(finding.Errors(r.Findings)) > 0 || r.Lent == nil || len(r.Lent.Binds) != 1 || r.Lent.Binds[0].Destination != "/srv/code/new/inner.py" {
		t.Errorf("%+v, lends %+v", r.Findings, r.Lent)
	}
	request.HostDirs = nil
	if r, err = Prove(context.Background(), view(t, site), request); err != nil || r.Lent != nil || len(finding.Errors(r.Findings)) == 0 {
		t.Errorf("%v: lends %+v; %+v", err, r.Lent, r.Findings)
	}
}

// TestLoansAreCached: a proof with loans is used again, until a library that is lent or the host's ld.so.cache changes.
func TestLoansAreCached(t *testing.T) {
	h := newLendingHost(t, lent("libhrone.so.1"))
	w := world{build: []library{module("pkg/_a.so", usesLent, filepath.Join(h.root, h.dir, "libhrone.so.1"))}, sources: map[string]string{"pkg/__init__.py": "from . import _a"}}
	site := w.make(t)
	v, r := view(t, site), h.request(t, "import pkg")
	c := Cache{Dir: t.TempDir(), Image: "sha256:1", Mounts: []rootfs.Mount{{Source: site, Destination: shown}}}
	must(t, os.Mkdir(h.root+"/etc", 0o755))
	for _, change := range []string{h.root + h.dir + "/libhrone.so.1", h.root + ld.CachePath} {
		time.Sleep(2 * justNow)
		began := time.Now()
		report, err := Prove(context.Background(), v, r)
		must(t, err)
		c.Store(v, r, report, began)
		again, ok := c.Load(t.Context(), r)
		if !ok || again.Lent == nil || !bytes.Equal(again.Lent.Cache, report.Lent.Cache) {
			t.Fatalf("not kept: %v, %+v", ok, again.Lent)
		}
		text, _ := os.ReadFile(change)
		must(t, errors.Join(os.WriteFile(change+".new", text, 0o755), os.Rename(change+".new", change)))
		if _, ok := c.Load(t.Context(), r); ok {
			t.Errorf("%s has changed, and nothing noticed", change)
		}
	}
}

// TestLentSourcesAreWatched: a change in a source that the host lends was not seen, since the source is in no mount of the
// plan, and the old proof refused what had been repaired. So was a source that was put back.
func TestLentSourcesAreWatched(t *testing.T) {
	h := newLendingHost(t)
	site, code := t.TempDir(), h.root+"/srv/code/new"
	must(t, os.MkdirAll(code, 0o755))
	must(t, os.Symlink("/srv/code/new/inner", filepath.Join(site, "inner")))
	v, r := view(t, site), h.request(t, "import inner")
	c := Cache{Dir: t.TempDir(), Image: "sha256:1", Mounts: []rootfs.Mount{{Source: site, Destination: shown}}}
	write := func(text string) func() error {
		return func() error {
			return errors.Join(os.MkdirAll(code+"/inner/sub", 0o755), os.WriteFile(code+"/inner/__init__.py", []byte("from .sub import deep\n"), 0o644),
				os.WriteFile(code+"/inner/sub/deep.py", []byte(text), 0o644))
		}
	}
	for _, step := range []struct {
		name   string
		do     func() error
		refuse bool
	}{
		{"nothing is there", func() error { return nil }, true},
		{"the source is put back", write("import hr_no_such\n"), true},
		{"it is repaired", write("import os\n"), false},
		{"it is broken again", write("import hr_no_such\n"), true},
		{"it is taken away", func() error { return os.RemoveAll(code + "/inner") }, true},
	} {
		must(t, step.do())
		if _, ok := c.Load(t.Context(), r); ok {
			t.Errorf("%s: the old proof is used", step.name)
		}
		time.Sleep(2 * justNow)
		began := time.Now()
		report, err := Prove(t.Context(), v, r)
		must(t, err)
		if refused := len(finding.Errors(report.Findings)) > 0; refused != step.refuse {
			t.Errorf("%s: %+v", step.name, report.Findings)
		}
		if c.Store(v, r, report, began); !loads(t, c, r) {
			t.Errorf("%s: the proof is not kept", step.name)
		}
	}
}

func loads(t *testing.T, c Cache, r Request) bool {
	_, ok := c.Load(t.Context(), r)
	return ok
}

// TestProviderIsLentTo: a library that a package loads by its path, under another name than it is asked for by, and that lacks a
// library of the system itself (pyexiv2's libexiv2.so lacks libstdc++ in slim images).
func TestProviderIsLentTo(t *testing.T) {
	h := newLendingHost(t, lent("libhrgl.so.1"))
	provider := library{"pkg/lib/libp.so", usesLent + " int p(void) { return use(); }", []string{"-Wl,-soname,libp.so.28", filepath.Join(h.root, h.dir, "libhrgl.so.1")}}
	w := world{build: []library{provider, module("pkg/_a.so", usesP, "-Lpkg/lib", "-lp", "-Wl,--unresolved-symbols=ignore-all")},
		sources: map[string]string{"pkg/__init__.py": "import ctypes, os\nctypes.CDLL(os.path.join(os.path.dirname(__file__), 'lib', 'libp.so'))\nfrom . import _a"}}
	r, err := Prove(context.Background(), view(t, w.make(t)), h.request(t, "import pkg"))
	must(t, err)
	if verdictOf(r, "pkg._a") != Conditional || r.Lent == nil || len(r.Lent.Libraries) != 1 || len(finding.Errors(r.Findings)) > 0 {
		t.Errorf("%+v, lends %+v, %+v", r.All, r.Lent, r.Findings)
	}
}

// TestLoansThatWouldNotMend: with borrow_libraries: off the remedy for a version of glibc, or of a library of the package's
// own, was to turn it on, which mends neither.
func TestLoansThatWouldNotMend(t *testing.T) {
	p := &prover{r: Request{HostDirs: []string{shown}, Lend: Lending{Off: true}}}
	for library, want := range map[string]bool{"/lib/x86_64-linux-gnu/libc.so.6": false, "libm.so.6": false, shown + "/libown.so.1": false,
		"libffi.so.8": true, "/usr/lib/x86_64-linux-gnu/libstdc++.so.6": true} {
		if got := p.whyNotLent(Module{Library: library}) != ""; got != want {
			t.Errorf("%s: %v", library, got)
		}
	}
}
