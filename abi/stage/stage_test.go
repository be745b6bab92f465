package stage_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/abi/stage"
	"hostrun.dev/hostrun/exectest"
	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/rootfs"
)

// place is where the host's files are in the container.
const place = "/opt/hostrun/lib"

// A pair is two trees with this machine's loader and C library: one that lends, and one that lacks.
type pair struct {
	t               *testing.T
	container, host string
	interpreter     string
	dir             string // of libraries, in both
}

func newPair(t *testing.T) *pair {
	t.Helper()
	if _, err := exec.LookPath("gcc"); err != nil {
		fixture.Skip(t, "gcc makes the libraries: "+err.Error())
	}
	interpreter, err := ld.Interpreter(rootfs.Dir("/"), "/usr/bin/python3")
	if err != nil {
		fixture.Skip(t, "no Python at /usr/bin/python3: "+err.Error())
	}
	system, err := ld.NewSystem(rootfs.Dir("/"), interpreter, ld.Options{})
	must(t, err)
	libc, ok := system.Find("libc.so.6")
	if !ok {
		t.Fatal("no C library")
	}
	p := &pair{t: t, container: t.TempDir(), host: t.TempDir(), interpreter: interpreter, dir: "/lib/" + filepath.Base(filepath.Dir(libc.Real))}
	for _, root := range []string{p.container, p.host} {
		p.copy(interpreter, root+interpreter)
		for _, name := range []string{"libc.so.6", "libm.so.6"} {
			at, ok := system.Find(name)
			if !ok {
				t.Fatal(name)
			}
			p.copy(at.Real, root+p.dir+"/"+name)
		}
	}
	return p
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (p *pair) copy(from, to string) {
	p.t.Helper()
	text, err := os.ReadFile(from)
	must(p.t, errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755)))
	must(p.t, exectest.WriteFile(to, text, 0o755))
}

