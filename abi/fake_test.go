package abi

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A fake is an interpreter made by the C compiler: the symbols and constants that the detector reads, and no code.
type fake struct {
	hex      uint32   // Py_Version; 0 leaves it out
	runtime  bool     // _PyRuntime with its debug offsets
	threaded bool     // in them
	debug    bool     // _Py_NegativeRefcount
	traced   bool     // PyModule_Create2TraceRefs
	suffixes []string // _PyImport_DynLoadFiletab
	modules  []string // of the table of builtins
	text     string   // PY_VERSION
	interp   string   // program interpreter, "" for glibc's
	soname   string   // makes a library
	needed   string   // library that is needed, by the name that is written down
	static   bool
	bare     bool // no Python at all
}

func (f fake) source() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("void _start(void) { for (;;); }")
	if !f.bare {
		line("int Py_Initialize, Py_Main, PyInit__io;")
	}
	if f.hex != 0 {
		line("const unsigned long Py_Version = %#x;", f.hex)
	}
	if f.runtime {
		line("struct { char cookie[8]; unsigned long version, free; char rest[64]; } _PyRuntime = { \"xdebugpy\", %#x, %d, {1} };", f.hex, b2i(f.threaded))
	}
	if f.debug {
		line("int _Py_NegativeRefcount;")
	}
	if f.traced {
		line("int PyModule_Create2TraceRefs;")
	}
	if len(f.suffixes) > 0 {
		line("__attribute__((used)) static const char *table[] = { \"%s\", 0 };", strings.Join(f.suffixes, "\", \""))
	}
	if len(f.modules) > 0 {
		line("static struct { char *name; void *f; } tab[] = {")
		for _, m := range f.modules {
			line("{ \"%s\", &Py_Main },", m)
		}
		line("{ 0, 0 } }; void *PyImport_Inittab = tab;")
	}
	if f.text != "" {
		line("__attribute__((used)) static const char text[] = \"\\000%s\";", f.text)
	}
	return b.String()
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// build compiles f to p.
func (f fake) build(t *testing.T, p string) {
	t.Helper()
	cc, err := exec.LookPath("gcc")
	if err == nil && runtime.GOARCH != "amd64" {
		err = errors.New("the made interpreters are for x86-64")
	}
	if err != nil {
		if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip("no interpreter can be made: ", err)
	}
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}
	args := []string{"-nostdlib", "-fno-stack-protector", "-O0", "-x", "c", "-", "-o", p}
	interp := f.interp
	if interp == "" {
		interp = "/lib64/ld-linux-x86-64.so.2"
	}
	switch {
	case f.static:
		args = append(args, "-static")
	case f.soname != "":
		args = append(args, "-shared", "-fPIC", "-Wl,-soname,"+f.soname)
	default:
		args = append(args, "-pie", "-fPIE", "-rdynamic", "-Wl,--dynamic-linker="+interp)
	}
	if f.needed != "" {
		lib := filepath.Join(t.TempDir(), "lib.so")
		fake{soname: f.needed}.build(t, lib)
		args = append(args, "-x", "none", "-Wl,--no-as-needed", lib)
	}
	cmd := exec.Command(cc, args...)
	cmd.Stdin = strings.NewReader(f.source())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
}

// write makes text files below root: name, content, name, content ...
func write(t *testing.T, root string, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		p := filepath.Join(root, pairs[i])
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(pairs[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func link(t *testing.T, root, target, name string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
		t.Fatal(err)
	}
}

// sysconfig writes out sysconfig data for a SOABI; more are further lines of the dictionary.
func sysconfig(soabi string, more ...string) string {
	triplet := "x86_64-linux-gnu"
	if i := strings.Index(soabi, "-x86_64-"); i >= 0 {
		triplet = soabi[i+1:]
	}
	return fmt.Sprintf("# generated\nbuild_time_vars = {'SOABI': '%s',\n 'EXT_SUFFIX': '.%s.so', 'MULTIARCH': '%s', 'Py_DEBUG': %d,\n %s}\n",
		soabi, soabi, triplet, b2i(strings.Contains(soabi, "d-x86")), strings.Join(more, ",\n "))
}
