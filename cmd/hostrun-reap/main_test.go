//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestStandsBy: it does its errand when the pipe ends and not before, not at all if told so, and lets signals of a whole
// unit pass.
func TestStandsBy(t *testing.T) {
	dir := t.TempDir()
	program := filepath.Join(dir, "hostrun-reap")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	touch, err := exec.LookPath("touch")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		word string
		does bool
	}{"the pipe ends": {"", true}, "nothing to do": {"x", false}} {
		mark := filepath.Join(dir, name)
		cmd := exec.Command(program, touch, mark)
		pipe, err := cmd.StdinPipe()
		must(t, err)
		must(t, cmd.Start())
		time.Sleep(100 * time.Millisecond)
		must(t, cmd.Process.Signal(syscall.SIGTERM))
		time.Sleep(50 * time.Millisecond)
		if _, err := os.Stat(mark); err == nil {
			t.Errorf("%s: it did not wait", name)
		}
		_, err = pipe.Write([]byte(c.word))
		must(t, err)
		must(t, pipe.Close())
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(mark); (err == nil) != c.does {
			t.Errorf("%s: %v, want it done: %t", name, err, c.does)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