// library builds dir/name in a tree. needs are libraries of the tree; versions, each with one symbol of its name, are defined.
func (p *pair) library(root, name, code string, options ...string) {
	p.t.Helper()
	file := filepath.Join(root, p.dir, name)
	must(p.t, os.MkdirAll(filepath.Dir(file), 0o755))
	source := filepath.Join(p.t.TempDir(), "s.c")
	must(p.t, os.WriteFile(source, []byte(code), 0o644))
	for i := range options {
		options[i] = strings.ReplaceAll(options[i], "@", filepath.Join(root, p.dir))
	}
	cmd := exec.Command("gcc", append([]string{"-shared", "-fPIC", "-o", file, source, "-Wl,-soname=" + filepath.Base(name), "-Wl,--no-as-needed"}, options...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("%v: %s", err, out)
	}
}

// versioned builds a library whose functions v1, v2 ... have the versions V1, V2 ...
func (p *pair) versioned(root, name string, versions ...string) {
	p.t.Helper()
	var code, script strings.Builder
	for _, v := range versions {
		code.WriteString("int " + strings.ToLower(v) + "(void) { return 0; }\n")
		script.WriteString(v + " { global: " + strings.ToLower(v) + "; };\n")
	}
	file := filepath.Join(p.t.TempDir(), "map")
	must(p.t, os.WriteFile(file, []byte(script.String()), 0o644))
	p.library(root, name, code.String(), "-Wl,--version-script="+file)
}

// newer makes a library ask for a glibc that is nowhere.
func (p *pair) newer(root, name string) {
	p.t.Helper()
	file := filepath.Join(root, p.dir, name)
	text, err := os.ReadFile(file)
	must(p.t, err)
	changed := bytes.ReplaceAll(text, []byte("GLIBC_2.2.5\x00"), []byte("GLIBC_9.9.9\x00"))
	changed = bytes.ReplaceAll(changed, []byte("GLIBC_2.17\x00"), []byte("GLIBC_9.99\x00")) // arm64
	if bytes.Equal(text, changed) {
		p.t.Fatal("nothing of glibc is asked for")
	}
	// The hash of the version goes with its name (vna_hash).
	for old, new := range map[string]string{"GLIBC_2.2.5": "GLIBC_9.9.9", "GLIBC_2.17": "GLIBC_9.99"} {
		changed = bytes.ReplaceAll(changed, elfHash(old), elfHash(new))
	}
	must(p.t, os.WriteFile(file, changed, 0o755))
}

// elfHash is the hash of the System V ABI, as the file has it.
func elfHash(name string) []byte {
	var h uint32
	for _, c := range []byte(name) {
		h = h<<4 + uint32(c)
		g := h & 0xf0000000
		h = (h ^ g>>24) &^ g
	}
	return []byte{byte(h), byte(h >> 8), byte(h >> 16), byte(h >> 24)}
}

func (p *pair) lender() (*stage.Lender, *ld.System) {
	p.t.Helper()
	view, err := rootfs.Mounted(rootfs.Dir(p.container), rootfs.Mount{Source: p.host, Destination: place})
	must(p.t, err)
	to, err := ld.NewSystem(view, p.interpreter, ld.Options{})
	must(p.t, err)
	from, err := ld.NewSystem(rootfs.Dir(p.host), p.interpreter, ld.Options{})
	must(p.t, err)
	l, err := stage.New(to, from, rootfs.Dir(p.host), place)
	must(p.t, err)
	return l, to
}

const callsLibc = "#include <stdlib.h>\nvoid *use(void) { return malloc(1); }\n"

// trees are the libraries of the cases below.
func (p *pair) trees() {
	h, c := p.host, p.container
	p.library(h, "libtwo.so.1", callsLibc)
	p.library(h, "libone.so.1", "", "@/libtwo.so.1")
	p.library(h, "libshared.so.1", callsLibc)
	p.library(c, "libshared.so.1", callsLibc)
	p.library(h, "libwithshared.so.1", "", "@/libshared.so.1")
	p.library(h, "libnew.so.1", callsLibc)
	p.library(h, "libneedsnew.so.1", "", "@/libnew.so.1", "@/libtwo.so.1")
	p.newer(h, "libnew.so.1")
	p.library(h, "libring.so.1", "")
	p.library(h, "libring2.so.1", "", "@/libring.so.1")
	p.library(h, "libring.so.1", "", "@/libring2.so.1")
	p.library(h, "libgone.so.1", callsLibc)
	p.library(h, "libbroken.so.1", "", "@/libgone.so.1")
	must(p.t, os.Remove(h+p.dir+"/libgone.so.1"))

	p.versioned(h, "libver.so.1", "V1", "V2")
	p.library(h, "libusesv2.so.1", "int v2(void); int use2(void) { return v2(); }", "@/libver.so.1")
	p.versioned(c, "libver.so.1", "V1")
	p.versioned(h, "libless.so.1", "V2")
	p.library(h, "libusesless.so.1", "int v2(void); int use2(void) { return v2(); }", "@/libless.so.1")
	p.versioned(c, "libless.so.1", "V1")

	// Beside a library whose search path leads to its own directory lies the host's libm.
	p.library(h, "private/libown.so.1", "double sin(double); double use(double x) { return sin(x); }", "@/libm.so.6", "-Wl,-rpath,$ORIGIN")
	p.copy(h+p.dir+"/libm.so.6", h+p.dir+"/private/libm.so.6")
	must(p.t, os.Symlink("private/libown.so.1", h+p.dir+"/libown.so.1"))
	// An alternative of Debian's: a link, by way of /etc, to a directory that is no search path.
	p.library(h, "impl/libalt.so.3.1", callsLibc, "-Wl,-soname=libalt.so.3")
	must(p.t, os.MkdirAll(h+"/etc/alternatives", 0o755))
	must(p.t, os.Symlink("/etc/alternatives/libalt.so.3", h+p.dir+"/libalt.so.3"))
	must(p.t, os.Symlink(p.dir+"/impl/libalt.so.3.1", h+"/etc/alternatives/libalt.so.3"))
}

var cases = []struct {
	name string
	ask  string
	lent []string // in any order
	why  string   // of the refusal
}{
	{"with its needs", "libone.so.1", []string{"libone.so.1", "libtwo.so.1"}, ""},
	{"the container's own goes first", "libwithshared.so.1", []string{"libwithshared.so.1"}, ""},
	{"a ring", "libring.so.1", []string{"libring.so.1", "libring2.so.1"}, ""},
	{"an alternative", "libalt.so.3", []string{"libalt.so.3"}, ""},
	{"glibc is never lent", "libm.so.6", nil, "part of glibc"},
	{"glibc by another name", "libnss_dns.so.2", nil, "part of glibc"},
	{"too new", "libnew.so.1", nil, "asks for GLIBC_9.9"},
	{"its need is too new", "libneedsnew.so.1", nil, "libnew.so.1 asks for GLIBC_9.9"},
	{"the host has none", "libnowhere.so.1", nil, "the host has none"},
	{"broken on the host", "libbroken.so.1", nil, "libgone.so.1: cannot open shared object file"},
	{"by path", "/usr/lib/libone.so.1", nil, "by its path"},
	{"its need is older in the container", "libusesv2.so.1", []string{"libusesv2.so.1", "libver.so.1"}, ""},
	{"its need is another in the container", "libusesless.so.1", nil, "it lacks V1"},
}

// TestLender: the trees are built once.
func TestLender(t *testing.T) {
	p := newPair(t)
	p.trees()
	probe := p.probe()
	t.Run("what is lent", func(t *testing.T) { p.lends(t, probe) })
	t.Run("only an equal takes the place of an older library", p.onlyAnEqual)
	t.Run("the host's libm by a search path", p.hostsLibm)
	t.Run("a link that lasts", p.link)
}

// lends: what is lent loads in a real container with the ld.so.cache that was written, and what is not does not.
func (p *pair) lends(t *testing.T, probe string) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			l, _ := p.lender()
			if got := l.Missing(c.ask, "mod"); got != (c.why == "") {
				t.Errorf("lent: %v; %+v", got, l.Refused())
			}
			var names []string
			for _, lib := range l.Libraries() {
				names = append(names, lib.Name)
			}
			slices.Sort(c.lent)
			if !slices.Equal(names, c.lent) {
				t.Errorf("lends %q, want %q", names, c.lent)
			}
			if c.why != "" && (len(l.Refused()) != 1 || !strings.Contains(l.Refused()[0].Why, c.why)) {
				t.Errorf("refusals %+v, want %q", l.Refused(), c.why)
			}
			if l.Missing(c.ask, "mod") {
				t.Error("lent twice")
			}
			if c.ask != "libm.so.6" { // which the container has itself
				p.loads(t, probe, l.Cache(&ld.Cache{}), c.ask, c.why == "")
			}
		})
	}
}

