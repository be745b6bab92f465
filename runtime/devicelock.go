package runtime

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A device is held by a lock file from its choice until the container's record says that it has it: the kernel lets go of it
// when the process dies, wherever that is. Who chooses holds the lock of the whole kind, so that choices are made one after the
// other; files stay, as one that is removed could be held twice.
type deviceLocks struct {
	dir   string // of the kind
	files map[string]*os.File
}

// devicesDir holds a directory a kind, for all namespaces and containerds: the devices are the machine's.
func (c *Client) devicesDir(kind string) string {
	return filepath.Join(c.opt.StateDir, "devices", strings.ReplaceAll(kind, "/", "_"))
}

// choiceFile is the lock of the kind: no device has such a name.
const choiceFile = ".choice"

func (c *Client) deviceLocks(kind string) (*deviceLocks, error) {
	l := &deviceLocks{dir: c.devicesDir(kind), files: map[string]*os.File{}}
	if err := c.stateDir(l.dir); err != nil {
		return nil, fmt.Errorf("lock devices of kind %s: %w", kind, err)
	}
	return l, nil
}

// try takes the lock of one device; false if another process has it.
func (l *deviceLocks) try(name string) (bool, error) {
	if l.files[name] != nil {
		return true, nil
	}
	f, err := os.OpenFile(filepath.Join(l.dir, name), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return false, fmt.Errorf("lock device %s: %w", name, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return false, nil
		}
		return false, fmt.Errorf("lock device %s: %w", name, err)
	}
	l.files[name] = f
	return true, nil
}

// wait takes the lock of one file as soon as it is free.
func (l *deviceLocks) wait(ctx context.Context, name string) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 8*time.Millisecond) {
		if got, err := l.try(name); got || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// release lets go of all but those that are kept.
func (l *deviceLocks) release(kept ...string) {
	for name, f := range l.files {
		keep := false
		for _, k := range kept {
			keep = keep || k == name
		}
		if !keep {
			_ = f.Close()
			delete(l.files, name)
		}
	}
}
