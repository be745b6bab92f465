package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
)

// A lock is held on one container's name by whoever changes it. The kernel drops it with its last owner: it belongs to
// the open file, and so also to a child that got the file (flock(2)).
type lock struct {
	f      *os.File
	path   string
	passed bool // to a child, which releases it
}

// ErrBusy is wrapped by errors about a container that another command is at work on.
var ErrBusy = errors.New("another hostrun is changing the container")

func (c *Client) lockPath(id string) string {
	return filepath.Join(c.opt.StateDir, "locks", c.opt.Namespace, id)
}

// stateDir makes a directory below the state directory for hostrun alone. The state directory itself may be passed
// through: the private engine's socket, which a group may use, lies below it.
func (c *Client) stateDir(dir string) error {
	err := os.MkdirAll(c.opt.StateDir, 0o711)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if errors.Is(err, unix.EROFS) {
		return &finding.Err{Status: finding.StatusPermission, Err: err, Hint: "locks and the state of running containers lie in " + c.opt.StateDir + ": mount it writable"}
	}
	return err
}

// tryLock takes the lock of id or returns ErrBusy.
func (c *Client) tryLock(id string) (*lock, error) {
	path := c.lockPath(id)
	if err := c.stateDir(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("lock container %s: %w", id, err)
	}
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock container %s: %w", id, err)
		}
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
			_ = f.Close()
			if errors.Is(err, unix.EWOULDBLOCK) {
				return nil, ErrBusy
			}
			return nil, fmt.Errorf("lock container %s: %w", id, err)
		}
		if sameFile(f, path) {
			return &lock{f: f, path: path}, nil
		}
		_ = f.Close() // its owner removed it between our open and our lock
	}
}

func sameFile(f *os.File, path string) bool {
	held, err1 := f.Stat()
	there, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(held, there)
}

// lock waits for the lock of id.
func (c *Client) lock(ctx context.Context, id string) (*lock, error) {
	wait, begun := 2*time.Millisecond, time.Now()
	for told := false; ; {
		l, err := c.tryLock(id)
		if !errors.Is(err, ErrBusy) {
			return l, err
		}
		if time.Since(begun) > time.Second && !told {
			c.progress("Container "+id, "Waiting", ErrBusy.Error())
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
		wait = nextWait(wait, time.Since(begun))
	}
}

// nextWait grows the pauses. A removal in the background takes some hundredths of a second, and whoever starts the
// container anew waits for it: so long they stay short.
func nextWait(wait, waited time.Duration) time.Duration {
	if waited < 200*time.Millisecond {
		return min(wait*3/2, 4*time.Millisecond)
	}
	return min(wait*3/2, time.Second)
}

// unlock removes the file while it is held: the next one makes its own.
func (l *lock) unlock() {
	if !l.passed {
		_ = os.Remove(l.path)
	}
	_ = l.f.Close()
}

// locked reports whether somebody is changing the container, without a trace.
func (c *Client) locked(id string) bool {
	f, err := os.Open(c.lockPath(id))
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// inheritedLock is the lock of id that this process's parent held and passed on as that file descriptor.
func (c *Client) inheritedLock(fd int, id string) (*lock, error) {
	unix.CloseOnExec(fd)
	l := &lock{f: os.NewFile(uintptr(fd), "lock"), path: c.lockPath(id)}
	if l.f == nil || !sameFile(l.f, l.path) {
		return nil, fmt.Errorf("take the lock of container %s over: descriptor %d is not it", id, fd)
	}
	return l, nil
}
