package runtime

import (
	"context"
	"fmt"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	taskapi "github.com/containerd/containerd/api/types/task"
	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
)

// Pause freezes all processes of the running container. Its memory, its devices and their memory stay its own.
func (c *Client) Pause(ctx context.Context, name string) error {
	return c.freeze(ctx, name, true)
}

// Unpause lets a paused container go on.
func (c *Client) Unpause(ctx context.Context, name string) error {
	return c.freeze(ctx, name, false)
}

// freeze is under the container's lock: a stop that is under way must not be frozen in its middle.
func (c *Client) freeze(ctx context.Context, name string, pause bool) error {
	ctx = c.in(ctx)
	l, r, err := c.lockOwn(ctx, name)
	if err != nil {
		return err
	}
	defer l.unlock()
	task, err := c.getTask(ctx, name)
	if err != nil {
		return err
	}
	paused := isPaused(task)
	switch {
	case !runs(task):
		return notRunning(name)
	case isGivenUp(task):
		return givenUpError(name, map[bool]string{true: "pause", false: "unpause"}[pause])
	case pause && paused:
		return finding.Errorf(finding.StatusFailed, "hostrun unpause "+name, "container %s: it is already paused", name)
	case !pause && !paused:
		return finding.Errorf(finding.StatusFailed, "hostrun ps shows what is paused", "container %s: it is not paused", name)
	}
	if pause {
		_, err = c.ctrd.TaskService().Pause(ctx, &tasks.PauseTaskRequest{ContainerID: r.ID})
	} else {
		_, err = c.ctrd.TaskService().Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: r.ID})
	}
	verb, done := "pause", "Paused"
	if !pause {
		verb, done = "unpause", "Unpaused"
	}
	if err != nil {
		return fmt.Errorf("%s container %s: %w", verb, name, ociCause(native(err)))
	}
	c.progress("Container "+name, done, "")
	return nil
}

func isPaused(p *taskapi.Process) bool {
	return p != nil && (p.Status == taskapi.Status_PAUSED || p.Status == taskapi.Status_PAUSING)
}

// isPausedError refuses what a frozen container can't do, as docker does.
func isPausedError(name, doing string) error {
	return finding.Errorf(finding.StatusFailed, "hostrun unpause "+name, "%s container %s: it is paused", doing, name)
}

// thaw lets a paused container go on that has just been sent a signal to end by: until then the freezer holds it back
// (docker's stop and kill do the same; kernel, Documentation/admin-guide/cgroup-v1/freezer-subsystem.rst).
func (c *Client) thaw(ctx context.Context, id string) {
	_, err := c.ctrd.TaskService().Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: id})
	if err = native(err); err != nil {
		c.opt.Log.Debug("unpause", "container", id, "error", err)
	}
}

// ends says whether a signal is meant to end the container: SIGKILL, and its stop signal.
func ends(labels map[string]string, sig unix.Signal) bool {
	stop, err := signal.ParseSignal(stopSignal(labels))
	return sig == unix.SIGKILL || err == nil && sig == stop
}
