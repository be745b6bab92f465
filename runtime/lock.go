package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// A lock is held on one container's name by whoever changes it. The kernel drops it with its owner.
type lock struct {
	f    *os.File
	path string
}

var errBusy = errors.New("another hostrun is changing the container")

func (c *Client) lockPath(id string) string {
	return filepath.Join(c.opt.StateDir, "locks", c.opt.Namespace, id)
}

// tryLock takes the lock of id or returns errBusy.
func (c *Client) tryLock(id string) (*lock, error) {
	path := c.lockPath(id)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
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
				return nil, errBusy
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
	wait := 2 * time.Millisecond
	for told := false; ; {
		l, err := c.tryLock(id)
		if !errors.Is(err, errBusy) {
			return l, err
		}
		if wait > 500*time.Millisecond && !told {
			c.progress("Container "+id, "Waiting", errBusy.Error())
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
		wait = min(wait*3/2, time.Second)
	}
}

// unlock removes the file while it is held: the next one makes its own.
func (l *lock) unlock() {
	_ = os.Remove(l.path)
	_ = l.f.Close()
}
