package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	taskapi "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

// A streams says where a process's standard streams go: paths of fifos, or the URI of the log writer.
type streams struct {
	stdin, stdout, stderr string
	terminal              bool
}

// An exit is how a process ended. The status of a signal n is 128+n.
type exit struct {
	status int
	at     time.Time
	err    error
}

// createTask makes the container's namespaces and its first process, which waits. It returns that process's id.
func (c *Client) createTask(ctx context.Context, id string, root []mount.Mount, s streams) (pid uint32, err error) {
	req := &tasks.CreateTaskRequest{ContainerID: id, Stdin: s.stdin, Stdout: s.stdout, Stderr: s.stderr, Terminal: s.terminal, RuntimePath: c.ownShim()}
	for _, m := range root { // handed over, so that nobody asks the snapshotter again
		req.Rootfs = append(req.Rootfs, &types.Mount{Type: m.Type, Source: m.Source, Target: m.Target, Options: m.Options})
	}
	defer migrations.during()()
	err = c.retryCreate(ctx, id, func() error {
		made, err := c.ctrd.TaskService().Create(ctx, req)
		if req.RuntimePath != "" && shimRefused(err, req.RuntimePath) {
			c.opt.Log.Warn("containerd can't execute hostrun's shim, and takes its own, which is slower", "container", id, "shim", req.RuntimePath, "error", err)
			req.RuntimePath = ""
			made, err = c.ctrd.TaskService().Create(ctx, req)
		}
		pid = made.GetPid()
		return native(err)
	})
	return pid, err
}

// volatile makes the root of a one-off container one that nobody waits for the disk for: to unmount an overlay writes
// back everything that is dirty in its file system, which may be tens of gigabytes on a training host (Linux 5.10,
// Documentation/filesystems/overlayfs.rst, "Volatile mount"). What is mounted so can't be mounted again, so a container
// that may be started again does without.
func volatile(root []mount.Mount) []mount.Mount {
	if len(root) != 1 || root[0].Type != "overlay" || !volatileOverlay() {
		return root
	}
	m := root[0]
	m.Options = append(slices.Clone(m.Options), "volatile")
	return []mount.Mount{m}
}

var volatileOverlay = sync.OnceValue(func() bool {
	var name unix.Utsname
	var major, minor int
	_ = unix.Uname(&name) // it can't fail
	_, _ = fmt.Sscanf(unix.ByteSliceToString(name.Release[:]), "%d.%d", &major, &minor)
	return major > 5 || major == 5 && minor >= 10
})

// remnantPatience is how long containerd may take to clean up after a client that died in the middle of a call: to end its
// shim takes up to shimStays. undonePatience is for what may have another cause, and passes with the next attempt if not.
const (
	remnantPatience = shimStays + shimPatience
	undonePatience  = 5 * time.Second
)

// A retrial is what is known of attempts to make a task where remnants of an earlier one may be.
type retrial struct {
	begun  time.Time
	undone time.Time // the first attempt whose bundle was taken away
}

// over says whether the attempt that ended so was the last.
func (r *retrial) over(err error, now time.Time) bool {
	if !bundleGone(err) {
		return !remnant(err) || now.Sub(r.begun) > remnantPatience
	}
	if r.undone.IsZero() {
		r.undone = now
	}
	return now.Sub(r.undone) > undonePatience
}

// retryCreate makes a task where remnants of an earlier one may be: a command that was killed during its call leaves
// containerd busy with undoing it, or with a task that it no longer shows.
func (c *Client) retryCreate(ctx context.Context, id string, create func() error) error {
	r := retrial{begun: time.Now()}
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		err := create()
		if r.over(err, time.Now()) || ctx.Err() != nil {
			return err
		}
		if err := errors.Join(c.endLost(ctx, id), c.deleteHiddenTask(ctx, id), c.endOrphanShims(ctx, id)); err != nil {
			return err
		}
		time.Sleep(wait)
	}
}

// remnant recognises what is left of an earlier task: the task, the directory of its bundle, for which containerd
// has no class of error, or what the OCI runtime knows of it.
func remnant(err error) bool {
	return errdefs.IsAlreadyExists(err) || err != nil && strings.Contains(err.Error(), "mkdir ") && strings.Contains(err.Error(), "file exists") || bundleGone(err) || nameTaken(err)
}

// nameTaken recognises that the OCI runtime still knows a container of that name (runc, libcontainer: ErrExist; libcrun, status.c).
func nameTaken(err error) bool {
	return err != nil && strings.Contains(err.Error(), "OCI runtime create failed: ") && strings.Contains(err.Error(), "already exists")
}

// bundleGone recognises a task whose bundle or shim was taken away while it was being started: containerd undoes the call
// of a client that was killed by the bundle's name, and the next task of that name has the same. A shim that is not
// installed can't be executed, which is another thing; nor can an OCI runtime, whose log containerd then misses in the bundle.
func bundleGone(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	if strings.HasSuffix(text, "failed to create shim task: ttrpc: closed") {
		return true
	}
	if strings.Contains(text, "OCI runtime create failed: ") && (strings.Contains(text, ": fork/exec ") || strings.Contains(text, "executable file not found")) {
		return false
	}
	begun := strings.Contains(text, "failed to start shim: start failed: ") || strings.Contains(text, "io.containerd.runtime.v2.task/")
	return begun && strings.Contains(text, "no such file or directory")
}

