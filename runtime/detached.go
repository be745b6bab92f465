package runtime

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/plan"
)

// detached are the streams of a container that nobody sits before: its output goes to the log, and its standard input is empty, or
// with stdin_open and a terminal one that stays open and that nobody has written to yet. Without a terminal, containerd's shim gives a
// process whose output goes to a log program no standard input (pkg/process, NewBinaryIO).
func (c *Client) detached(id string, spec *specs.Spec, labels map[string]string) (streams, error) {
	uri, err := c.logURI(id, terminal(spec))
	if err != nil {
		return streams{}, err
	}
	s := streams{stdout: uri, stderr: uri, terminal: terminal(spec)}
	if s.terminal && labels[plan.LabelStdinOpen] != "" {
		s.stdin, err = c.stdinFIFO(id)
	}
	return s, err
}

// stdinFIFO is the container's standard input. The shim keeps an end of it open for writing, so that the process meets no end of its
// input before the shim ends. It lies with the fifos of other processes, and goes with them.
func (c *Client) stdinFIFO(id string) (string, error) {
	if err := c.stateDir(c.ioDir(id)); err != nil {
		return "", fmt.Errorf("make the standard input of container %s: %w", id, err)
	}
	path := filepath.Join(c.ioDir(id), "stdin")
	if err := unix.Mkfifo(path, 0o600); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", fmt.Errorf("make the standard input of container %s: mkfifo %s: %w", id, path, err)
	}
	return path, nil
}
