package runtime

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/moby/sys/signal"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/plan"
)

// Run starts a one-off container of the plan in the foreground and returns its exit status (128+n for a signal). The
// container is removed afterwards, in the background but never lost. Signals that ctx's owner wants delivered come
// through signals; a cancelled ctx stops the container. An error means that it never ran.
func (c *Client) Run(ctx context.Context, pl plan.Plan, stdio IO, signals <-chan string) (int, error) {
	ctx = c.in(ctx)
	work, cancel := steady(ctx)
	defer cancel()
	term, err := rawTTY(stdio, terminal(pl.Spec))
	if err != nil {
		return 0, fmt.Errorf("set the terminal to raw mode: %w", err)
	}
	defer term.restore()
	swept := c.sweeping(work, sweepBeside)
	r, err := c.oneOff(work, withConsole(pl, term))
	if err != nil {
		swept()
		return 0, err
	}
	reaper := c.standBy(r.record.ID)
	status, err := c.runTask(ctx, work, r, pl, stdio, term, signals)
	step("run-exited")
	swept()
	term.restore()
	if err != nil {
		err = errors.Join(err, c.discard(work, r.record))
		reaper.dismiss()
		return 0, err
	}
	c.reapOneOff(work, r.record, reaper)
	return status, nil
}

// oneOff makes the container. Its creator's life bounds its own: no label has to change for a later sweep to know.
func (c *Client) oneOff(ctx context.Context, pl plan.Plan) (made, error) {
	return c.make(ctx, pl, map[string]string{labelOneOff: "true"})
}

// withConsole gives the first process the terminal's size from its beginning.
func withConsole(pl plan.Plan, t *tty) plan.Plan {
	size := t.size()
	if size == nil {
		return pl
	}
	spec, process := *pl.Spec, *pl.Spec.Process
	process.ConsoleSize = size
	spec.Process = &process
	pl.Spec = &spec
	return pl
}

// runTask creates, starts and follows the task to its end and its last output.
func (c *Client) runTask(ctx, work context.Context, m made, pl plan.Plan, stdio IO, t *tty, signals <-chan string) (int, error) {
	id := m.record.ID
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	running, cancel := context.WithCancel(work)
	defer cancel()
	f, err := c.attach(running, id, "", stdio, terminal(pl.Spec))
	if err != nil {
		return 0, err
	}
	wired, err := c.wire(work, m.record)
	if err != nil {
		f.close()
		return 0, err
	}
	defer wired.wait()
	root, clear, err := c.stageFor(m.record, volatile(m.root))
	if err != nil {
		f.close()
		return 0, err
	}
	trial := c.trialOf(m.record)
	defer trial.end()
	pid, err := c.createTask(work, id, root, f.streams)
	clear()
	if err != nil {
		f.close()
		return 0, startError("start container "+id, argv0(pl.Spec), err)
	}
	step("task-created")
	wired.created(pid)
	err = wired.wait()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil {
		err = trial.run(work, pid)
	}
	if err != nil {
		// First the task, then the fifos: a shim whose fifos are gone waits for them before it reports the end.
		err = errors.Join(err, c.deleteTask(work, id))
		f.close()
		return 0, err
	}
	following, unfollow := context.WithCancel(context.WithoutCancel(ctx))
	defer unfollow()
	ended := c.waiting(following, id, "")
	if err := c.startTask(work, id, ""); err != nil {
		_ = c.deleteTask(work, id) // again, with its error, when the container is discarded
		f.close()
		return 0, startError("start container "+id, argv0(pl.Spec), err)
	}
	step("task-started")
	noted := c.noteStart(work, id)
	t.follow(running, c, id, "")
	end := c.follow(ctx, m.record, "", ended, signals)
	noted()
	f.finish(10 * time.Second)
	if end.status == killed {
		c.ranOut(m.record) // as long as it can be
	}
	if end.err != nil {
		return unseen, fmt.Errorf("wait for container %s: %w", id, end.err)
	}
	return end.status, nil
}

// brief is how long a one-off container runs before its record is told: the note waits for the disk, and who runs a
// command that is over by then would wait for it too.
const brief = 50 * time.Millisecond

// noteStart writes the time of the start into the record of a container that does not end at once.
func (c *Client) noteStart(ctx context.Context, id string) (done func()) {
	var wg sync.WaitGroup
	wg.Add(1)
	now := timeLabel(time.Now())
	later := time.AfterFunc(brief, func() {
		defer wg.Done()
		_ = c.setLabels(ctx, id, map[string]string{labelStartedAt: now})
	})
	return func() {
		if later.Stop() {
			wg.Done()
		}
		wg.Wait()
	}
}

// follow passes signals on until the process ended. When ctx ends, the process is stopped as Stop does it.
func (c *Client) follow(ctx context.Context, r containers.Container, execID string, ended <-chan exit, signals <-chan string) exit {
	free := context.WithoutCancel(ctx)
	for {
		select {
		case end := <-ended:
			return end
		case name, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			c.passOn(free, r.ID, execID, name)
		case <-ctx.Done():
			return c.cut(free, r, execID, ended)
		}
	}
}

// passOn sends a signal by its name. A process that has just ended is no fault.
func (c *Client) passOn(ctx context.Context, id, execID, name string) {
	if sig, err := signal.ParseSignal(name); err == nil {
		_ = c.killTask(ctx, id, execID, sig, false)
	}
}

// cut ends a process whose owner has gone: stop signal, grace, SIGKILL.
func (c *Client) cut(ctx context.Context, r containers.Container, execID string, ended <-chan exit) exit {
	sig, err := signal.ParseSignal(stopSignal(r.Labels))
	if err != nil || execID != "" {
		sig = unix.SIGTERM
	}
	_ = c.killTask(ctx, r.ID, execID, sig, false)
	wait := time.After(grace(r.Labels))
	for {
		select {
		case end := <-ended:
			return end
		case <-wait:
			_ = c.killTask(ctx, r.ID, execID, unix.SIGKILL, execID == "")
			wait = time.After(5 * time.Second)
		}
	}
}

// Attach follows the output of a detached container until it ends and returns its exit status. A cancelled ctx stops
// following and leaves the container as it is.
func (c *Client) Attach(ctx context.Context, name string, stdio IO, signals <-chan string) (int, error) {
	return c.attachSince(ctx, name, stdio, signals, time.Time{})
}

// attachSince is Attach with the output from a moment on; the zero time is that of the start.
func (c *Client) attachSince(ctx context.Context, name string, stdio IO, signals <-chan string, since time.Time) (int, error) {
	ctx = c.in(ctx)
	r, err := c.own(ctx, name)
	if err != nil {
		return 0, err
	}
	following, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan exit, 1)
	go func() { ended <- c.followSignals(following, r, signals) }()
	over, end := make(chan struct{}), exit{}
	go func() {
		if end = <-ended; end.err == nil {
			c.settle(ctx, r, end)
		}
		close(over)
	}()
	if err := c.copyLog(following, r, over, stdio, since); err != nil && ctx.Err() == nil {
		return 0, err
	}
	select {
	case <-over:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	if end.err == nil || ctx.Err() != nil {
		return end.status, end.err
	}
	return c.pastExit(ctx, name)
}

// followSignals passes signals on until the task ended or ctx does.
func (c *Client) followSignals(ctx context.Context, r containers.Container, signals <-chan string) exit {
	ended := c.waiting(ctx, r.ID, "")
	for {
		select {
		case end := <-ended:
			return end
		case name, ok := <-signals:
			if !ok {
				signals = nil
				continue
			}
			c.passOn(ctx, r.ID, "", name)
		}
	}
}
