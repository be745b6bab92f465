package runtime

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// orphanAge is when a task without a record is nobody's: containerd undoes the call of a client that was killed by itself, and on
// a machine whose processors are all busy that takes a while.
const orphanAge = shimStays + shimPatience

// sweepOrphans ends tasks whose record is gone. A command that is killed while containerd makes its task leaves a record,
// which the next command removes with what it finds; containerd may come to make the task only after that.
func (c *Client) sweepOrphans(ctx context.Context) {
	for id, root := range c.taskRoots() {
		info, err := os.Stat(filepath.Dir(root)) // the task's bundle
		if err == nil && time.Since(info.ModTime()) > orphanAge && c.gone(ctx, id) {
			c.sweepOrphan(ctx, id, root)
		}
	}
}

func (c *Client) sweepOrphan(ctx context.Context, id, root string) {
	l, err := c.tryLock(id)
	if err != nil {
		return
	}
	defer l.unlock()
	if !c.gone(ctx, id) {
		return
	}
	c.opt.Log.Info("end what is left of a container without a record", "container", id, "root", root)
	err = c.deleteTask(ctx, id)
	if err == nil {
		err = c.endOrphanShims(ctx, id)
	}
	if err != nil {
		c.opt.Log.Warn("sweep", "container", id, "error", err)
		return
	}
	_ = unix.Unmount(root, unix.MNT_DETACH) // of a shim that was killed
}

// gone says whether there is neither a record nor a directory of the container.
func (c *Client) gone(ctx context.Context, id string) bool {
	if _, err := os.Lstat(c.dir(id)); !os.IsNotExist(err) {
		return false
	}
	_, err := c.ctrd.ContainerService().Get(ctx, id)
	return errdefs.IsNotFound(err)
}

// taskRoots are the mounted roots of the namespace's tasks, by container, where containerd mounts them: in
// <state>/io.containerd.runtime.v2.task/<namespace>/<id>/rootfs (containerd, core/runtime/v2/bundle.go).
func (c *Client) taskRoots() map[string]string {
	roots := map[string]string{}
	within := "/io.containerd.runtime.v2.task/" + c.opt.Namespace + "/"
	_, _ = mountinfo.GetMounts(func(m *mountinfo.Info) (skip, stop bool) {
		if _, rest, ok := strings.Cut(m.Mountpoint, within); ok {
			if id, tail, _ := strings.Cut(rest, "/"); tail == "rootfs" {
				roots[id] = m.Mountpoint
			}
		}
		return true, false
	})
	return roots
}
