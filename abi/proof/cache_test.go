package proof

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/rootfs"
)

// TestCache: a proof is used again as long as nothing that it was made from has changed.
func TestCache(t *testing.T) {
	py := thePython(t)
	w := world{build: []library{module("pkg/_a.so", "")}, sources: map[string]string{"pkg/__init__.py": "from . import _a, text", "pkg/text.py": ""}}
	site := w.make(t)
	v, r := view(t, site), request(py, "import pkg")
	c := Cache{Dir: t.TempDir(), Image: "sha256:image", Mounts: []rootfs.Mount{{Source: site, Destination: shown}}}
	store := func() {
		t.Helper()
		time.Sleep(2 * justNow)
		began := time.Now()
		report, err := Prove(context.Background(), v, r)
		if err != nil {
			t.Fatal(err)
		}
		c.Store(v, r, report, began)
		if again, ok := c.Load(t.Context(), r); !ok || again.Counts.OK != report.Counts.OK || !again.Cached {
			t.Fatalf("stored, and got %v %+v", ok, again)
		}
	}
	touch := func(name, text string) error { return os.WriteFile(filepath.Join(site, name), []byte(text), 0o644) }
	for _, change := range []struct {
		name string
		do   func() error
	}{
		{"a source of an installed package that is edited in place", func() error { return touch("pkg/text.py", "import os") }},
		{"a native module", func() error { return touch("pkg/_a.so", "") }},
		{"a new file beside a package", func() error { return touch("pkg.py", "") }},
		{"a new native module", func() error { return touch("pkg/_b.so", "") }},
		{"a module that hides one of the standard library", func() error { return touch("os.py", "") }},
		{"the directory is gone", func() error { return os.RemoveAll(site) }},
	} {
		store()
		if err := change.do(); err != nil {
			t.Fatal(err)
		}
		if _, ok := c.Load(t.Context(), r); ok {
			t.Errorf("%s: the old proof is used", change.name)
		}
	}
}

// TestCacheDamaged: whatever is wrong with the cache, there is just no proof in it.
func TestCacheDamaged(t *testing.T) {
	r := request(abi.Python{}, "")
	c := Cache{Dir: t.TempDir()}
	file, _ := c.file(r)
	c.Store(rootfs.Dir("/"), r, Report{Schema: 1}, time.Now())
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Load(t.Context(), r); !ok {
		t.Fatal("a whole entry is not read")
	}
	older := []byte(strings.Replace(string(whole), string(cacheFormat), "hostrun proof 1", 1))
	for _, text := range [][]byte{nil, whole[:len(whole)/2], append(slices.Clone(whole), 'x'), []byte(strings.Replace(string(whole), "schema", "schemb", 1)), older,
		[]byte("garbage"), []byte(strings.Repeat("\n", 1000)), []byte(cacheFormat)} {
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, ok := c.Load(t.Context(), r); ok {
			t.Errorf("%q is read", text)
		}
	}
	c.Dir = "/dev/null/none"
	c.Store(rootfs.Dir("/"), r, Report{}, time.Now())
	if _, ok := c.Load(t.Context(), r); ok {
		t.Error("a cache that can't be is read")
	}
}

// TestCacheWriters: several at once write one whole entry, and readers see nothing else.
func TestCacheWriters(t *testing.T) {
	c, r := Cache{Dir: t.TempDir()}, request(abi.Python{}, "")
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for range 20 {
				c.Store(rootfs.Dir("/"), r, Report{Schema: 1, Libc: strings.Repeat(fmt.Sprint(i), 10000)}, time.Now())
				if got, ok := c.Load(t.Context(), r); !ok || len(got.Libc) != 10000 || strings.Trim(got.Libc, got.Libc[:1]) != "" {
					t.Errorf("%v: %d bytes", ok, len(got.Libc))
				}
			}
		})
	}
	wait.Wait()
	if left, _ := os.ReadDir(c.Dir); len(left) != 1 {
		t.Errorf("%v is left", left)
	}
}

