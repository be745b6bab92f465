package runtime

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"hostrun.dev/hostrun/plan"
)

// snapshotKey names the snapshot of a container as nobody else does, not even another one of the same name: so it can be
// made before the record says whose the name is.
func snapshotKey(id string) string { return id + "-" + strings.ToLower(rand.Text()[:10]) }

// An earlySnapshot is made while the container's record is being written, which takes as long again: both wait for the
// disk several times. Until the record names it, containerd's garbage collector may take it, and a crash would leave it to
// that; a mark, a file of /run, lets the next sweep remove it at once.
type earlySnapshot struct {
	sn   snapshots.Snapshotter
	key  string
	mark string // path
	made chan error
}

// prepareEarly begins to make the snapshot. Whatever goes wrong is found again, and said, after the record is there.
func (c *Client) prepareEarly(ctx context.Context, pl plan.Plan, r containers.Container) *earlySnapshot {
	e := &earlySnapshot{key: r.SnapshotKey, made: make(chan error, 1)}
	if r.SnapshotKey == "" {
		e.made <- errdefs.ErrNotFound
		return e
	}
	e.sn = c.ctrd.SnapshotService(r.Snapshotter)
	mark, err := c.markSnapshot(r)
	if err != nil {
		e.made <- err
		return e
	}
	e.mark = mark
	go func() {
		_, err := e.sn.Prepare(ctx, r.SnapshotKey, pl.ChainID)
		e.made <- err
	}()
	return e
}

// mounts returns the snapshot's mounts, now that the record names it. It asks for them anew: the garbage collector may
// have come between.
func (e *earlySnapshot) mounts(ctx context.Context) ([]mount.Mount, error) {
	if err := <-e.made; err != nil {
		return nil, err
	}
	return e.sn.Mounts(ctx, e.key)
}

// undo removes the snapshot of a record that could not be written.
func (e *earlySnapshot) undo(ctx context.Context) {
	if err := <-e.made; err == nil {
		_ = e.sn.Remove(ctx, e.key) // nothing refers to it: the garbage collector's, at worst
	}
}

func (e *earlySnapshot) forget() {
	if e.mark != "" {
		_ = os.Remove(e.mark)
	}
}

// marks is the directory of marks. A mark is an empty file whose name says all, since it is made at one stroke: the
// snapshot's key, its snapshotter, the container, and who makes it.
func (c *Client) marks() string { return filepath.Join(c.opt.StateDir, "snapshots", c.opt.Namespace) }

func (c *Client) markSnapshot(r containers.Container) (string, error) {
	path := filepath.Join(c.marks(), strings.Join([]string{r.SnapshotKey, r.Snapshotter, r.ID, creator()}, "@"))
	err := os.WriteFile(path, nil, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err = c.stateDir(c.marks()); err == nil {
			err = os.WriteFile(path, nil, 0o600)
		}
	}
	return path, err
}

// sweepSnapshots removes snapshots that killed processes made for records that they did not come to write.
func (c *Client) sweepSnapshots(ctx context.Context) {
	entries, _ := os.ReadDir(c.marks())
	for _, entry := range entries {
		part := strings.SplitN(entry.Name(), "@", 4)
		if len(part) == 4 && alive(part[3]) {
			continue
		}
		if len(part) == 4 && !c.sweepSnapshot(ctx, part[0], part[1], part[2]) {
			continue
		}
		_ = os.Remove(filepath.Join(c.marks(), entry.Name()))
	}
}

// sweepSnapshot reports whether the mark has served its purpose.
func (c *Client) sweepSnapshot(ctx context.Context, key, snapshotter, id string) bool {
	r, err := c.ctrd.ContainerService().Get(ctx, id)
	if err != nil && !errdefs.IsNotFound(err) {
		return false
	}
	if err == nil && r.SnapshotKey == key {
		return true // the record is written, and goes on or is swept by itself
	}
	// The call of the killed process may still be on its way.
	for range 10 {
		err = c.ctrd.SnapshotService(snapshotter).Remove(ctx, key)
		if !errdefs.IsNotFound(err) {
			return err == nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return true
}
