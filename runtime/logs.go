package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/logfile"
	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// JournalSocket is where systemd's journal takes entries (systemd, docs/JOURNAL_NATIVE_PROTOCOL.md).
const JournalSocket = "/run/systemd/journal/socket"

// logURI names the log writer in containerd's words (core/runtime/v2/logging: "binary://"): containerd's shim starts it,
// and nothing of ours stays in the path of the data but that. It is "" for a container whose output nobody wants.
func (c *Client) logURI(id, image string, labels map[string]string, tty bool) (string, error) {
	logging, err := loggingOf(id, labels)
	if err != nil || logging.Driver == "none" {
		return "", err
	}
	binary := filepath.Join(c.opt.LibexecDir, "hostrun-log")
	if _, err := os.Stat(binary); err != nil {
		return "", finding.Errorf(finding.StatusFailed, "install all of hostrun: make install", "find the log writer: %w", err)
	}
	args := map[string]string{"path": c.logPath(id), "tty": strconv.FormatBool(tty)}
	if logging.MaxSize > 0 {
		args["max-size"] = strconv.FormatInt(logging.MaxSize, 10)
	}
	if logging.MaxFiles > 0 {
		args["max-files"] = strconv.Itoa(logging.MaxFiles)
	}
	if logging.Compress {
		args["compress"] = "true"
	}
	if logging.Driver == "journald" {
		if err := c.journalArgs(args, id, image, logging.Tag); err != nil {
			return "", err
		}
	}
	uri, err := cio.LogURIGenerator("binary", binary, args)
	if err != nil {
		return "", fmt.Errorf("name the log writer: %w", err)
	}
	return uri.String(), nil
}

// ErrNoLog says that what a container writes is kept nowhere.
var ErrNoLog = errors.New("it has no log")

func loggingOf(id string, labels map[string]string) (l profiles.Logging, err error) {
	if text := labels[plan.LabelLogging]; text != "" {
		if err = json.Unmarshal([]byte(text), &l); err != nil {
			err = fmt.Errorf("start container %s: read where its output goes (label %s): %w", id, plan.LabelLogging, err)
		}
	}
	return l, err
}

func (c *Client) journalArgs(args map[string]string, id, image, tag string) error {
	if _, err := os.Stat(JournalSocket); err != nil {
		return finding.Errorf(finding.Explain(finding.LogUnreachable).ExitStatus, "write driver: local\nhostrun explain "+finding.LogUnreachable,
			"start container %s: logging to the journal: %w", id, err)
	}
	args["journal"], args["name"], args["image"], args["namespace"] = JournalSocket, id, image, c.opt.Namespace
	if args["tag"] = logTag(tag, id, image); args["tag"] == "" {
		args["tag"] = id
	}
	return nil
}

// logTag fills docker's templates in (package profiles has checked that there are no others).
func logTag(tag, id, image string) string {
	return tagWord.ReplaceAllStringFunc(tag, func(word string) string {
		switch strings.Trim(word, "{} .") {
		case "ImageName", "ImageID":
			return image
		case "DaemonName":
			return "hostrun"
		}
		return id
	})
}

var tagWord = pattern.New(`\{\{[^}]*\}\}`)

// noLog is the error of who wants the output of a container that keeps none.
func noLog(r containers.Container) error {
	if l, err := loggingOf(r.ID, r.Labels); err == nil && l.Driver == "none" {
		return finding.Errorf(finding.StatusFailed, "remove logging: none from its profile, then: hostrun up "+r.ID, "container %s: %w: logging: {driver: none}", r.ID, ErrNoLog)
	}
	return finding.Errorf(finding.StatusFailed, "a container of `hostrun run` writes to its terminal; `hostrun up` keeps a log", "container %s: %w", r.ID, ErrNoLog)
}

// Logs writes the container's output to stdout and stderr, each line where it was written.
func (c *Client) Logs(ctx context.Context, name string, opt LogOptions, stdout, stderr io.Writer) error {
	ctx = c.in(ctx)
	r, err := c.own(ctx, name)
	if err != nil {
		return err
	}
	path := r.Labels[labelLog]
	if path == "" {
		return noLog(r)
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
func (c *Client) copyLog(ctx context.Context, r containers.Container, over <-chan struct{}, stdio IO, since time.Time) error {
	if r.Labels[labelLog] == "" { // logging: none
		return nil
	}
	out, errOut := stdio.Stdout, stdio.Stderr
	if out == nil {
		out = io.Discard
	}
	if errOut == nil {
		errOut = io.Discard
	}
	opt := logfile.ReadOptions{Follow: true, Tail: logfile.All, Ended: over}
	if at := labelTime(r.Labels, labelStartedAt); !since.IsZero() {
		opt.Since = since
	} else if at != nil {
		opt.Since = at.Add(-time.Second)
	}
	err := logfile.Read(ctx, r.Labels[labelLog], opt, out, errOut)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