// TestCachePrune: old proofs do not pile up, nor does what killed writers leave.
func TestCachePrune(t *testing.T) {
	c, r := Cache{Dir: t.TempDir()}, request(abi.Python{}, "")
	before := time.Now().Add(-2 * time.Hour)
	for i := range maxEntries + 20 {
		for _, name := range []string{"proof-%03d.json", "last-%03d"} { // hints were kept for ever
			file := filepath.Join(c.Dir, fmt.Sprintf(name, i))
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, before, before.Add(time.Duration(i)*time.Second)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, when := range map[string]time.Time{".tmp-1": before, ".tmp-2": time.Now(), "facts": before} {
		file := filepath.Join(c.Dir, name)
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
	}
	c.Store(rootfs.Dir("/"), r, Report{Schema: 1}, time.Now())
	left, _ := os.ReadDir(c.Dir)
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if len(names) != 2*maxEntries+1 || slices.Contains(names, "last-000") || !slices.Contains(names, "last-119") || !slices.Contains(names, ".tmp-2") || !slices.Contains(names, "facts") || slices.Contains(names, "proof-000.json") || !slices.Contains(names, "proof-119.json") {
		t.Errorf("%d: %v", len(names), names)
	}
	if _, ok := c.Load(t.Context(), r); !ok {
		t.Error("the newest proof is gone")
	}
}

// TestAhead: the proof of last time is looked at before it is known to be the right one, and taken only if it is.
func TestAhead(t *testing.T) {
	c, r, other := Cache{Dir: t.TempDir()}, request(abi.Python{}, "a"), request(abi.Python{}, "b")
	c.Ahead = (&Looks{}).Ahead(c.Dir, "profile")
	if _, ok := c.Load(t.Context(), r); ok {
		t.Error("a proof out of nothing")
	}
	c.Store(rootfs.Dir("/"), r, Report{Schema: 1, Libc: "a"}, time.Now())
	for range 2 {
		c.Ahead = (&Looks{}).Ahead(c.Dir, "profile")
		if got, ok := c.Load(t.Context(), r); !ok || got.Libc != "a" {
			t.Errorf("%v %+v", ok, got)
		}
	}
	<-c.Ahead.done
	if !c.Ahead.holds {
		t.Error("nothing was looked at before")
	}
	if _, ok := c.Load(t.Context(), other); ok {
		t.Error("the proof of another request is taken")
	}
	file, _ := c.file(r)
	for _, text := range []string{"", "../x", "proof-\n", filepath.Base(file) + "/"} {
		if err := hintFormat.Write(c.Ahead.hint, []byte(text)); err != nil {
			t.Fatal(err)
		}
		c.Ahead = (&Looks{}).Ahead(c.Dir, "profile")
		if got, ok := c.Load(t.Context(), r); !ok || got.Libc != "a" {
			t.Errorf("%q: %v %+v", text, ok, got)
		}
	}
}

// TestFilesOfSeveralProofsAreLookedAtOnce: members of a stack that differ in a name have proofs of their own, over the same
// files. Each looked at all of them.
func TestFilesOfSeveralProofsAreLookedAtOnce(t *testing.T) {
	c := Cache{Dir: t.TempDir()}
	var files string
	for i, name := range []string{"a", "b"} {
		r := request(abi.Python{}, name)
		c.Store(rootfs.Dir("/"), r, Report{Schema: 1, Libc: name}, time.Now())
		if got, ok := c.Load(t.Context(), r); !ok || got.Libc != name {
			t.Fatalf("%s: %v %+v", name, ok, got)
		}
		file, _ := c.file(r)
		e, ok := read(file)
		if !ok || i > 0 && e.files != files {
			t.Fatalf("%s watches %q, and the one before %q", name, e.files, files)
		}
		files = e.files
	}
	for range 1000 { // a slow machine may be late for an answer
		l := new(Looks)
		_, _ = l.files.Ask(t.Context(), files, func(context.Context) (string, error) { return "of another member", nil })
		if l.fingerprint(files) == "of another member" {
			return
		}
	}
	t.Error("the files are looked at again for the second proof")
}

// TestWatchedText: a list reads as it was written.
func TestWatchedText(t *testing.T) {
	w := watch([]string{"/b/c", "/a/b", "/a/b/c", "/a/d", "/a/b", "/x"})
	if got := parseWatched(w.text()); fmt.Sprint(got) != fmt.Sprint(w) || len(w) != 4 {
		t.Errorf("%v, not %v", got, w)
	}
}

// FuzzParse: no entry, and no list in one, makes their readers panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte("{}\n\nsum\n\n/a/\nb\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := parse(b); ok {
			fingerprintOf(e.files)
		}
		parseWatched(string(b))
	})
}
