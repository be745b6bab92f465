package host

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func writeFile(tb testing.TB, p, content string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
		tb.Fatal(err)
	}
}

func symlink(tb testing.TB, target, p string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.Symlink(target, p); err != nil {
		tb.Fatal(err)
	}
}

func onlyGlob(tb testing.TB, pattern string) string {
	tb.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		tb.Fatalf("%s: %v %v", pattern, found, err)
	}
	return found[0]
}

// makeVenv makes a virtual environment without pip; flags go to python -m venv.
func makeVenv(tb testing.TB, python string, flags ...string) string {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "venv")
	args := append([]string{"-m", "venv", "--without-pip"}, flags...)
	command(tb, nil, python, append(args, dir)...)
	return dir
}

// command runs a program in the given environment (nil: a bare one) and returns what it prints.
func command(tb testing.TB, env []string, name string, args ...string) string {
	tb.Helper()
	c := exec.Command(name, args...)
	c.Env = append([]string{"PATH=/usr/bin:/bin", "HOME=/nonexistent"}, env...)
	out, err := c.Output()
	if err != nil {
		stderr := ""
		if e, ok := err.(*exec.ExitError); ok {
			stderr = string(e.Stderr)
		}
		tb.Fatalf("%s %v: %v\n%s%s", name, args, err, out, stderr)
	}
	return string(out)
}

// fillCache probes until the cache holds an entry: changes younger than the file system's clock can tell are not cached.
func fillCache(tb testing.TB, opt Options, needs Needs) {
	tb.Helper()
	for range 100 {
		if _, err := Probe(context.Background(), opt, needs); err != nil {
			tb.Fatal(err)
		}
		if found, _ := filepath.Glob(opt.CacheDir + "/python-*"); len(found) == 1 {
			return
		}
		time.Sleep(justNow)
	}
	tb.Fatal("nothing was cached")
}
