//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
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
		awaitIgnored(t, cmd.Process.Pid, syscall.SIGTERM)
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

// awaitIgnored waits until a process ignores a signal: it has come so far that it is no longer ended by it.
func awaitIgnored(t *testing.T, pid int, signal syscall.Signal) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		must(t, err)
		_, rest, _ := strings.Cut(string(status), "\nSigIgn:\t")
		mask, _, _ := strings.Cut(rest, "\n")
		if bits, err := strconv.ParseUint(mask, 16, 64); err == nil && bits>>(signal-1)&1 == 1 {
			return
		}
	}
	t.Fatalf("process %d does not ignore %v", pid, signal)
}
