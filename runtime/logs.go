package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/logfile"
)

// logURI names the log writer in containerd's words (core/runtime/v2/logging: "binary://"): containerd's shim starts it,
// and nothing of ours stays in the path of the data but that.
func (c *Client) logURI(id string, tty bool) (string, error) {
	binary := filepath.Join(c.opt.LibexecDir, "hostrun-log")
	if _, err := os.Stat(binary); err != nil {
		return "", finding.Errorf(finding.StatusFailed, "install all of hostrun: make install", "find the log writer: %w", err)
	}
	uri, err := cio.LogURIGenerator("binary", binary, map[string]string{"path": c.logPath(id), "tty": strconv.FormatBool(tty)})
	if err != nil {
		return "", fmt.Errorf("name the log writer: %w", err)
	}
	return uri.String(), nil
}

// ErrNoLog says that what a container writes is kept nowhere.
var ErrNoLog = errors.New("it has no log")

// Logs writes the container's output to stdout and stderr, each line where it was written.
func (c *Client) Logs(ctx context.Context, name string, opt LogOptions, stdout, stderr io.Writer) error {
	ctx = c.in(ctx)
	r, err := c.own(ctx, name)
	if err != nil {
		return err
	}
	path := r.Labels[labelLog]
	if path == "" {
		return finding.Errorf(finding.StatusFailed, "a container of `hostrun run` writes to its terminal; `hostrun up` keeps a log", "container %s: %w", name, ErrNoLog)
	}
	read := logfile.ReadOptions{Follow: opt.Follow, Tail: opt.Tail, Since: opt.Since, Until: opt.Until, Timestamps: opt.Timestamps}
	if opt.Follow {
		ctx2, cancel := context.WithCancel(ctx)
		defer cancel()
		read.Ended = c.settling(ctx2, r)
	}
	err = logfile.Read(ctx, path, read, stdout, stderr)
	if errors.Is(err, fs.ErrNotExist) { // it has not written anything yet
		return nil
	}
	return err
}

// settling returns a channel that closes when the task has ended and its last output is in the log writer's hands.
func (c *Client) settling(ctx context.Context, r containers.Container) <-chan struct{} {
	over := make(chan struct{})
	go func() {
		defer close(over)
		if end := c.waitTask(ctx, r.ID, ""); end.err == nil {
			c.settle(ctx, r, end)
		}
	}()
	return over
}

// copyLog follows the log to the end of the task.
func (c *Client) copyLog(ctx context.Context, r containers.Container, over <-chan struct{}, stdio IO) error {
	out, errOut := stdio.Stdout, stdio.Stderr
	if out == nil {
		out = io.Discard
	}
	if errOut == nil {
		errOut = io.Discard
	}
	opt := logfile.ReadOptions{Follow: true, Tail: logfile.All, Ended: over}
	if at := labelTime(r.Labels, labelStartedAt); at != nil {
		opt.Since = at.Add(-time.Second)
	}
	err := logfile.Read(ctx, r.Labels[labelLog], opt, out, errOut)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
