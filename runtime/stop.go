package runtime

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	taskapi "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
)

// Start starts the stopped container again, with the spec that it has.
func (c *Client) Start(ctx context.Context, name string) error {
	ctx = c.in(ctx)
	l, r, err := c.lockOwn(ctx, name)
	if err != nil {
		return err
	}
	defer l.unlock()
	defer c.sweeping(ctx, 0)()
	task, err := c.getTask(ctx, name)
	if err == nil && isPaused(task) {
		err = isPausedError(name, "start")
	}
	if err != nil || runs(task) {
		return err
	}
	if err := c.unitsOwn(r, nil); err != nil {
		return err
	}
	if err := c.restart(ctx, r, freshNotes(r.Labels)); err != nil {
		return err
	}
	return c.postStart(ctx, name, true)
}

// lockOwn locks a container of hostrun's that is complete.
func (c *Client) lockOwn(ctx context.Context, name string) (*lock, containers.Container, error) {
	if _, err := c.recorded(ctx, name); err != nil { // no lock file for a name that does not exist
		return nil, containers.Container{}, err
	}
	l, err := c.lock(ctx, name)
	if err != nil {
		return nil, containers.Container{}, err
	}
	r, err := c.recorded(ctx, name)
	if err == nil && abandoned(r) {
		err = errors.Join(c.finish(ctx, r), NoContainer(name))
	}
	if err != nil {
		l.unlock()
		return nil, r, err
	}
	return l, r, nil
}

// Stop sends the stop signal, waits for timeout (nil: the container's own stop_grace_period) and kills what is left.
// Output and exit status stay.
func (c *Client) Stop(ctx context.Context, name string, timeout *time.Duration) error {
	ctx = c.in(ctx)
	l, r, err := c.lockOwn(ctx, name)
	if err != nil {
		return err
	}
	defer l.unlock()
	defer c.sweeping(ctx, 0)()
	if err := c.preStop(ctx, r); err != nil {
		return err
	}
	if err := c.markStopped(ctx, r); err != nil {
		return err
	}
	return c.stop(ctx, r, timeout)
}

// stop ends the task, notes its end in the record, and deletes it with its shim. A container that does not run is
// only tidied.
func (c *Client) stop(ctx context.Context, r containers.Container, timeout *time.Duration) error {
	task, err := c.getTask(ctx, r.ID)
	if err != nil || task == nil {
		return err
	}
	end := exit{status: int(task.ExitStatus), at: task.ExitedAt.AsTime()}
	if task.Status != taskapi.Status_STOPPED {
		c.progress("Container "+r.ID, "Stopping", "")
		if end, err = c.terminate(ctx, r, graceOf(r, timeout), task); err != nil {
			return fmt.Errorf("stop container %s: %w", r.ID, err)
		}
	}
	work, cancel := steady(ctx)
	defer cancel()
	if r.Labels[labelStartedAt] != "" {
		if err := c.recordExit(work, r, end); err != nil {
			return err
		}
	}
	unwired := make(chan error, 1)
	go func() { unwired <- c.unwire(work, r.ID) }()
	err = c.deleteTask(work, r.ID)
	if err := errors.Join(err, <-unwired); err != nil {
		return err
	}
	step("task-deleted")
	c.progress("Container "+r.ID, "Stopped", "")
	return nil
}

// Down stops the container as Stop does and removes it with its snapshot, files and log. It returns when the process has
// ended; what is left of the removal goes on in the background and is never lost. The error wraps ErrNoContainer when
// there is none.
func (c *Client) Down(ctx context.Context, name string, timeout *time.Duration) error {
	return c.DownOf(ctx, name, timeout, nil)
}

// DownOf is Down for one of several containers: what is left of the removal begins with rs.
func (c *Client) DownOf(ctx context.Context, name string, timeout *time.Duration, rs *Removals) error {
	end := func(ctx context.Context, r containers.Container, task *taskapi.Process) error {
		if err := c.preStop(ctx, r); err != nil {
			return err
		}
		return c.end(ctx, r, task, timeout)
	}
	err := c.remove(ctx, name, rs, end)
	if errors.Is(err, ErrNoContainer) {
		switch found, failed := c.adoptLost(ctx, name); {
		case failed != nil:
			return failed
		case found:
			return c.remove(ctx, name, rs, end)
		}
	}
	return err
}

