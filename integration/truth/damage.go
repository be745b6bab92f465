package main

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A damage spoils the bytes of a sound module.
type damage struct {
	name  string
	spoil func(b []byte) []byte
}

// Offsets in the header of a 64-bit ELF file, and in one of its program headers (gABI, "ELF Header", "Program Header").
const (
	elfType, elfMachine, elfVersion, elfPhoff, elfPhentsize, elfPhnum = 16, 18, 20, 32, 54, 56
	phType, phFlags, phOffset, phVaddr, phFilesz, phMemsz, phAlign    = 0, 4, 8, 16, 32, 40, 48
)

var damages = []damage{
	{"empty", cut(0, 1)},
	{"one-byte", func(b []byte) []byte { return b[:1] }},
	{"magic-only", func(b []byte) []byte { return b[:4] }},
	{"half-a-header", func(b []byte) []byte { return b[:40] }},
	{"header-only", func(b []byte) []byte { return b[:64] }},
	{"tenth", cut(1, 10)},
	{"half", cut(1, 2)},
	{"nine-tenths", cut(9, 10)},
	{"one-page-less", func(b []byte) []byte { return b[:len(b)-4096] }},
	{"one-byte-less", func(b []byte) []byte { return b[:len(b)-1] }},
	{"no-sections", func(b []byte) []byte { return b[:lastByte(b)] }},
	{"zeros", zero(0, 1<<40)},
	{"zero-first-page", zero(0, 4096)},
	{"zero-ident", zero(0, 16)},
	{"zero-program-headers", zero(64, 64+56*4)},
	{"zero-dynamic", segment(elf.PT_DYNAMIC, func(b, ph []byte) { clear(contents(b, ph)) })},
	{"text", func([]byte) []byte { return []byte("not a library, but longer than the sixteen bytes that say so\n") }},
	{"linker-script", func([]byte) []byte { return []byte("/* GNU ld script */\nINPUT ( libc.so.6 )\n") }},
	{"class32", put8(4, 1)},
	{"class-invalid", put8(4, 7)},
	{"big-endian", put8(5, 2)},
	{"ident-version", put8(6, 9)},
	{"osabi-freebsd", put8(7, 9)},
	{"osabi-gnu", put8(7, 3)},
	{"osabi-standalone", put8(7, 255)},
	{"abi-version", put8(8, 99)},
	{"ident-padding", put8(12, 1)},
	{"aarch64", put16(elfMachine, 183)},
	{"i386", put16(elfMachine, 3)},
	{"riscv", put16(elfMachine, 243)},
	{"type-exec", put16(elfType, 2)},
	{"type-rel", put16(elfType, 1)},
	{"type-core", put16(elfType, 4)},
	{"version-2", put32(elfVersion, 2)},
	{"phoff-beyond", put64(elfPhoff, 1<<40)},
	{"phoff-zero", put64(elfPhoff, 0)},
	{"phnum-0", put16(elfPhnum, 0)},
	{"phnum-max", put16(elfPhnum, 0xffff)},
	{"phentsize-0", put16(elfPhentsize, 0)},
	{"phentsize-32", put16(elfPhentsize, 32)},
	{"no-dynamic", segment(elf.PT_DYNAMIC, func(_, ph []byte) { binary.LittleEndian.PutUint32(ph[phType:], 0) })},
	{"no-load", eachSegment(elf.PT_LOAD, func(_, ph []byte) { binary.LittleEndian.PutUint32(ph[phType:], 0) })},
	{"no-stack-header", segment(elf.PT_GNU_STACK, func(_, ph []byte) { binary.LittleEndian.PutUint32(ph[phType:], 0) })},
	{"executable-stack", segment(elf.PT_GNU_STACK, func(_, ph []byte) { binary.LittleEndian.PutUint32(ph[phFlags:], 7) })},
	{"load-align-3", segment(elf.PT_LOAD, func(_, ph []byte) { binary.LittleEndian.PutUint64(ph[phAlign:], 3) })},
	{"load-align-odd", segment(elf.PT_LOAD, func(_, ph []byte) { binary.LittleEndian.PutUint64(ph[phAlign:], 0x1001) })},
	{"load-unaligned", segment(elf.PT_LOAD, func(_, ph []byte) { binary.LittleEndian.PutUint64(ph[phOffset:], 8) })},
	{"load-beyond", lastSegment(elf.PT_LOAD, func(_, ph []byte) { binary.LittleEndian.PutUint64(ph[phOffset:], 1<<30) })},
	{"load-huge", lastSegment(elf.PT_LOAD, func(_, ph []byte) { binary.LittleEndian.PutUint64(ph[phMemsz:], 1<<46) })},
	// By one byte: where whole pages of the file come after the memory that was asked for, they cover what the kernel put above
	// it, and whether that is missed is chance (glibc 2.31 ended in one of six tries, musl too).
	{"load-filesz-over-memsz", lastSegment(elf.PT_LOAD, func(_, ph []byte) {
		binary.LittleEndian.PutUint64(ph[phMemsz:], binary.LittleEndian.Uint64(ph[phFilesz:])-1)
	})},
	{"needed-nonsense", dynamic(elf.DT_NEEDED, 1<<40)},
	{"no-strtab", dynamic(elf.DT_STRTAB, 0)},
	{"no-symtab", dynamic(elf.DT_SYMTAB, 0)},
	{"symtab-entry-size", dynamic(elf.DT_SYMENT, 7)},
	{"rela-entry-size", dynamic(elf.DT_RELAENT, 7)},
	{"flags-noopen", dynamicTag(elf.DT_RELACOUNT, elf.DT_FLAGS_1, uint64(elf.DF_1_NOOPEN))},
	{"flags-pie", dynamicTag(elf.DT_RELACOUNT, elf.DT_FLAGS_1, uint64(elf.DF_1_PIE))},
	{"flags-static-tls", dynamicTag(elf.DT_RELACOUNT, elf.DT_FLAGS, uint64(elf.DF_STATIC_TLS))},
}

