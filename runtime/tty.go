package runtime

import (
	"context"
	"os"
	"os/signal"

	"github.com/containerd/console"
	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A tty is the caller's terminal, lent to a process in the container.
type tty struct{ con console.Console }

// rawTTY puts the terminal behind stdio in raw mode; nil when there is none or it is not asked for.
func rawTTY(stdio IO, terminal bool) (*tty, error) {
	file, ok := stdio.Stdin.(console.File)
	if !stdio.TTY || !terminal || !ok {
		return nil, nil
	}
	con, err := console.ConsoleFromFile(file)
	if err != nil {
		return nil, nil // stdin is no terminal after all
	}
	if err := con.SetRaw(); err != nil {
		return nil, err
	}
	return &tty{con: con}, nil
}

func (t *tty) restore() {
	if t != nil {
		_ = t.con.Reset()
	}
}

// size is what the process sees at once: a resize after the start comes too late for its first look.
func (t *tty) size() *specs.Box {
	if t == nil {
		return nil
	}
	s, err := t.con.Size()
	if err != nil || s.Height == 0 {
		return nil
	}
	return &specs.Box{Height: uint(s.Height), Width: uint(s.Width)}
}

// follow passes on every change of the terminal's size until ctx ends.
func (t *tty) follow(ctx context.Context, c *Client, id, execID string) {
	if t == nil {
		return
	}
	changed := make(chan os.Signal, 1)
	signal.Notify(changed, unix.SIGWINCH)
	go func() {
		defer signal.Stop(changed)
		for {
			if s := t.size(); s != nil {
				_, _ = c.ctrd.TaskService().ResizePty(ctx, &tasks.ResizePtyRequest{ContainerID: id, ExecID: execID,
					Width: uint32(s.Width), Height: uint32(s.Height)})
			}
			select {
			case <-ctx.Done():
				return
			case <-changed:
			}
		}
	}()
}