// probe is a program that opens the library that it is told, in both trees.
func (p *pair) probe() string {
	p.t.Helper()
	source := filepath.Join(p.t.TempDir(), "probe.c")
	must(p.t, os.WriteFile(source, []byte(`#include <dlfcn.h>
#include <stdio.h>
int main(int n, char **v) { if (!dlopen(v[1], RTLD_NOW)) { puts(dlerror()); return 1; } return 0; }`), 0o644))
	if out, err := exec.Command("gcc", "-o", p.container+"/probe", source, "-ldl").CombinedOutput(); err != nil {
		p.t.Fatalf("%v: %s", err, out)
	}
	return "/probe"
}

// loads asks the real loader in the container's root, with the host's files where the container would have them.
func (p *pair) loads(t *testing.T, probe string, cache []byte, name string, want bool) {
	t.Helper()
	if os.Geteuid() != 0 {
		fixture.Skip(t, "to change the root is root's")
	}
	must(t, errors.Join(os.RemoveAll(p.container+place), os.MkdirAll(p.container+filepath.Dir(place), 0o755), os.MkdirAll(p.container+"/etc", 0o755)))
	if out, err := exec.Command("cp", "-a", p.host, p.container+place).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer os.RemoveAll(p.container + place)
	must(t, os.WriteFile(p.container+ld.CachePath, cache, 0o644))
	defer os.Remove(p.container + ld.CachePath)
	out, err := exec.Command("chroot", p.container, probe, name).CombinedOutput()
	if (err == nil) != want {
		t.Errorf("%s really loads: %v, want %v: %s", name, err == nil, want, out)
	}
}