// remove deletes a container with everything that belongs to it, after end has ended its process or has said why not.
func (c *Client) remove(ctx context.Context, name string, rs *Removals, end func(context.Context, containers.Container, *taskapi.Process) error) error {
	ctx = c.in(ctx)
	if _, err := c.recorded(ctx, name); err != nil { // no lock file for a name that does not exist
		return err
	}
	l, err := c.lock(ctx, name)
	if err != nil {
		return err
	}
	defer l.unlock()
	defer c.sweeping(ctx, 0)()
	r, err := c.recorded(ctx, name)
	if err != nil {
		return err
	}
	task, err := c.getTask(ctx, name)
	if err == nil {
		err = end(ctx, r, task)
	}
	if err != nil {
		return err
	}
	c.progress("Container "+name, "Removing", "")
	if err := c.dropAnonymous(r.ID); err != nil {
		return err
	}
	if err := c.discardEnded(ctx, r, task, l, rs); err != nil {
		return err
	}
	c.progress("Container "+name, "Removed", "")
	return nil
}

// discardEnded removes a container whose process has ended, in the background where there is a task: to delete it takes
// longer than all the rest.
func (c *Client) discardEnded(ctx context.Context, r containers.Container, task *taskapi.Process, l *lock, rs *Removals) error {
	work, cancel := steady(ctx)
	defer cancel()
	switch {
	case abandoned(r):
		return c.finish(work, r)
	case task == nil:
		return c.discard(work, r)
	}
	return c.discardLater(work, r, l, rs)
}

// end ends the process of a container that is to be removed: how it ended is nobody's business any more.
func (c *Client) end(ctx context.Context, r containers.Container, task *taskapi.Process, timeout *time.Duration) error {
	if !runs(task) {
		return nil
	}
	c.progress("Container "+r.ID, "Stopping", "")
	if _, err := c.terminate(ctx, r, graceOf(r, timeout), task); err != nil {
		return fmt.Errorf("stop container %s: %w", r.ID, err)
	}
	return nil
}

// graceOf is timeout, or the container's own stop_grace_period.
func graceOf(r containers.Container, timeout *time.Duration) time.Duration {
	if timeout != nil {
		return *timeout
	}
	return grace(r.Labels)
}

// settle notes the end of a task that ended by itself and deletes it. Until then the shim (of containerd 1.6 at least)
// holds its end of the log writer's pipes, so that the log has no end. Whoever holds the lock does the same or more.
func (c *Client) settle(ctx context.Context, r containers.Container, end exit) {
	l, err := c.tryLock(r.ID)
	if err != nil {
		return
	}
	defer l.unlock()
	work, cancel := steady(ctx)
	defer cancel()
	task, err := c.getTask(work, r.ID)
	if err != nil || task == nil || task.Status != taskapi.Status_STOPPED {
		return // or it has been started again
	}
	if err := c.recordExit(work, r, end); err != nil {
		c.opt.Log.Warn("settle", "error", err)
		return
	}
	if err := c.deleteTask(work, r.ID); err != nil {
		c.opt.Log.Warn("settle", "error", err)
	}
}

func (c *Client) recordExit(ctx context.Context, r containers.Container, end exit) error {
	labels := map[string]string{labelFinishedAt: timeLabel(end.at), labelExitStatus: strconv.Itoa(end.status)}
	if end.status == killed && c.ranOut(r) { // its cgroup goes with the task
		labels[labelOOMKilled] = "true"
	}
	err := c.setLabels(ctx, r.ID, labels)
	if err != nil {
		return fmt.Errorf("note the end of container %s: %w", r.ID, err)
	}
	step("exit-recorded")
	return nil
}

