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

// ReapVerb is the hidden verb by which hostrun removes an ended container behind the back of the user. Its arguments are
// those that ReapOptions reads.
const ReapVerb = "__reap"

// lockFD is the descriptor by which a reaper gets the lock of a detached container: the first after the standard streams.
const lockFD = 3

// How a reaper comes to the container's lock.
const (
	lockPassed = "lock-passed" // as lockFD: the lock never is nobody's, so no other command comes between
	lockFree   = "lock-free"   // takes it itself, when its present owner is done
)

// A Reaping is what a reaper is to do.
type Reaping struct {
	Options Options
	ID      string
	Locked  bool // the container's lock came with the process
	// Creator says of which container of the name, where the lock did not come: of the one that this process made (creator).
	// By the time that the lock is had, somebody may have removed it and another made one. "" for an abandoned one alone.
	Creator string
}

// ReapOptions reads the arguments after ReapVerb.
func ReapOptions(args []string) (Reaping, error) {
	if len(args) != 6 && len(args) != 7 || args[4] != lockPassed && args[4] != lockFree {
		return Reaping{}, fmt.Errorf("%s: wrong arguments", ReapVerb)
	}
	r := Reaping{ID: args[5], Locked: args[4] == lockPassed,
		Options: Options{Address: args[0], Namespace: args[1], StateDir: args[2], DataDir: args[3]}}
	if len(args) == 7 { // a hostrun-reap that stands by since before an upgrade gives six
		r.Creator = args[6]
	}
	return r, nil
}

// Reap removes a container that has ended and is being removed, or is a one-off one.
func Reap(ctx context.Context, r Reaping) error {
	c, err := Open(ctx, r.Options)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx = c.in(ctx)
	l, err := c.reaperLock(ctx, r)
	if err != nil {
		return err
	}
	defer l.unlock()
	record, err := c.ctrd.ContainerService().Get(ctx, r.ID)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read container %s: %w", r.ID, err)
	}
	if r.Locked { // with the lock comes the word of its last owner that the container is to go; its mark may come later, or never
		return c.discard(ctx, record)
	}
	// Its creator may be about to end, or have been killed in the middle of a call.
	if abandoned(record) || record.Labels[labelOneOff] != "" && record.Labels[labelCreator] == r.Creator {
		return c.finish(ctx, record)
	}
	return nil
}

func (c *Client) reaperLock(ctx context.Context, r Reaping) (*lock, error) {
	if r.Locked {
		return c.inheritedLock(lockFD, r.ID)
	}
	return c.lock(ctx, r.ID)
}

// reapOneOff leaves the removal, 30 ms of it in containerd's shim, to the process that stands by, or to a child that
// outlives this process. If the child
// can't be started the removal happens here; if it dies, the next command's sweep finds a one-off without a creator. The
// lock goes with it, so that to others the removal is under way; somebody who has it is removing the container too.
func (c *Client) reapOneOff(ctx context.Context, r containers.Container, s *standby) {
	if s.release() {
		return
	}
	l, _ := c.tryLock(r.ID)
	if l != nil {
		defer l.unlock()
	}
	if err := c.startReaper(r.ID, l); err == nil {
		return
	}
	free, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := c.discard(free, r); err != nil {
		c.opt.Log.Warn("remove the container", "container", r.ID, "error", err)
	}
}

// discardLater marks the container, whose process has ended, as one that is being removed, and leaves the removal and the
// lock to a child. From the mark on nobody shows the container any more, and any command finishes the removal if the
// child dies; a command that wants the name waits for the lock. With rs, the child begins together with others.
func (c *Client) discardLater(ctx context.Context, r containers.Container, l *lock, rs *Removals) error {
	if rs != nil {
		if err := c.markRemoval(ctx, r); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("remove container %s: %w", r.ID, err)
		}
		return c.reapWith(ctx, r, l, rs)
	}
	marked := make(chan error, 1)
	go func() { marked <- c.markRemoval(ctx, r) }()
	started := c.startReaper(r.ID, l)
	if err := <-marked; err != nil && !errdefs.IsNotFound(err) { // not found: the child was quicker
		return fmt.Errorf("remove container %s: %w", r.ID, err)
	}
	if started != nil {
		c.opt.Log.Debug("remove the container without a child", "container", r.ID, "error", started)
		return c.discard(ctx, r)
	}
	return nil
}

// startReaper starts the child; with a lock, it is the child's from then on.
func (c *Client) startReaper(id string, l *lock) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	how := lockFree
	cmd := exec.Command(self)
	if l != nil {
		how, cmd.ExtraFiles = lockPassed, []*os.File{l.f}
	}
	cmd.Args = append(cmd.Args, c.reaperArgs(how, id)...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // ^C at the terminal is not for it
	if err := cmd.Start(); err != nil {
		return err
	}
	if l != nil {
		l.passed = true
	}
	go func() { _ = cmd.Wait() }()
	return nil
}

// reaperArgs are what ReapOptions reads.
func (c *Client) reaperArgs(how, id string) []string {
	return []string{ReapVerb, c.opt.Address, c.opt.Namespace, c.opt.StateDir, c.opt.DataDir, how, id, creator()}
}
