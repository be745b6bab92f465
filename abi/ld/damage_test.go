package ld

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

// someLibraries are real files to be damaged.
func someLibraries(t testing.TB) []string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"/usr/lib/python3*/lib-dynload/_bz2*.so", "/usr/lib/python3*/lib-dynload/_ctypes.*.so", "/usr/lib/x86_64-linux-gnu/libz.so.1"} {
		found, _ := filepath.Glob(pattern)
		files = append(files, found...)
	}
	if len(files) == 0 {
		skip(t, "there are no libraries to damage")
	}
	return files
}

func start(t testing.TB, view *rootfs.View) *Process {
	t.Helper()
	s, err := NewSystem(view, "/lib64/ld-linux-x86-64.so.2", Options{})
	if err != nil {
		skip(t, err.Error())
	}
	t.Cleanup(s.Close)
	p, err := s.Start("/usr/bin/python3")
	if err != nil {
		skip(t, err.Error())
	}
	return p
}

// Cut at any place, a library gives what the loader says, or the signal by which it dies.
func TestTruncated(t *testing.T) {
	needs(t, "/usr/bin/python3")
	dir := t.TempDir()
	var files []string
	for _, library := range someLibraries(t) {
		b, err := os.ReadFile(library)
		if err != nil {
			t.Fatal(err)
		}
		for _, size := range []int{0, 1, 15, 16, 63, 64, 200, 831, 832, 4095, 4096, 4097, len(b) / 4 / 4096 * 4096, len(b) / 2 / 4096 * 4096, len(b) * 3 / 4, len(b) - 1} {
			at := filepath.Join(dir, fmt.Sprintf("%s-%d.so", filepath.Base(library), size))
			if err := os.WriteFile(at, b[:size], 0o644); err != nil {
				t.Fatal(err)
			}
			files = append(files, at)
		}
	}
	said, ctypes := really(t, machineRoot{}, "/usr/bin/python3", files)
	t.Log(agree(t, process(t, rootfs.Dir("/"), "/usr/bin/python3", ctypes, Options{ISALevel: isaLevel()}), said))
}

// Whatever is changed in a library, the answer comes, and costs little.
func TestDamagedBytes(t *testing.T) {
	p := start(t, rootfs.Dir("/"))
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	for _, library := range someLibraries(t) {
		good, err := os.ReadFile(library)
		if err != nil {
			t.Fatal(err)
		}
		for round := range 300 {
			b := append([]byte(nil), good...)
			for range 1 + random.IntN(8) {
				at := random.IntN(min(len(b), 8192)) // headers, hash, symbols
				if random.IntN(4) == 0 {
					at = len(b) - 1 - random.IntN(min(len(b), 8192)) // the dynamic section
				}
				b[at] = byte(random.Uint32())
				if random.IntN(3) == 0 {
					copy(b[at:], "\xff\xff\xff\xff\xff\xff\xff\x7f")
				}
			}
			file := filepath.Join(dir, fmt.Sprintf("%d-%s", round, filepath.Base(library)))
			if err := os.WriteFile(file, b, 0o644); err != nil {
				t.Fatal(err)
			}
			if r := p.Open(file); r.Verdict == "" || r.Verdict != OK && r.Message == "" {
				t.Errorf("%s: %+v", file, r)
			}
		}
	}
}

