package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	taskapi "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// sharePID keeps the pid namespace of the container that r shares at the path that r's spec names: the spec stays the same,
// whichever process the other one's first is.
func (c *Client) sharePID(ctx context.Context, r containers.Container) error {
	other := r.Labels[plan.LabelPID]
	if other == "" {
		return nil
	}
	task, err := c.sharedTask(ctx, r.ID, "processes", other)
	if err != nil {
		return err
	}
	path := c.pidNamespace(r.ID)
	err = c.stateDir(filepath.Dir(path))
	if err == nil {
		err = c.unsharePID(r.ID)
	}
	if err == nil {
		err = os.WriteFile(path, nil, 0o600)
	}
	if err == nil {
		err = unix.Mount(fmt.Sprintf("/proc/%d/ns/pid", task.Pid), path, "", unix.MS_BIND, "")
	}
	if err != nil {
		return fmt.Errorf("container %s: share the processes of container %s: %w", r.ID, other, err)
	}
	return nil
}

// sharedTask is the running task of the container whose namespace another one, id, shares.
func (c *Client) sharedTask(ctx context.Context, id, what, other string) (*taskapi.Process, error) {
	task, err := c.getTask(ctx, other)
	if err == nil && !runs(task) {
		err = finding.Errorf(finding.StatusFailed, "hostrun up "+other, "container %s: it shares the %s of container %s, which does not run", id, what, other)
	}
	return task, err
}

func (c *Client) pidNamespace(id string) string {
	return plan.PIDNamespacePath(c.opt.StateDir, c.opt.Namespace, id)
}

// unsharePID gives the namespace up; most containers have none.
func (c *Client) unsharePID(id string) error {
	path := c.pidNamespace(id)
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for unix.Unmount(path, unix.MNT_DETACH) == nil { // a start that was killed has left one more
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("give up the shared processes of container %s: %w", id, err)
	}
	return nil
}