func (c *Client) startTask(ctx context.Context, id, execID string) error {
	_, err := c.ctrd.TaskService().Start(ctx, &tasks.StartRequest{ContainerID: id, ExecID: execID})
	return native(err)
}

// waitTask waits for the end of the process, also over a restart of the daemon.
func (c *Client) waitTask(ctx context.Context, id, execID string) exit {
	for {
		r, err := c.ctrd.TaskService().Wait(ctx, &tasks.WaitRequest{ContainerID: id, ExecID: execID})
		err = native(err)
		switch {
		case err == nil:
			return exit{status: int(r.ExitStatus), at: r.ExitedAt.AsTime()}
		case ctx.Err() != nil:
			return exit{err: context.Cause(ctx)}
		case !away(err):
			if execID == "" && errdefs.IsNotFound(err) {
				if end, goesOn := c.waitGivenUp(ctx, id); goesOn {
					return end
				}
			}
			return exit{err: err}
		}
		pause(ctx)
	}
}

// away reports that the daemon is being restarted: the call may be made again. A broken connection is Unavailable, or
// Unknown with the words of the kernel, by the moment at which it broke.
func away(err error) bool {
	return err != nil && (errdefs.IsUnavailable(err) || strings.Contains(err.Error(), "connection reset by peer") ||
		strings.Contains(err.Error(), "ttrpc: closed") || strings.Contains(err.Error(), "error reading from server: EOF") || strings.Contains(err.Error(), "broken pipe"))
}

func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(200 * time.Millisecond):
	}
}

// waiting is waitTask in the background. It is called before the start, so that no end is missed.
func (c *Client) waiting(ctx context.Context, id, execID string) <-chan exit {
	ended := make(chan exit, 1)
	go func() { ended <- c.waitTask(ctx, id, execID) }()
	return ended
}

func (c *Client) killTask(ctx context.Context, id, execID string, sig unix.Signal, all bool) error {
	_, err := c.ctrd.TaskService().Kill(ctx, &tasks.KillRequest{ContainerID: id, ExecID: execID, Signal: uint32(sig), All: all})
	if err = native(err); errdefs.IsNotFound(err) && execID == "" && c.killGivenUp(ctx, id, sig, all) {
		return nil
	}
	return err
}

// getTask returns the container's process, or nil without one.
func (c *Client) getTask(ctx context.Context, id string) (*taskapi.Process, error) {
	r, err := c.ctrd.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id})
	if err = native(err); errdefs.IsNotFound(err) {
		return c.givenUp(ctx, id), nil
	} else if err != nil {
		return nil, fmt.Errorf("read the task of container %s: %w", id, err)
	}
	return r.Process, nil
}

func runs(p *taskapi.Process) bool {
	if p == nil {
		return false
	}
	switch p.Status {
	case taskapi.Status_RUNNING, taskapi.Status_PAUSED, taskapi.Status_PAUSING, statusGivenUp:
		return true
	}
	return false
}

// deleteTask ends what still runs and deletes the task with its shim. Nothing there is success.
func (c *Client) deleteTask(ctx context.Context, id string) error {
	p, err := c.getTask(ctx, id)
	if err != nil {
		return err
	}
	if p == nil {
		if err := c.deleteHiddenTask(ctx, id); err != nil {
			return err
		}
		return c.clearGivenUp(ctx, id)
	}
	// Deleting a task that was created and never started waits for the end of its output, which does not come.
	if p.Status != taskapi.Status_STOPPED {
		if err := c.killAndWait(ctx, id); err != nil {
			return fmt.Errorf("kill container %s: %w", id, err)
		}
	}
	if isGivenUp(p) {
		return c.clearGivenUp(ctx, id)
	}
	for try := 0; ; try++ {
		_, err := c.ctrd.TaskService().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
		err = native(err)
		if err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		if try == 20 {
			return fmt.Errorf("delete the task of container %s: %w", id, err)
		}
		if err := c.killAndWait(ctx, id); err != nil {
			return fmt.Errorf("kill container %s: %w", id, err)
		}
	}
}

// deleteHiddenTask ends the shim of a task whose deletion was cut off when the client of that call died: containerd
// shows no such task any more, refuses a new one ("already exists"), and keeps the shim. Deleting it again ends that.
func (c *Client) deleteHiddenTask(ctx context.Context, id string) error {
	_, err := c.ctrd.TaskService().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
	if err = native(err); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete the task of container %s: %w", id, err)
	}
	return nil
}

// killAndWait ends the task with SIGKILL: a running one, a paused one, and one that was created and never started.
func (c *Client) killAndWait(ctx context.Context, id string) error {
	short, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	ended := c.waiting(short, id, "")
	err := c.killTask(ctx, id, "", unix.SIGKILL, true)
	if err != nil && !errdefs.IsNotFound(err) && !errdefs.IsFailedPrecondition(err) {
		return err
	}
	if p, _ := c.getTask(ctx, id); p != nil && p.Status == taskapi.Status_PAUSED { // the freezer holds signals back
		_, _ = c.ctrd.TaskService().Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: id})
	}
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