func cut(n, of int) func([]byte) []byte {
	return func(b []byte) []byte { return b[:len(b)*n/of] }
}

func zero(from, to int) func([]byte) []byte {
	return func(b []byte) []byte {
		clear(b[from:min(to, len(b))])
		return b
	}
}

func put8(at int, v uint8) func([]byte) []byte {
	return func(b []byte) []byte { b[at] = v; return b }
}

func put16(at int, v uint16) func([]byte) []byte {
	return func(b []byte) []byte { binary.LittleEndian.PutUint16(b[at:], v); return b }
}

func put32(at int, v uint32) func([]byte) []byte {
	return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[at:], v); return b }
}

func put64(at int, v uint64) func([]byte) []byte {
	return func(b []byte) []byte { binary.LittleEndian.PutUint64(b[at:], v); return b }
}

// programHeaders returns those of a type, as slices of b.
func programHeaders(b []byte, kind elf.ProgType) [][]byte {
	var all [][]byte
	at := binary.LittleEndian.Uint64(b[elfPhoff:])
	for n := uint64(0); n < uint64(binary.LittleEndian.Uint16(b[elfPhnum:])); n++ {
		ph := b[at+56*n : at+56*n+56]
		if elf.ProgType(binary.LittleEndian.Uint32(ph)) == kind {
			all = append(all, ph)
		}
	}
	return all
}

func contents(b, ph []byte) []byte {
	from := binary.LittleEndian.Uint64(ph[phOffset:])
	return b[from : from+binary.LittleEndian.Uint64(ph[phFilesz:])]
}

// lastByte is the end of what is mapped: the sections' own table comes after it, and no loader reads that.
func lastByte(b []byte) uint64 {
	var end uint64
	for _, ph := range programHeaders(b, elf.PT_LOAD) {
		end = max(end, binary.LittleEndian.Uint64(ph[phOffset:])+binary.LittleEndian.Uint64(ph[phFilesz:]))
	}
	return end
}