// onlyAnEqual takes the place of a library that the container has.
func (p *pair) onlyAnEqual(t *testing.T) {
	l, to := p.lender()
	own := func(name string) string {
		at, ok := to.Find(name)
		if !ok {
			t.Fatal(name)
		}
		return at.Path
	}
	if !l.Newer("libver.so.1", own("libver.so.1"), "V2", "mod") {
		t.Errorf("libver.so.1 is not lent: %+v", l.Refused())
	}
	if at, ok := to.Find("libver.so.1"); !ok || !strings.HasPrefix(at.Path, place) {
		t.Errorf("the loader takes %+v", at)
	}
	for name, version := range map[string]string{"libless.so.1": "V2", "libc.so.6": "GLIBC_9.99", "libshared.so.1": "V2"} {
		if l.Newer(name, own(name), version, "mod") {
			t.Errorf("%s of the host takes the place of the container's", name)
		}
	}
	if l.Newer("libring.so.1", "/opt/app/libring.so.1", "V1", "mod") {
		t.Error("an entry of ld.so.cache does not come before a search path")
	}
}

// link: an upgrade of the host's package gives the file another name, and the link stays.
func (p *pair) link(t *testing.T) {
	file := p.host + p.dir + "/libtwo.so.1"
	must(t, os.Rename(file, file+".4.2"))
	must(t, os.Symlink("libtwo.so.1.4.2", file))
	l, _ := p.lender()
	if !l.Missing("libtwo.so.1", "mod") {
		t.Fatalf("not lent: %+v", l.Refused())
	}
	if lib := l.Libraries()[0]; lib.Source != p.dir+"/libtwo.so.1.4.2" || lib.Path != place+p.dir+"/libtwo.so.1" {
		t.Errorf("%+v", lib)
	}
}

// hostsLibm: a library whose $ORIGIN leads to the host's libm is taken back.
func (p *pair) hostsLibm(t *testing.T) {
	l, to := p.lender()
	if !l.Missing("libown.so.1", "mod") {
		t.Fatalf("not lent: %+v", l.Refused())
	}
	objects, missing := to.Closure("libown.so.1")
	if missing != "" {
		t.Fatal(missing)
	}
	withdrawn := false
	for _, o := range objects {
		withdrawn = l.Note(o) || withdrawn
	}
	if !withdrawn || len(l.Libraries()) != 0 || len(l.Refused()) != 1 {
		t.Errorf("objects %+v; lent %+v, refused %+v", objects, l.Libraries(), l.Refused())
	}
}

func TestNever(t *testing.T) {
	for name, want := range map[string]bool{
		"libc.so.6": true, "libm.so.6": true, "libm-2.31.so": true, "ld-linux-x86-64.so.2": true, "ld-linux-aarch64.so.1": true, "libpthread.so.0": true,
		"libnss_files.so.2": true, "libnss_myhostname.so.2": false, "libBrokenLocale.so.1": true, "libmvec.so.1": true, "libresolv.so.2": true,
		"libcrypt.so.1": true, "libcrypt.so.2": false, "libnsl.so.1": true, "libnsl.so.2": false, "libstdc++.so.6": false, "libgcc_s.so.1": false,
		"libcrypto.so.3": false, "libmagic.so.1": false, "librtmp.so.1": false, "libdlib.so.19": false, "libutil.so.1": true, "libutils.so.1": false,
		"/lib/x86_64-linux-gnu/libc.so.6": true, "": false,
	} {
		if got := stage.Never(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestTrees(t *testing.T) {
	host := t.TempDir()
	for _, dir := range []string{"usr/lib/x86_64-linux-gnu", "usr/lib64", "opt/app/lib", "srv/lib/a", "srv/lib/b", "etc"} {
		must(t, os.MkdirAll(filepath.Join(host, dir), 0o755))
	}
	must(t, os.Symlink("usr/lib", host+"/lib"))
	must(t, os.Symlink("/", host+"/srv/all"))
	cache := &ld.Cache{Entries: []ld.CacheEntry{{Name: "liba.so", Path: "/srv/lib/liba.so"}, {Name: "libb.so", Path: "/srv/lib/b/libb.so"},
		{Name: "libc.so", Path: "/srv/all/libc.so"}, {Name: "libd.so", Path: "/gone/libd.so"}}}
	must(t, os.WriteFile(host+ld.CachePath, cache.Bytes(false), 0o644))
	want := []string{"/opt", "/srv/lib", "/usr/lib", "/usr/lib64"}
	if got := stage.Trees(rootfs.Dir(host)); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
