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

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"hostrun.dev/hostrun/plan"
)

// snapshotKey names the snapshot of a container as nobody else does, not even another one of the same name: so it can be
// made before the record says whose the name is.
func snapshotKey(id string) string { return id + "-" + strings.ToLower(rand.Text()[:10]) }

// An earlySnapshot is made while the plan is being proved and the container's record written, which takes as long: to make
// it waits for the disk six times. Until the record names it, containerd's garbage collector may take it, and a crash would leave it to
// that; a mark, a file of /run, lets the next sweep remove it at once.
type earlySnapshot struct {
	sn      snapshots.Snapshotter // nil without a snapshot
	key     string
	chainID string // of the image
	mark    string // path
	made    chan error
}

// Ahead begins to make the layer of container id, of an image that its plan will name, before the plan is there: Up or
// Run of that container takes it over. Whatever goes wrong is found again, and said, by these. drop ends a layer that
// nobody has taken, and is to be called in each case.
func (c *Client) Ahead(ctx context.Context, id, chainID string) (drop func()) {
	ctx = c.in(ctx)
	snapshotter, err := c.snapshotter(ctx)
	if err != nil || chainID == "" {
		return func() {}
	}
	migrations.ahead()
	work, cancel := steady(ctx)
	e := c.prepareEarly(work, id, snapshotter, snapshotKey(id), chainID)
	c.ahead.Store(id, e)
	return func() {
		defer cancel()
		if c.ahead.CompareAndDelete(id, e) {
			e.undo(work)
			e.forget()
		}
	}
}

// earlyOf returns the snapshot that Ahead has begun for the container, or begins to make one.
func (c *Client) earlyOf(ctx context.Context, pl plan.Plan) (e *earlySnapshot, snapshotter string, err error) {
	if pl.Root != nil { // without an image
		e = &earlySnapshot{made: make(chan error, 1)}
		e.made <- errdefs.ErrNotFound
		return e, "", nil
	}
	if snapshotter, err = c.snapshotter(ctx); err != nil {
		return nil, "", err
	}
	if ahead, ok := c.ahead.Load(pl.ID); ok && ahead.(*earlySnapshot).chainID == pl.ChainID && c.ahead.CompareAndDelete(pl.ID, ahead) {
		return ahead.(*earlySnapshot), snapshotter, nil
	}
	return c.prepareEarly(ctx, pl.ID, snapshotter, snapshotKey(pl.ID), pl.ChainID), snapshotter, nil
}

// prepareEarly begins to make a snapshot. Whatever goes wrong is found again, and said, after the record is there.
func (c *Client) prepareEarly(ctx context.Context, id, snapshotter, key, chainID string) *earlySnapshot {
	e := &earlySnapshot{sn: c.ctrd.SnapshotService(snapshotter), key: key, chainID: chainID, made: make(chan error, 1)}
	mark, err := c.markSnapshot(id, snapshotter, key)
	if err != nil {
		e.made <- err
		return e
	}
	e.mark = mark
	step("snapshot-marked")
	go func() {
		_, err := e.sn.Prepare(ctx, key, chainID)
		step("snapshot-made")
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

func (c *Client) markSnapshot(id, snapshotter, key string) (string, error) {
	path := filepath.Join(c.marks(), strings.Join([]string{key, snapshotter, id, creator()}, "@"))
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
