package runtime

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
)

// ReapVerb is the hidden verb by which hostrun removes a one-off container behind the back of the user. Its arguments
// are those that ReapOptions reads.
const ReapVerb = "__reap"

// ReapOptions reads the arguments after ReapVerb.
func ReapOptions(args []string) (opt Options, id string, err error) {
	if len(args) != 5 {
		return opt, "", fmt.Errorf("%s: five arguments are needed", ReapVerb)
	}
	return Options{Address: args[0], Namespace: args[1], StateDir: args[2], DataDir: args[3]}, args[4], nil
}

// Reap removes the one-off container id, which has ended, and sweeps.
func Reap(ctx context.Context, opt Options, id string) error {
	c, err := Open(ctx, opt)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx = c.in(ctx)
	if l, err := c.lock(ctx, id); err == nil {
		defer l.unlock()
	}
	r, err := c.ctrd.ContainerService().Get(ctx, id)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read container %s: %w", id, err)
	}
	if r.Labels[labelOneOff] == "" {
		return nil
	}
	return c.discard(ctx, r)
}

// reapLater leaves the removal, 30 ms of it in containerd's shim, to a child that outlives this process. If the child
// can't be started the removal happens here; if it dies, the next command's sweep finds a one-off without a creator.
func (c *Client) reapLater(ctx context.Context, r containers.Container) {
	if err := c.startReaper(r.ID); err == nil {
		return
	}
	free, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := c.discard(free, r); err != nil {
		c.opt.Log.Warn("remove the container", "container", r.ID, "error", err)
	}
}

func (c *Client) startReaper(id string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, ReapVerb, c.opt.Address, c.opt.Namespace, c.opt.StateDir, c.opt.DataDir, id)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // ^C at the terminal is not for it
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }()
	return nil
}