// What stands where a library should be is never waited for, followed for ever, or read as a device.
func TestHostileTree(t *testing.T) {
	p := start(t, rootfs.Dir("/"))
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := syscall.Mkfifo(at("fifo.so"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"loop.so": "loop.so", "self": ".", "zero.so": "/dev/zero", "null.so": "/dev/null", "tty.so": "/dev/tty"} {
		if err := os.Symlink(target, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(at("huge.so"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(at("huge.so"), 1<<42); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]Verdict{
		"fifo.so": Corrupt, "loop.so": Missing, "zero.so": Corrupt, "null.so": Corrupt, "tty.so": Corrupt, "huge.so": Corrupt,
		strings.Repeat("self/", 60) + "x.so": Missing, strings.Repeat("x", 300): Missing, "new\nline.so": Missing, "": Corrupt,
	} {
		if r := p.Open(at(name) + map[bool]string{true: "/"}[name == ""]); r.Verdict != want {
			t.Errorf("%s: %s %s", name, r.Verdict, r.Message)
		}
	}
}

// A library that needs itself under ten thousand names, or all others of a crowd, ends.
func TestHostileClosure(t *testing.T) {
	p := start(t, rootfs.Dir("/"))
	dir := t.TempDir()
	var names []string
	for i := range 1500 {
		names = append(names, fmt.Sprintf("lib%04d.so", i))
	}
	many := make([]string, 0, len(names))
	for _, n := range names {
		many = append(many, "-l:"+n)
	}
	first := build(t, dir, names[0], "", "-nostdlib", "-nostartfiles")
	for _, n := range names[1:] {
		if err := os.Link(first, filepath.Join(dir, n)); err != nil {
			t.Fatal(err)
		}
	}
	some := build(t, dir, "some.so", "", append([]string{"-nostdlib", "-nostartfiles", "-L" + dir, "-Wl,-rpath,$ORIGIN", "-Wl,--no-as-needed"}, many[:900]...)...)
	if r := p.Open(some); r.Verdict != OK || len(r.Loaded) != 2 {
		t.Errorf("%s %s, %d loaded", r.Verdict, r.Message, len(r.Loaded))
	}
	all := build(t, dir, "all.so", "", append([]string{"-nostdlib", "-nostartfiles", "-L" + dir, "-Wl,-rpath,$ORIGIN", "-Wl,--no-as-needed"}, many...)...)
	if r := p.Open(all); r.Verdict != Corrupt {
		t.Errorf("%s %s, %d loaded", r.Verdict, r.Message, len(r.Loaded))
	}
}

// A file that vanishes between two looks is an absent one.
func TestVanishes(t *testing.T) {
	p := start(t, rootfs.Dir("/"))
	dir := t.TempDir()
	b, err := os.ReadFile(someLibraries(t)[0])
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "gone.so")
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := p.Open(file); r.Verdict != OK {
		t.Fatal(r.Message)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	p.system.Close()
	if r := p.Open(filepath.Join(dir, "never.so")); r.Verdict != Missing {
		t.Errorf("%+v", r)
	}
}

// memory is a file of a fuzz test.
type memory []byte

func (m memory) ReadAt(b []byte, at int64) (int, error) {
	if at < 0 || at >= int64(len(m)) {
		return 0, io.EOF
	}
	n := copy(b, m[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func FuzzELF(f *testing.F) {
	for _, library := range someLibraries(f) {
		if b, err := os.ReadFile(library); err == nil && len(b) < 100<<10 {
			f.Add(b)
		}
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		for _, m := range []machine{{}, {order: littleEndian, wide: true, code: 62}, {order: littleEndian, code: 3, minor: 31}} {
			examine(b, m)
		}
	})
}

// examine reads all that a proof reads of one file.
func examine(b []byte, m machine) {
	i, fault := readImage(memory(b), int64(len(b)), m)
	if fault != nil {
		return
	}
	s := &System{view: rootfs.Dir("/nonexistent"), habits: habits{machine: i.machine}}
	o := &object{file: &file{image: i, pages: &pages{r: memory(b), size: int64(len(b)), budget: &s.store.cached}}, path: "/fuzz.so", name: "fuzz.so"}
	l := &loading{system: s, program: o, own: newIndex(), placed: map[*object]bool{}}
	l.add(o)
	_ = l.admit(o.file)
	_ = l.check([]*object{o}, []*object{o})
	s.startTLS(l.objects)
	q := &search{name: []byte("PyInit_x"), hash: gnuHash([]byte("PyInit_x"))}
	o.find(q)
}

// TestOtherByteOrder: check advised to install again what another machine would load.
func TestOtherByteOrder(t *testing.T) {
	p := start(t, rootfs.Dir("/"))
	dir := t.TempDir()
	file := build(t, dir, "order.so", "", "-nostdlib", "-nostartfiles")
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[5] = 3 - b[5] // EI_DATA
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := p.Open(file); r.Verdict != Arch || !strings.Contains(r.Message, "ELF file data encoding not ") {
		t.Errorf("%s: %s", r.Verdict, r.Message)
	}
}