func some(kind elf.ProgType, choose func([][]byte) [][]byte, change func(b, ph []byte)) func([]byte) []byte {
	return func(b []byte) []byte {
		for _, ph := range choose(programHeaders(b, kind)) {
			change(b, ph)
		}
		return b
	}
}

func segment(kind elf.ProgType, change func(b, ph []byte)) func([]byte) []byte {
	return some(kind, func(all [][]byte) [][]byte { return all[:min(1, len(all))] }, change)
}

func lastSegment(kind elf.ProgType, change func(b, ph []byte)) func([]byte) []byte {
	return some(kind, func(all [][]byte) [][]byte { return all[max(0, len(all)-1):] }, change)
}

func eachSegment(kind elf.ProgType, change func(b, ph []byte)) func([]byte) []byte {
	return some(kind, func(all [][]byte) [][]byte { return all }, change)
}

// dynamic sets the value of the first entry with the tag.
func dynamic(tag elf.DynTag, value uint64) func([]byte) []byte { return dynamicTag(tag, tag, value) }

// dynamicTag makes the first entry with the tag into another.
func dynamicTag(tag, newTag elf.DynTag, value uint64) func([]byte) []byte {
	return segment(elf.PT_DYNAMIC, func(b, ph []byte) {
		entries := contents(b, ph)
		for at := 0; at+16 <= len(entries); at += 16 {
			if elf.DynTag(binary.LittleEndian.Uint64(entries[at:])) == tag {
				binary.LittleEndian.PutUint64(entries[at:], uint64(newTag))
				binary.LittleEndian.PutUint64(entries[at+8:], value)
				return
			}
		}
	})
}

// A built is a library that the compiler makes: what no wheel has.
type built struct {
	name   string // of the file, in a directory "built"
	source string
	flags  string
}

