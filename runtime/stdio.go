package runtime

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/pkg/cio"
)

// A foreground is the fifos between a process in the container and this one.
type foreground struct {
	streams
	pipes cio.IO
	dir   string
}

// attach makes the fifos of a foreground process and starts to copy. execID is "" for the container's first process.
func (c *Client) attach(ctx context.Context, id, execID string, stdio IO, terminal bool) (*foreground, error) {
	dir := filepath.Join(c.ioDir(id), "task"+execID)
	if err := c.stateDir(dir); err != nil {
		return nil, fmt.Errorf("make the fifos of container %s: %w", id, err)
	}
	f := &foreground{dir: dir, streams: streams{stdout: filepath.Join(dir, "stdout"), terminal: terminal}}
	stdout, stderr := stdio.Stdout, stdio.Stderr
	if stdout == nil {
		stdout = io.Discard
	}
	if stderr == nil {
		stderr = io.Discard
	}
	if !terminal {
		f.stderr = filepath.Join(dir, "stderr")
	}
	opts := cio.WithStreams(nil, stdout, stderr)
	if stdio.Stdin != nil {
		f.stdin = filepath.Join(dir, "stdin")
		opts = cio.WithStreams(&eofReader{r: stdio.Stdin, eof: func() { c.closeStdin(ctx, id, execID) }}, stdout, stderr)
	}
	set := cio.NewFIFOSet(cio.Config{Stdin: f.stdin, Stdout: f.stdout, Stderr: f.stderr, Terminal: terminal},
		func() error { return os.RemoveAll(dir) })
	var err error
	if f.pipes, err = cio.NewAttach(opts)(set); err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("open the fifos of container %s: %w", id, err)
	}
	return f, nil
}

// finish waits for the last output. A process that was left in the background holds the pipes open without end, so the
// wait has one; false where the output has not come to its end.
func (f *foreground) finish(patience time.Duration) (whole bool) {
	done := make(chan struct{})
	go func() { f.pipes.Wait(); close(done) }()
	select {
	case <-done:
		whole = true
	case <-time.After(patience):
	}
	f.close()
	return whole
}

func (f *foreground) close() {
	f.pipes.Cancel()
	_ = f.pipes.Close()
	_ = os.Remove(filepath.Dir(f.dir))
}

// closeStdin tells the shim, which keeps its own end of the fifo open, that no more input will come.
func (c *Client) closeStdin(ctx context.Context, id, execID string) {
	for try := 0; try < 50; try++ { // an early EOF is before the task exists
		_, err := c.ctrd.TaskService().CloseIO(ctx, &tasks.CloseIORequest{ContainerID: id, ExecID: execID, Stdin: true})
		if err == nil || ctx.Err() != nil {
			return
		}
		time.Sleep(time.Duration(try+1) * 5 * time.Millisecond)
	}
}

// An eofReader calls eof once, when r has ended.
type eofReader struct {
	r    io.Reader
	eof  func()
	once sync.Once
}

func (e *eofReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	if err != nil {
		e.once.Do(func() { go e.eof() })
	}
	return n, err
}