// terminate sends the stop signal and after the grace period SIGKILL, and returns how the process ended.
func (c *Client) terminate(ctx context.Context, r containers.Container, wait time.Duration, task *taskapi.Process) (exit, error) {
	sig, err := signal.ParseSignal(stopSignal(r.Labels))
	if err != nil {
		sig = unix.SIGTERM
	}
	following, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := c.waiting(following, r.ID, "")
	endOf := func(end exit) (exit, error) {
		if isGivenUp(task) && errdefs.IsNotFound(end.err) { // before it was waited for
			end = exit{status: unseen, at: time.Now()}
		}
		return end, end.err
	}
	if wait > 0 {
		if err := c.signalTask(ctx, r.ID, task, sig); err != nil && !errdefs.IsNotFound(err) {
			return exit{}, err
		}
		if isPaused(task) {
			c.thaw(ctx, r.ID)
		}
		step("stop-signalled")
		select {
		case end := <-ended:
			return endOf(end)
		case <-ctx.Done():
			return exit{}, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
	if err := c.killAndWait(ctx, r.ID); err != nil {
		return exit{}, err
	}
	return endOf(<-ended)
}

func stopSignal(labels map[string]string) string {
	if s := labels[labelStopSignal]; s != "" {
		return s
	}
	return "SIGTERM"
}

// Kill sends a signal ("SIGUSR1", "TERM", "9").
func (c *Client) Kill(ctx context.Context, name, sig string) error {
	ctx = c.in(ctx)
	n, err := signal.ParseSignal(sig)
	if err != nil {
		return finding.Errorf(finding.StatusUsage, "kill -l lists the signals", "kill container %s: signal %q: no such signal", name, sig)
	}
	r, err := c.own(ctx, name)
	if err != nil {
		return err
	}
	task, err := c.getTask(ctx, name)
	if err != nil {
		return err
	}
	final := ends(r.Labels, n)
	if final { // as in docker
		if err := c.markStopped(ctx, r); err != nil {
			return err
		}
	}
	err = c.killTask(ctx, name, "", n, false)
	if err == nil && final && isPaused(task) {
		c.thaw(ctx, name)
	}
	if errdefs.IsNotFound(err) || errdefs.IsFailedPrecondition(err) {
		return notRunning(name)
	}
	if err != nil {
		return fmt.Errorf("kill container %s: %w", name, ociCause(err))
	}
	return nil
}

// Remove deletes the container, its snapshot, files and log. A running one is refused unless force is set.
func (c *Client) Remove(ctx context.Context, name string, force bool) error {
	return c.remove(ctx, name, nil, func(ctx context.Context, r containers.Container, task *taskapi.Process) error {
		if !runs(task) {
			return nil
		}
		if !force {
			return finding.Errorf(finding.StatusFailed, "hostrun down "+name+"\nor kill it: hostrun rm --force "+name, "remove container %s: it runs", name)
		}
		now := time.Duration(0)
		return c.end(ctx, r, task, &now)
	})
}

// unseen is the exit status of a process that ended while nobody could see it: the daemon was down, or the machine.
const unseen = 255

// Wait returns the container's exit status once it has ended.
func (c *Client) Wait(ctx context.Context, name string) (int, error) {
	ctx = c.in(ctx)
	if _, err := c.ownPatiently(ctx, name); err != nil {
		return 0, err
	}
	end := c.waitTask(ctx, name, "")
	if end.err == nil || ctx.Err() != nil {
		return end.status, end.err
	}
	return c.pastExit(ctx, name)
}

// pastExit reads the end of a container without a task from its record.
func (c *Client) pastExit(ctx context.Context, name string) (int, error) {
	r, err := c.ownPatiently(ctx, name)
	if err != nil {
		return 0, err
	}
	if status := labelInt(r.Labels, labelExitStatus); status != nil {
		return *status, nil
	}
	if r.Labels[labelOneOff] != "" && over(r, nil) {
		return 0, NoContainer(name)
	}
	if r.Labels[labelStartedAt] == "" {
		return 0, finding.Errorf(finding.StatusFailed, "hostrun start "+name, "wait for container %s: it was never started", name)
	}
	return unseen, finding.Errorf(finding.StatusFailed, "hostrun logs "+name,
		"wait for container %s: it ended while containerd was not running, and its exit status is lost", name)
}