// The libraries that others need come first.
var builts = []built{
	{"libplain.so", "int plain(void) { return 1; }", "-Wl,-soname,libplain.so"},
	{"sub/libdeep.so", "int deep(void) { return 1; }", "-Wl,-soname,libdeep.so"},
	{"libv2.so", "int versioned(void) { return 2; }", "-Wl,-soname,libv.so -Wl,--version-script=v2.map"},
	{"old/libv.so", "int versioned(void) { return 1; }", "-Wl,-soname,libv.so -Wl,--version-script=v1.map"},
	{"none/libv.so", "int versioned(void) { return 1; }", "-Wl,-soname,libv.so"},
	{"liblarge-tls.so", "__thread char tls[4096] __attribute__((tls_model(\"initial-exec\"))); char *f(void) { return tls; }", ""},
	{"small-tls.so", "__thread char tls[64] __attribute__((tls_model(\"initial-exec\"))); char *f(void) { return tls; }", ""},
	{"dynamic-tls.so", "__thread char tls[65536]; char *f(void) { return tls; }", ""},
	{"undefined.so", "int nobody_has_this(void); int f(void) { return nobody_has_this(); }", ""},
	{"undefined-lazy.so", "int nobody_has_this(void); int f(void) { return nobody_has_this(); }", "-Wl,-z,lazy"},
	{"undefined-data.so", "extern int nobody_has_this; int *f(void) { return &nobody_has_this; }", ""},
	{"undefined-weak.so", "int nobody_has_this(void) __attribute__((weak)); int f(void) { return nobody_has_this ? nobody_has_this() : 0; }", ""},
	{"undefined-hidden-by-two.so", "int first(void); int second(void); int f(void) { return first() + second(); }", ""},
	{"python.so", "void *PyLong_FromLong(long); void *f(void) { return PyLong_FromLong(1); }", ""},
	{"python-gone.so", "void *_PyUnicode_Ready(void *); void *f(void) { return _PyUnicode_Ready(0); }", ""},
	{"origin-runpath.so", "int deep(void); int f(void) { return deep(); }", "-Lsub -ldeep -Wl,-rpath,$ORIGIN/sub -Wl,--enable-new-dtags"},
	{"origin-rpath.so", "int deep(void); int f(void) { return deep(); }", "-Lsub -ldeep -Wl,-rpath,$ORIGIN/sub -Wl,--disable-new-dtags"},
	{"no-path.so", "int deep(void); int f(void) { return deep(); }", "-Lsub -ldeep"},
	{"wrong-path.so", "int deep(void); int f(void) { return deep(); }", "-Lsub -ldeep -Wl,-rpath,$ORIGIN/nowhere"},
	{"libslash.so", "int plain(void) { return 1; }", ""},
	{"slash.so", "int plain(void); int f(void) { return plain(); }", "./libslash.so"},
	{"version-ok.so", "int versioned(void); int f(void) { return versioned(); }", "libv2.so -Wl,-rpath,$ORIGIN/new"},
	{"version-old.so", "int versioned(void); int f(void) { return versioned(); }", "libv2.so -Wl,-rpath,$ORIGIN/old"},
	{"version-none.so", "int versioned(void); int f(void) { return versioned(); }", "libv2.so -Wl,-rpath,$ORIGIN/none"},
	{"execstack.so", "int f(void) { return 1; }", "-Wl,-z,execstack"},
	{"nodlopen.so", "int f(void) { return 1; }", "-Wl,-z,nodlopen"},
	{"nodefaultlib.so", "int puts(const char *); int f(void) { return puts(\"\"); }", "-Wl,-z,nodefaultlib"},
	{"initfirst.so", "int f(void) { return 1; }", "-Wl,-z,initfirst"},
	{"sysv-hash.so", "int deep(void); int f(void) { return deep(); }", "-Lsub -ldeep -Wl,-rpath,$ORIGIN/sub -Wl,--hash-style=sysv"},
	{"relr.so", "int a, *b = &a, *c = &a, *d = &a; int f(void) { return *b; }", "-Wl,-z,pack-relative-relocs"},
	{"isa-v2.so", "int f(void) { return 1; }", "-Wl,-z,x86-64-v2"},
	{"isa-v3.so", "int f(void) { return 1; }", "-Wl,-z,x86-64-v3"},
	{"isa-v4.so", "int f(void) { return 1; }", "-Wl,-z,x86-64-v4"},
	{"filter.so", "int f(void) { return 1; }", "-Wl,-f,libgone.so"},
	{"filter-hard.so", "int f(void) { return 1; }", "-Wl,-F,libgone.so"},
	{"symbolic.so", "int f(void) { return 1; } int g(void) { return f(); }", "-Wl,-Bsymbolic"},
	{"ifunc.so", "static int one(void) { return 1; } static void *pick(void) { return one; } int f(void) __attribute__((ifunc(\"pick\"))); int g(void) { return f(); }", ""},
	{"executable.so", "int main(void) { return 0; }", "-pie -nostartfiles -Wl,-e,main"},
	{"libcycle-a.so", "int a(void) { return 1; }", "-Wl,-soname,libcycle-a.so -Wl,-rpath,$ORIGIN"},
	{"libcycle-b.so", "int a(void); int b(void) { return a(); }", "-Wl,-soname,libcycle-b.so libcycle-a.so -Wl,-rpath,$ORIGIN"},
	{"libcycle-a.so", "int b(void); int a(void) { return 1; } int c(void) { return b(); }", "-Wl,-soname,libcycle-a.so libcycle-b.so -Wl,-rpath,$ORIGIN"},
	{"math.so", "double cos(double); double f(double x) { return cos(x); }", "-lm"},
	{"abort.so", "void abort(void); long write(int, const void *, unsigned long); __attribute__((constructor)) static void f(void) { write(2, \"\\tcalling init: me\\n\", 18); abort(); }", ""},
}

// damageDir is where the set "damage" lies; its name changes with what is done to the modules.
func (w *world) damageDir() string {
	return filepath.Join(w.cache, "damage-"+digest(fmt.Sprint(builts), fmt.Sprint(len(damages)), "2"))
}

