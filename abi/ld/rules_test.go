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
func skip(t *testing.T, why string) {
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

// Each rule is compared with the loader of this machine, under several environments.
func TestRules(t *testing.T) {
	needs(t, "/usr/bin/python3")
	dir := ruleTree(t)
	var files []string
	for _, f := range sharedObjectsOf(dir) {
		if !strings.HasPrefix(filepath.Base(f), "lib") {
			files = append(files, f)
		}
	}
	files = append(files, filepath.Join(dir, "origin/directory/real.so"), filepath.Join(dir, "rpath/../origin/directory/../links/link.so"),
		"libm.so.6", "libnot-there.so.1", "/nowhere/x.so", filepath.Join(dir, "odd"), filepath.Join(dir, "rules.so", "x"))
	for _, tt := range []struct {
		name    string
		options Options
	}{
		{"plain", Options{}},
		{"LD_LIBRARY_PATH", Options{LibraryPath: []string{dir + "/machine/wrong", dir + "/rpath/in/", dir + "/nowhere"}}},
		{"shadow", Options{LibraryPath: []string{dir + "/versions/first", dir + "/hwcaps/in"}}},
		{"text", Options{LibraryPath: []string{dir + "/odd/text"}}},
		{"LD_PRELOAD", Options{Preload: []string{dir + "/rpath/in/libleaf.so", dir + "/nowhere.so"}}},
		{"preloaded TLS", Options{Preload: []string{dir + "/gates/libfirst.so"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := tt.options
			o.ISALevel = isaLevel()
			var err error
			if o.WorkingDirectory, err = os.Getwd(); err != nil {
				t.Fatal(err)
			}
			var env []string
			if o.LibraryPath != nil {
				env = append(env, "LD_LIBRARY_PATH="+strings.Join(o.LibraryPath, ":"))
			}
			if o.Preload != nil {
				env = append(env, "LD_PRELOAD="+strings.Join(o.Preload, " "))
			}
			said, ctypes := really(t, "", "/usr/bin/python3", files, env...)
			counts := agree(t, process(t, rootfs.Dir("/"), "/usr/bin/python3", ctypes, o), said)
			t.Log(counts)
		})
	}
}
