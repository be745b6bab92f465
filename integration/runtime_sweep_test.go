package integration

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/integration/fixture"
)

// TestRuntimeSweepBesideAnUp: the sweep beside an up looked for records before the up had written its own, and then took the cgroup that the
// OCI runtime was about to use for one that a killed command had left.
func TestRuntimeSweepBesideAnUp(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		roots, err := filepath.Glob("/sys/fs/cgroup/pids/cgroup.procs")
		ok(t, err)
		dir := filepath.Join(filepath.Dir(append(roots, "/sys/fs/cgroup/cgroup.procs")[0]), w.opt.Namespace, "web")
		ok(t, os.MkdirAll(dir, 0o755))
		defer fixture.RemoveCgroups(w.opt.Namespace)
		path := filepath.Join(w.opt.StateDir, "locks", w.opt.Namespace, "web")
		ok(t, os.MkdirAll(filepath.Dir(path), 0o700))
		up, err := os.Create(path) // of an up that has its lock and no record yet
		ok(t, err)
		ok(t, unix.Flock(int(up.Fd()), unix.LOCK_EX))
		ok(t, w.c.Sweep(context.Background()))
		if _, err := os.Stat(dir); err != nil {
			t.Error(err)
		}
		ok(t, os.Remove(path))
		ok(t, up.Close())
		ok(t, w.c.Sweep(context.Background()))
		if _, err := os.Stat(dir); !os.IsNotExist(err) {
			t.Errorf("what is nobody's stays: %v", err)
		}
	})
}
