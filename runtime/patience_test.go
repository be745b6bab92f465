package runtime

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/exectest"
	"hostrun.dev/hostrun/finding"
)

// TestSilentRuntimeIsAskedAgain: an OCI runtime that had no turn on a loaded machine was taken for one that can nothing (HR081), and
// the cache kept that until the program changed.
func TestSilentRuntimeIsAskedAgain(t *testing.T) {
	dir := t.TempDir()
	program, slow := filepath.Join(dir, "runc"), filepath.Join(dir, "slow")
	text := "#!/bin/sh\n[ ! -e " + slow + " ] || exec sleep 600\n" + `case $1 in
--version) echo runc version 1.3.0 ;;
features) echo '{"mountOptions": ["ro", "rro"]}' ;;
esac
`
	if err := errors.Join(exectest.WriteFile(program, []byte(text), 0o755), os.WriteFile(slow, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	c := &Client{opt: Options{CacheDir: filepath.Join(dir, "cache")}}
	if p, err := askRuntime(context.Background(), program, 100*time.Millisecond); err == nil || !strings.Contains(err.Error(), "no answer within 100ms") {
		t.Errorf("while it is slow: %+v, %v", p, err)
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	if r := c.runtimeAt(stopped, program); r.Error == "" || finding.StatusOf(r.Silent) != finding.StatusTryAgain {
		t.Errorf("interrupted: %+v", r)
	}
	if err := os.Remove(slow); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second answer is the cache's
		if r := c.runtimeAt(context.Background(), program); r.Version != "runc 1.3.0" || !slices.Equal(r.MountOptions, []string{"rro"}) || r.Error != "" {
			t.Errorf("once it answers: %+v", r)
		}
		if err := os.WriteFile(slow, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old := filepath.Join(dir, "old")
	if err := exectest.WriteFile(old, []byte("#!/bin/sh\n[ $1 = --version ] || exit 3\necho runc version 1.0.0\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if r := c.runtimeAt(context.Background(), old); r.Version != "runc 1.0.0" || r.MountOptions != nil || r.Error != "" {
		t.Errorf("one that knows no features: %+v", r)
	}
}

// TestPatience: time in which nobody could do anything does not count, and whoever works is waited for longer.
func TestPatience(t *testing.T) {
	ctx, cancel := patient(context.Background(), tick, time.Hour, nil)
	defer cancel()
	<-ctx.Done()
	if !impatient(ctx) {
		t.Errorf("the end: %v", context.Cause(ctx))
	}
	busy, cancel := patient(context.Background(), tick, 3*tick, func() bool { return true })
	defer cancel()
	<-busy.Done()
	if !impatient(busy) {
		t.Errorf("the last end: %v", context.Cause(busy))
	}
	cancelled, cancel := patient(context.Background(), time.Hour, time.Hour, nil)
	cancel()
	if impatient(cancelled) || cancelled.Err() == nil {
		t.Errorf("given up: %v", context.Cause(cancelled))
	}
	worker := exec.Command("sh", "-c", "while :; do :; done")
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = worker.Process.Kill(); _ = worker.Wait() }()
	eventually := func(want bool) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); working(worker.Process.Pid) != want; time.Sleep(tick) {
			if time.Now().After(deadline) {
				t.Fatalf("the process is not seen to work: %v", want)
			}
		}
	}
	eventually(true)
	if err := unix.Kill(worker.Process.Pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(false)
	still := stillWorking(worker.Process.Pid)
	for look := range 4 {
		if busy := still(); busy != (look < 3) {
			t.Errorf("look %d finds it at work: %v", look, busy)
		}
	}
}
