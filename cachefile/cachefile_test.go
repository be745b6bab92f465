package cachefile

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/integration/fixture"
)

const kind = Kind("test 1")

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// TestDamage: only what was written as a whole, by this kind of writer, is read.
func TestDamage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "made/entry")
	body := []byte("first line\nsecond\x00line\n\n")
	must(t, kind.Write(file, body))
	if got, ok := kind.Read(file, 1<<10); !ok || !bytes.Equal(got, body) {
		t.Fatalf("%v %q", ok, got)
	}
	whole, err := os.ReadFile(file)
	must(t, err)
	if _, ok := Kind("test 2").Read(file, 1<<10); ok {
		t.Error("an entry of another kind is read")
	}
	if _, ok := kind.Read(file, int64(len(whole))-1); ok {
		t.Error("an entry over the limit is read")
	}
	for at := range whole {
		flipped := slices.Clone(whole)
		flipped[at] ^= 1
		for what, text := range map[string][]byte{"a flipped bit": flipped, "an end": whole[:at]} {
			must(t, os.WriteFile(file, text, 0o644))
			if got, ok := kind.Read(file, 1<<10); ok {
				t.Errorf("%s at %d: %q", what, at, got)
			}
		}
	}
	must(t, os.WriteFile(file, append(slices.Clone(whole), 'x'), 0o644))
	if _, ok := kind.Read(file, 1<<10); ok {
		t.Error("a longer entry is read")
	}
}

// TestForeign: what is no file, or another user's, is not read, and nothing waits for it.
func TestForeign(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	must(t, kind.Write(whole, []byte("x")))
	must(t, os.Symlink(whole, filepath.Join(dir, "link")))
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644))
	must(t, os.Mkdir(filepath.Join(dir, "directory"), 0o755))
	for _, name := range []string{"link", "pipe", "directory", "absent", "whole/below"} {
		if _, ok := kind.Read(filepath.Join(dir, name), 1<<10); ok {
			t.Errorf("%s is read", name)
		}
	}
	if os.Geteuid() != 0 {
		fixture.Skip(t, "files of others can be made by root alone")
	}
	must(t, os.Chown(whole, 12345, 12345))
	if _, ok := kind.Read(whole, 1<<10); ok {
		t.Error("another user's is read")
	}
}

// TestNoPlace: a disk without room, one that can't be written, and a place where no directory can be, leave nothing behind,
// and an older entry is as it was.
func TestNoPlace(t *testing.T) {
	if err := kind.Write("/dev/null/none/x", nil); err == nil {
		t.Error("a file below /dev/null")
	}
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "taken/x"), 0o755))
	if err := kind.Write(filepath.Join(dir, "taken"), nil); err == nil || len(names(t, dir)) != 1 {
		t.Errorf("%v, %v", err, names(t, dir))
	}
	small := t.TempDir()
	if err := unix.Mount("tmpfs", small, "tmpfs", 0, "size=16k,mode=0755"); err != nil {
		fixture.Skip(t, "no file system can be mounted: "+err.Error())
	}
	t.Cleanup(func() {
		if err := unix.Unmount(small, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	file := filepath.Join(small, "entry")
	must(t, kind.Write(file, []byte("old")))
	for _, prepare := range []func() error{
		func() error { return nil },
		func() error { return unix.Mount("", small, "", unix.MS_REMOUNT|unix.MS_RDONLY, "") },
	} {
		must(t, prepare())
		if err := kind.Write(file, bytes.Repeat([]byte("x"), 1<<20)); err == nil {
			t.Error("a megabyte in 16 kB")
		}
		if got, ok := kind.Read(file, 1<<10); !ok || string(got) != "old" || len(names(t, small)) != 1 {
			t.Errorf("%v %q, %v", ok, got, names(t, small))
		}
	}
}

// TestWriters: several at once write one whole entry, and readers see nothing else.
func TestWriters(t *testing.T) {
	file := filepath.Join(t.TempDir(), "entry")
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			for range 20 {
				if err := kind.Write(file, []byte(strings.Repeat(fmt.Sprint(i), 10000))); err != nil {
					t.Error(err)
				}
				if got, ok := kind.Read(file, 1<<20); !ok || len(got) != 10000 || len(bytes.Trim(got, string(got[:1]))) != 0 {
					t.Errorf("%v: %d bytes", ok, len(got))
				}
			}
		})
	}
	wait.Wait()
	if left := names(t, filepath.Dir(file)); len(left) != 1 {
		t.Errorf("%v is left", left)
	}
}

// TestPrune keeps the newest, and what is none of its business; what a killed writer has left goes after an hour.
func TestPrune(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-2 * time.Hour)
	for name, when := range map[string]time.Time{"a-1": old, "a-2": old.Add(time.Minute), "a-3": old.Add(2 * time.Minute), "b-1": old,
		".tmp-1": old, ".tmp-2": time.Now()} {
		file := filepath.Join(dir, name)
		must(t, os.WriteFile(file, nil, 0o644))
		must(t, os.Chtimes(file, when, when))
	}
	Prune(dir, "a-", 2)
	if left := names(t, dir); !slices.Equal(left, []string{".tmp-2", "a-2", "a-3", "b-1"}) {
		t.Errorf("%v is left", left)
	}
	Prune(filepath.Join(dir, "absent"), "a-", 2)
}