// makeDamage makes the set "damage" from sound modules of a site directory, unless it is there.
func (w *world) makeDamage() error {
	dir := w.damageDir()
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	var sound []string
	for _, pattern := range []string{"markupsafe/_speedups.*.so", "lxml/etree.*.so", "PIL/_imaging.*.so", "numpy/linalg/_umath_linalg.*.so"} {
		found, _ := filepath.Glob(filepath.Join(w.cache, "sites/cp311", pattern))
		if len(found) == 0 {
			return fmt.Errorf("no %s to damage: run integration/truth/wheels.sh", pattern)
		}
		sound = append(sound, found[0])
	}
	work, err := os.MkdirTemp(w.cache, ".damage-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := errors.Join(os.Chmod(work, 0o755), damageSet(work, sound)); err != nil {
		return err
	}
	earlier, _ := filepath.Glob(filepath.Join(w.cache, "damage-*"))
	for _, other := range earlier {
		err = errors.Join(err, os.RemoveAll(other))
	}
	return errors.Join(err, os.Rename(work, dir))
}

// damageSet fills dir with damaged copies of sound modules, with oddities, and with what the compiler makes.
func damageSet(dir string, sound []string) error {
	for _, module := range sound {
		name, _, _ := strings.Cut(filepath.Base(module), ".")
		if err := spoilAll(module, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if err := oddities(filepath.Join(dir, "odd")); err != nil {
		return err
	}
	return buildAll(filepath.Join(dir, "built"))
}

// spoilAll writes one damaged copy of the module per damage.
func spoilAll(module, dir string) error {
	sound, err := os.ReadFile(module)
	if err != nil {
		return err
	}
	for _, d := range damages {
		if err := write(filepath.Join(dir, d.name+".so"), d.spoil(append([]byte(nil), sound...))); err != nil {
			return err
		}
	}
	return nil
}

func write(p string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return err
	}
	return os.WriteFile(p, b, 0o755)
}

// oddities are no regular files.
func oddities(dir string) error {
	return errors.Join(os.MkdirAll(filepath.Join(dir, "directory.so"), 0o755),
		os.Symlink("nowhere.so", filepath.Join(dir, "dangling.so")),
		os.Symlink("loop.so", filepath.Join(dir, "loop.so")),
		os.Symlink("/dev/null", filepath.Join(dir, "null.so")),
		os.Symlink("../built/origin-runpath.so", filepath.Join(dir, "origin-link-runpath.so")),
		os.Symlink("../built/libplain.so", filepath.Join(dir, "link.so")))
}

// buildAll compiles the libraries; some need a neighbour that has another name, or is gone, when they are opened.
func buildAll(dir string) error {
	for _, sub := range []string{"sub", "old", "none", "new"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return err
		}
	}
	first := errors.Join(write(filepath.Join(dir, "v1.map"), []byte("V1 { global: versioned; };\n")),
		write(filepath.Join(dir, "v2.map"), []byte("V1 { }; V2 { global: versioned; } V1;\n")))
	if first != nil {
		return first
	}
	for _, b := range builts {
		if err := b.build(dir); err != nil {
			return err
		}
	}
	return errors.Join(os.Rename(filepath.Join(dir, "libv2.so"), filepath.Join(dir, "new/libv.so")),
		os.Remove(filepath.Join(dir, "v1.map")), os.Remove(filepath.Join(dir, "v2.map")))
}

func (b built) build(dir string) error {
	args := []string{"-O1", "-w", "-fPIC", "-o", b.name, "-x", "c", "-", "-x", "none"}
	if !strings.HasPrefix(b.flags, "-pie ") {
		args = append(args, "-shared")
	}
	cmd := exec.Command("gcc", append(args, strings.Fields(b.flags)...)...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(b.source)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("gcc for %s: %w: %s", b.name, err, out)
	}
	return nil
}
