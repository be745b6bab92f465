package ld

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

// build compiles a library below dir.
func build(t *testing.T, dir, name, code string, more ...string) string {
	t.Helper()
	needs(t, "gcc")
	source, out := filepath.Join(dir, "s.c"), filepath.Join(dir, name)
	if err := os.WriteFile(source, []byte(code), 0o644); err != nil {
		t.Fatal(err)
	}
	if msg, err := exec.Command("gcc", append([]string{"-shared", "-fPIC", "-o", out, source}, more...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, msg)
	}
	return out
}

// /etc/ld.so.preload and a cache, both mounted: the loader sees the same by an overlay over /etc in a mount namespace.
func TestMountedPreload(t *testing.T) {
	needs(t, "/usr/bin/python3", "unshare", "gcc")
	if os.Geteuid() != 0 {
		skip(t, "needs root for a mount of its own")
	}
	dir := t.TempDir()
	etc := filepath.Join(dir, "etc")
	if err := os.Mkdir(etc, 0o755); err != nil {
		t.Fatal(err)
	}
	preloaded := build(t, dir, "libpre.so", "void from_preload(void){}")
	user := build(t, dir, "user.so", "void from_preload(void); void f(void){from_preload();}")
	if err := os.WriteFile(filepath.Join(etc, "ld.so.preload"), []byte("# comment\n"+preloaded+" /nowhere.so\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	script := `mount -t overlay -o lowerdir="$1":/etc none /etc && exec /usr/bin/python3 -S -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$2"`
	if out, err := exec.Command("unshare", "-m", "sh", "-c", script, "sh", etc, user).CombinedOutput(); err != nil {
		t.Fatalf("the loader itself: %v: %s", err, out)
	}
	for _, tt := range []struct {
		mounts []rootfs.Mount
		want   Verdict
	}{{nil, Undefined}, {[]rootfs.Mount{{Source: filepath.Join(etc, "ld.so.preload"), Destination: "/etc/ld.so.preload"}}, OK}} {
		view, err := rootfs.Mounted(rootfs.Dir("/"), tt.mounts...)
		if err != nil {
			t.Fatal(err)
		}
		if r := start(t, view).Open(user); r.Verdict != tt.want {
			t.Errorf("%v: %+v", tt.mounts, r)
		}
	}
}

// A provider that was opened before serves those that need it, as torch's libraries serve torchvision.
func TestWith(t *testing.T) {
	needs(t, "/usr/bin/python3")
	p, dir := start(t, rootfs.Dir("/")), t.TempDir()
	leaf := build(t, dir, "libleaf.so", "void leaf(void){}", "-Wl,-soname,libleaf.so")
	middle := build(t, dir, "middle.so", "void leaf(void); void m(void){leaf();}", leaf)
	caller := build(t, dir, "caller.so", "void leaf(void); void g(void){leaf();}")
	if r := p.Open(middle); r.Verdict != Missing || r.Needed != "libleaf.so" || r.Object != middle {
		t.Errorf("%+v", r)
	}
	next, r := p.With(leaf, false)
	if r.Verdict != OK || len(next.Objects()) != len(p.Objects())+1 {
		t.Fatalf("%+v", r)
	}
	if r := next.Open(middle); r.Verdict != OK || len(r.Loaded) != 1 {
		t.Errorf("with its provider: %+v", r)
	}
	if same, r := p.With(middle, false); r.Verdict != Missing || same != p {
		t.Errorf("%+v", r)
	}
	if r := next.Open(caller); r.Verdict != Undefined || r.Symbol != "leaf" {
		t.Errorf("RTLD_LOCAL hides: %+v", r)
	}
	global, _ := p.With(leaf, true)
	if r := global.Open(caller); r.Verdict != OK {
		t.Errorf("RTLD_GLOBAL shows: %+v", r)
	}
}

func TestFind(t *testing.T) {
	s, err := NewSystem(rootfs.Dir("/"), "/lib64/ld-linux-x86-64.so.2", Options{LibraryPath: []string{"/nowhere"}})
	if err != nil {
		skip(t, err.Error())
	}
	defer s.Close()
	if o, ok := s.Find("libc.so.6"); !ok || o.Soname != "libc.so.6" || o.How != ByCache && o.How != ByDefault {
		t.Errorf("%+v %v", o, ok)
	}
	if o, ok := s.Find("libnot-there.so.1"); ok {
		t.Errorf("%+v", o)
	}
}

func TestInterpreter(t *testing.T) {
	needs(t, "/usr/bin/python3")
	view := rootfs.Dir("/")
	if i, err := Interpreter(view, "/usr/bin/python3"); err != nil || !strings.Contains(i, "/ld-linux") {
		t.Errorf("%s %v", i, err)
	}
	for _, p := range []string{"/lib64/ld-linux-x86-64.so.2", "/etc/passwd", "/nowhere", "/dev/null"} {
		if i, err := Interpreter(view, p); err == nil {
			t.Errorf("%s: %s", p, i)
		}
	}
}

// Many at once say the same as one after the other.
func TestOpenAll(t *testing.T) {
	needs(t, "/usr/bin/python3")
	files := append(sharedObjectsOf("/usr/lib/python3/dist-packages"), sharedObjectsOf("/usr/lib/x86_64-linux-gnu/ceph")...)
	dynload, _ := filepath.Glob("/usr/lib/python3*/lib-dynload/*.so")
	files = append(append(files, dynload...), "/nowhere.so")
	got, err := start(t, rootfs.Dir("/")).OpenAll(t.Context(), files, 8)
	if err != nil {
		t.Fatal(err)
	}
	alone := start(t, rootfs.Dir("/"))
	for i, f := range files {
		if want := alone.Open(f); !reflect.DeepEqual(got[i], want) {
			t.Errorf("%s: %+v, alone %+v", f, got[i], want)
		}
	}
	if none, err := alone.OpenAll(t.Context(), nil, 4); len(none) != 0 || err != nil {
		t.Error(none, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := alone.OpenAll(ctx, files, 4); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestStartRefuses(t *testing.T) {
	needs(t, "/usr/bin/python3")
	s, err := NewSystem(rootfs.Dir("/"), "/lib64/ld-linux-x86-64.so.2", Options{})
	if err != nil {
		skip(t, err.Error())
	}
	defer s.Close()
	var refused *StartError
	if _, err := s.Start("/nowhere/python"); !errors.As(err, &refused) || refused.Result.Verdict != Missing {
		t.Errorf("%v", err)
	}
	if _, err := s.Start("/lib64/ld-linux-x86-64.so.2"); !errors.Is(err, ErrNotDynamic) {
		t.Errorf("%v", err)
	}
	if _, err := NewSystem(rootfs.Dir(t.TempDir()), "/lib64/ld-linux-x86-64.so.2", Options{}); err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("%v", err)
	}
	dir := t.TempDir()
	program := filepath.Join(dir, "program")
	library := build(t, dir, "libf.so", "void f(void){}")
	source := filepath.Join(dir, "s.c")
	if err := os.WriteFile(source, []byte("void f(void); int main(void){f();}"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("gcc", "-o", program, source, library).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Remove(library); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command(program).CombinedOutput()
	_, err = s.Start(program)
	if err == nil || strings.TrimSpace(string(out)) != program+": "+err.Error() {
		t.Errorf("predicted %v, really %s", err, out)
	}
}

// Another machine's tree is read as well as this one's.
func TestOtherMachine(t *testing.T) {
	root := "/var/cache/hostrun-test/pythons/bookworm-arm64"
	if dir := os.Getenv("HOSTRUN_TEST_CACHE"); dir != "" {
		root = filepath.Join(dir, "pythons/bookworm-arm64")
	}
	view := rootfs.Dir(root)
	s, err := NewSystem(view, "/lib/ld-linux-aarch64.so.1", Options{})
	if err != nil {
		skip(t, "needs the arm64 tree of package abi's tests: "+err.Error())
	}
	defer s.Close()
	if !slices.Contains(s.DefaultDirectories(), "/lib/aarch64-linux-gnu") || s.GlibcVersion() != "2.36" {
		t.Errorf("%v %s", s.DefaultDirectories(), s.GlibcVersion())
	}
	p, err := s.Start("/usr/bin/python3.11")
	if err != nil {
		t.Fatal(err)
	}
	modules := sharedObjectsOf(filepath.Join(root, "usr/lib/python3.11/lib-dynload"))
	for _, m := range modules {
		if r := p.Open(strings.TrimPrefix(m, root)); r.Verdict != OK && r.Verdict != Missing {
			t.Errorf("%s: %+v", m, r)
		}
	}
	mounted, err := rootfs.Mounted(view, rootfs.Mount{Source: "/usr/lib/x86_64-linux-gnu", Destination: "/x86"})
	if err != nil {
		skip(t, err.Error())
	}
	if r := startARM(t, mounted).Open("/x86/libz.so.1"); r.Verdict != Arch || !strings.Contains(r.Message, "No such file or directory") {
		t.Errorf("%+v", r)
	}
	t.Log(len(modules), "modules")
}

func startARM(t *testing.T, view *rootfs.View) *Process {
	t.Helper()
	s, err := NewSystem(view, "/lib/ld-linux-aarch64.so.1", Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	p, err := s.Start("/usr/bin/python3.11")
	if err != nil {
		t.Fatal(err)
	}
	return p
}
