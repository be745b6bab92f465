package ld

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

// printed is what ldconfig -p says of a cache: each name and path, in the file's order.
func printed(t *testing.T, file string) []string {
	t.Helper()
	out, err := exec.Command("/sbin/ldconfig", "-p", "-C", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, line := range strings.Split(string(out), "\n") {
		if name, at, ok := strings.Cut(strings.TrimSpace(line), " => "); ok {
			name, _, _ = strings.Cut(name, " ")
			lines = append(lines, name+" => "+at)
		}
	}
	return lines
}

func lines(entries []CacheEntry) []string {
	var all []string
	for _, e := range entries {
		all = append(all, e.Name+" => "+e.Path)
	}
	return all
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("line %d: %s, ldconfig says %s", i, got[i], want[i])
		}
	}
	return fmt.Sprintf("%d lines, ldconfig has %d", len(got), len(want))
}

// madeCaches has ldconfig write caches of a directory with glibc-hwcaps, in each format that it knows.
func madeCaches(t *testing.T) map[string]string {
	t.Helper()
	needs(t, "/sbin/ldconfig", "gcc")
	dir := t.TempDir()
	source := filepath.Join(dir, "s.c")
	if err := os.WriteFile(source, []byte("void f(void){}"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, sub := range []string{"", "glibc-hwcaps/x86-64-v2", "glibc-hwcaps/x86-64-v3", "glibc-hwcaps/x86-64-v4"} {
		at := filepath.Join(dir, "lib", sub)
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"libcap.so.2", "libcap.so.10", "libcap10.so.2"} {
			if out, err := exec.Command("gcc", "-shared", "-fPIC", "-o", filepath.Join(at, name), source, "-Wl,-soname,"+name).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}
	}
	conf := filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, []byte(filepath.Join(dir, "lib")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	made := map[string]string{"": dir}
	for _, format := range []string{"new", "compat", "old"} {
		file := filepath.Join(dir, format)
		if out, err := exec.Command("/sbin/ldconfig", "-X", "-c", format, "-f", conf, "-C", file).CombinedOutput(); err != nil {
			t.Logf("%s: %v: %s", format, err, out)
			continue
		}
		made[format] = file
	}
	return made
}

func TestCacheReadAndWritten(t *testing.T) {
	made := madeCaches(t)
	for format, file := range made {
		if format == "" {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c, err := ParseCache(b)
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		if want := printed(t, file); !slices.Equal(lines(c.Entries), want) {
			t.Errorf("%s: read %s", format, firstDifference(lines(c.Entries), want))
		}
		ours := file + ".ours"
		if err := os.WriteFile(ours, c.Bytes(false), 0o644); err != nil {
			t.Fatal(err)
		}
		if want, got := printed(t, file), printed(t, ours); !slices.Equal(got, want) {
			t.Errorf("%s: written %s", format, firstDifference(got, want))
		}
		for _, big := range []bool{false, true} {
			again, err := ParseCache(c.Bytes(big))
			if err != nil || !reflect.DeepEqual(again.Entries, c.Entries) {
				t.Errorf("%s: written and read again: %v: %s", format, err, firstEntry(again, c))
			}
		}
	}
}

// The loader itself reads what is written, takes what was added, and the better of the hwcaps directories.
func TestCacheServesTheLoader(t *testing.T) {
	needs(t, "unshare", "/usr/bin/python3")
	if os.Geteuid() != 0 {
		skip(t, "needs root for a mount of its own")
	}
	made := madeCaches(t)
	image, err := ReadCache(rootfs.Dir("/"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(made["new"])
	if err != nil {
		t.Fatal(err)
	}
	host, err := ParseCache(b)
	if err != nil {
		t.Fatal(err)
	}
	staged := filepath.Join(made[""], "lib", "libcap.so.2")
	merged := image.Merge(append(host.Entries, CacheEntry{Name: "libonly-staged.so.7", Path: staged, Flags: 0x303},
		CacheEntry{Name: "libc.so.6", Path: "/nowhere/libc.so.6", Flags: 0x303}))
	file := filepath.Join(t.TempDir(), "ld.so.cache")
	if err := os.WriteFile(file, merged.Bytes(false), 0o644); err != nil {
		t.Fatal(err)
	}
	names := []string{"libonly-staged.so.7", "libcap10.so.2", "libcap.so.10", "libnone.so.1", "libz.so.1"}
	script := `mount --bind "$1" /etc/ld.so.cache && shift && exec /usr/bin/python3 -S -c '
import ctypes, sys
for name in sys.argv[1:]:
    try:
        ctypes.CDLL(name)
    except OSError as e:
        print(name, e)
        continue
    print(name, [l.split()[-1] for l in open("/proc/self/maps") if l.rstrip().split("/")[-1] == name or name.startswith("libonly") and "libcap.so.2" in l][:1])
' "$@"`
	out, err := exec.Command("unshare", append([]string{"-m", "sh", "-c", script, "sh", file}, names...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, err := NewSystem(rootfs.Dir("/"), "/lib64/ld-linux-x86-64.so.2", Options{ISALevel: isaLevel(), LoaderCache: merged.Bytes(false)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	p, err := s.Start("/usr/bin/python3")
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		r := p.Open(names[i])
		want := fmt.Sprintf("%s %s", names[i], r.Message)
		if r.Verdict == OK {
			at := "[]" // loaded with the program
			if len(r.Loaded) > 0 {
				at = "['" + r.Loaded[0].Real + "']"
			}
			want = names[i] + " " + at
		}
		if line != want && !strings.HasPrefix(line, "libz.so.1") {
			t.Errorf("the loader took %s, predicted %s", line, want)
		}
	}
}

func TestCacheDamaged(t *testing.T) {
	good := (&Cache{Entries: []CacheEntry{{Name: "liba.so", Path: "/lib/liba.so", Flags: 0x303}, {Name: "libb.so", Path: "/lib/v2/libb.so", Flags: 0x303, Subdir: "x86-64-v2"}}}).Bytes(false)
	if c, err := ParseCache(good); err != nil || len(c.Entries) != 2 || c.Entries[0].Subdir != "x86-64-v2" {
		t.Fatalf("%+v %v", c, err)
	}
	lying := bytes.Clone(good)
	binary.LittleEndian.PutUint32(lying[20:], 1<<30)
	outside := bytes.Clone(good)
	binary.LittleEndian.PutUint32(outside[52:], 1<<30)
	for name, b := range map[string][]byte{"empty": nil, "text": []byte("hello"), "count": lying, "name": outside, "cut": good[:60], "head": good[:30], "old": []byte(oldMagic)} {
		if _, err := ParseCache(b); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCompareNames(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"liba.so.2", "liba.so.10", -1}, {"liba.so.10", "liba.so.2", 1}, {"liba.so", "liba.so", 0}, {"lib1", "liba", 1}, {"liba", "lib1", -1}, {"lib", "liba", -1}, {"liba", "lib", 1}, {"lib007", "lib7", 0}} {
		if got := compareNames(tt.a, tt.b); got*tt.want < 0 || (got == 0) != (tt.want == 0) {
			t.Errorf("%s, %s: %d", tt.a, tt.b, got)
		}
	}
}

func FuzzCache(f *testing.F) {
	c := &Cache{Entries: []CacheEntry{{Name: "liba.so.1", Path: "/lib/liba.so.1", Flags: 0x303}, {Name: "liba.so.1", Path: "/lib/x", Flags: 0x303, Subdir: "x86-64-v3"}}}
	f.Add(c.Bytes(false))
	f.Add(c.Bytes(true))
	f.Add(append([]byte(oldMagic), make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseCache(b)
		if err != nil {
			return
		}
		if len(c.Entries) > len(b) {
			t.Fatalf("%d entries of %d bytes", len(c.Entries), len(b))
		}
		again, err := ParseCache(c.Bytes(false))
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Entries) != len(c.Entries) {
			t.Fatalf("%d entries, %d written", len(c.Entries), len(again.Entries))
		}
	})
}

func firstEntry(got, want *Cache) string {
	for i := range min(len(got.Entries), len(want.Entries)) {
		if got.Entries[i] != want.Entries[i] {
			return fmt.Sprintf("%s in %q %x, want %s in %q %x", got.Entries[i], got.Entries[i].Subdir, got.Entries[i].HWCap, want.Entries[i], want.Entries[i].Subdir, want.Entries[i].HWCap)
		}
	}
	return ""
}
