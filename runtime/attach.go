package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/moby/term"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/logfile"
)

// ErrDetached says that a person has left a container by the detach keys. It runs on.
var ErrDetached = errors.New("detached")

// AttachOptions say how hostrun attach is connected.
type AttachOptions struct {
	DetachKeys []byte // of a terminal; empty for none
	NoStdin    bool
}

// stdinPath is the fifo that a detached container with a terminal reads.
func (c *Client) stdinPath(id string) string { return filepath.Join(c.ioDir(id), "stdin") }

// detached is where the streams of a container go that nobody waits for: its output to the log writer, its input, where
// its labels name one, from a fifo. containerd's shim keeps an end of that open, so who detaches is no end of input.
func (c *Client) detached(id, image string, labels map[string]string, tty bool) (streams, error) {
	uri, err := c.logURI(id, image, labels, tty)
	if err != nil {
		return streams{}, err
	}
	s := streams{stdout: uri, stderr: uri, terminal: tty}
	if tty { // without, it is a file of the plan's (plan.Input), and the process's own
		s.stdin = labels[labelStdin]
	}
	if s.stdin == "" {
		return s, nil
	}
	if err := c.stateDir(filepath.Dir(s.stdin)); err != nil {
		return s, fmt.Errorf("make the input of container %s: %w", id, err)
	}
	if err := unix.Mkfifo(s.stdin, 0o600); err != nil && !errors.Is(err, unix.EEXIST) { // gone with a reboot
		return s, fmt.Errorf("make the input of container %s: %w", id, err)
	}
	return s, nil
}

// AttachTo connects a terminal or pipes to the first process of a detached container, until it ends, and returns its exit
// status; ErrDetached comes earlier. Output is shown from now on, as its log gets it. It has an input if its profile says
// stdin_open.
func (c *Client) AttachTo(ctx context.Context, name string, opt AttachOptions, stdio IO, signals <-chan string) (int, error) {
	ctx = c.in(ctx)
	r, err := c.own(ctx, name)
	if err != nil {
		return 0, err
	}
	task, err := c.getTask(ctx, name)
	switch {
	case err != nil:
		return 0, err
	case isPaused(task):
		return 0, isPausedError(name, "attach to")
	case !runs(task):
		return 0, notRunning(name)
	case r.Labels[labelLog] == "":
		return 0, finding.Errorf(finding.StatusFailed, "hostrun exec or hostrun shell starts another process in it", "attach to container %s: it has the terminal of its hostrun run", name)
	}
	spec, err := specOf(r)
	if err != nil {
		return 0, err
	}
	left := make(chan error, 1)
	if !opt.NoStdin && r.Labels[labelStdin] != "" && stdio.Stdin != nil {
		in, err := os.OpenFile(r.Labels[labelStdin], os.O_RDWR|unix.O_NONBLOCK, 0) // for reading too: its process may not have opened it yet
		if err != nil {
			return 0, fmt.Errorf("open the input of container %s: %w", name, err)
		}
		defer in.Close()
		t, err := rawTTY(stdio, terminal(spec))
		if err != nil {
			return 0, fmt.Errorf("set the terminal to raw mode: %w", err)
		}
		defer t.restore()
		c.redraw(ctx, name, t)
		t.follow(ctx, c, name, "")
		from := stdio.Stdin
		if t != nil && len(opt.DetachKeys) > 0 {
			from = term.NewEscapeProxy(from, opt.DetachKeys)
		}
		go func() {
			_, err := io.Copy(in, from)
			if errors.As(err, new(term.EscapeError)) {
				left <- ErrDetached
			} // an end of our input is none of the container's: docker without stdinOnce
		}()
	}
	return c.watchOutput(ctx, r, stdio, signals, left)
}

// redraw has a shell show its prompt again: it does where the size changes (docker attach does the same).
func (c *Client) redraw(ctx context.Context, id string, t *tty) {
	if s := t.size(); s != nil {
		_, _ = c.ctrd.TaskService().ResizePty(ctx, &tasks.ResizePtyRequest{ContainerID: id, Width: uint32(s.Width) + 1, Height: uint32(s.Height) + 1})
	}
}

// watchOutput follows the log from its end on, to the end of the task.
func (c *Client) watchOutput(ctx context.Context, r containers.Container, stdio IO, signals <-chan string, left <-chan error) (int, error) {
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
	shown := make(chan error, 1)
	go func() {
		err := logfile.Read(following, r.Labels[labelLog], logfile.ReadOptions{Follow: true, Ended: over}, stdio.Stdout, stdio.Stderr)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		shown <- err
	}()
	select {
	case err := <-left:
		return 0, err
	case err := <-shown:
		if err != nil {
			return 0, err
		}
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	<-over
	if end.err == nil || ctx.Err() != nil {
		return end.status, end.err
	}
	return c.pastExit(ctx, r.ID)
}

// DetachKeys reads keys as docker writes them: "ctrl-p,ctrl-q"; "" for none.
func DetachKeys(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	keys, err := term.ToBytes(text)
	if err != nil {
		return nil, finding.Errorf(finding.StatusUsage, "single letters and ctrl-a to ctrl-z, joined by commas: ctrl-p,ctrl-q", "flag --detach-keys: %q: %w", text, err)
	}
	return keys, nil
}
