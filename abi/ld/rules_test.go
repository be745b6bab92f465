package ld

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

// skip skips; with HOSTRUN_REQUIRE_ALL=1 that is a failure.
func skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
		t.Fatal("must run here: ", why)
	}
	t.Skip(why)
}

// needs skips where a program is absent.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			skip(t, "needs "+p)
		}
	}
}

// ruleTree builds testdata/rules.sh below a new directory.
func ruleTree(t *testing.T) string {
	t.Helper()
	needs(t, "gcc", "sh")
	dir := t.TempDir()
	script, err := filepath.Abs("testdata/rules.sh")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", script)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return dir
}

// otherRoots are the trees of other distributions that `make truth` keeps. (Package truth makes them.)
func otherRoots() []string {
	cache := os.Getenv("HOSTRUN_TEST_CACHE")
	if cache == "" {
		cache = "/var/cache/hostrun-test"
	}
	roots, _ := filepath.Glob(filepath.Join(cache, "truth/roots/debian*-full"))
	more, _ := filepath.Glob(filepath.Join(cache, "truth/roots/sid-full"))
	return append(roots, more...)
}

// Each rule is compared with the loader of this machine, and of the other roots, under several environments.
func TestRules(t *testing.T) {
	needs(t, "/usr/bin/python3")
	dir := ruleTree(t)
	t.Run("here", func(t *testing.T) { testRules(t, machineRoot{shared: dir}, dir, rootfs.Dir("/")) })
	if os.Geteuid() != 0 {
		return
	}
	for _, root := range otherRoots() {
		t.Run(filepath.Base(root), func(t *testing.T) {
			view, err := rootfs.Mounted(rootfs.Dir(root), rootfs.Mount{Source: dir, Destination: "/mnt"})
			if err != nil {
				t.Fatal(err)
			}
			testRules(t, machineRoot{root, dir}, "/mnt", view)
		})
	}
}

func testRules(t *testing.T, root machineRoot, dir string, view *rootfs.View) {
	r, err := view.Resolve("/usr/bin/python3")
	if err != nil {
		skip(t, err.Error())
	}
	var files []string
	for _, f := range sharedObjectsOf(root.shared) {
		if !strings.HasPrefix(filepath.Base(f), "lib") {
			files = append(files, dir+strings.TrimPrefix(f, root.shared))
		}
	}
	files = append(files, dir+"/origin/directory/real.so", dir+"/rpath/../origin/directory/../links/link.so",
		"libm.so.6", "libnot-there.so.1", "/nowhere/x.so", dir+"/odd", dir+"/rules.so/x")
	for _, tt := range []struct {
		name    string
		options Options
	}{
		{"plain", Options{}},
		{"LD_LIBRARY_PATH", Options{LibraryPath: []string{dir + "/machine/wrong", dir + "/rpath/in/", dir + "/nowhere"}}},
		{"shadow", Options{LibraryPath: []string{dir + "/versions/first", dir + "/hwcaps/in"}}},
		{"old hwcaps", Options{LibraryPath: []string{dir + "/hwcaps/old", ""}}},
		{"text", Options{LibraryPath: []string{dir + "/odd/text"}}},
		{"LD_PRELOAD", Options{Preload: []string{dir + "/rpath/in/libleaf.so", dir + "/nowhere.so"}}},
		{"preloaded TLS", Options{Preload: []string{dir + "/gates/libfirst.so"}}},
		{"preloaded stack", Options{Preload: []string{dir + "/gates/stack.so"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.options
			o.ISALevel = isaLevel()
			if root.dir == "" {
				o.WorkingDirectory, _ = os.Getwd()
			}
			var env []string
			if o.LibraryPath != nil {
				env = append(env, "LD_LIBRARY_PATH="+strings.Join(o.LibraryPath, ":"))
			}
			if o.Preload != nil {
				env = append(env, "LD_PRELOAD="+strings.Join(o.Preload, " "))
			}
			said, ctypes := really(t, root, "/usr/bin/python3", files, env...)
			t.Log(agree(t, process(t, view, r.Path, ctypes, o), said))
		})
	}
}
