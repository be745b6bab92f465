package integration

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
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
		defer fixture.RemoveTraces(w.opt.Namespace)
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

// TestTaskWithoutARecord: containerd made a task for a command that was killed in the middle of that call, after the next command had
// removed the record. Its shim and its mount stayed for ever.
func TestTaskWithoutARecord(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := namespaces.WithNamespace(context.Background(), w.opt.Namespace)
		pl := quick(w.plan("lost", "sleep", "1000"))
		w.up(pl, "created")
		cl, err := containerd.New(w.opt.Address)
		ok(t, err)
		defer cl.Close()
		record, err := cl.ContainerService().Get(ctx, pl.ID)
		ok(t, err)
		ok(t, cl.ContainerService().Delete(ctx, pl.ID))
		ok(t, os.RemoveAll(filepath.Join(w.opt.DataDir, "containers", w.opt.Namespace, pl.ID)))
		ok(t, w.c.Sweep(context.Background()))
		if len(w.leaks().Tasks) != 1 {
			t.Errorf("a task that containerd may be about to undo was taken: %s", w.leaks())
		}
		var bundle string
		for _, m := range fixture.MountsBelow(w.ctrd.Dir) {
			if filepath.Base(m) == "rootfs" {
				bundle = filepath.Dir(m)
			}
		}
		ok(t, os.Chtimes(bundle, time.Now().Add(-time.Hour), time.Now().Add(-time.Hour)))
		ok(t, w.c.Sweep(context.Background()))
		// Without a record the layer is the garbage collector's, which may have been.
		if err := cl.SnapshotService(record.Snapshotter).Remove(ctx, record.SnapshotKey); !errdefs.IsNotFound(err) {
			ok(t, err)
		}
		ok(t, w.c.Sweep(context.Background())) // the cgroup of a process that had to be killed
		w.clean()
	})
}
