package runtime

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// holds are what this process keeps from a garbage collection: images that it has looked up for a container that has no
// record yet. From its record on, the container itself says so.
type holds struct {
	mu    sync.Mutex
	ended bool
	files map[string]*os.File // by full reference; a shared lock on one file of the state directory (flock(2))
}

// holdImage lets nobody collect the image until unholdImage, or the end of this process. Where the state directory is not
// ours to lock, nothing is: then neither is a collection.
func (c *Client) holdImage(name string) {
	c.held.mu.Lock()
	defer c.held.mu.Unlock()
	if c.held.ended || c.held.files[name] != nil {
		return
	}
	f, err := c.openHolds()
	if err != nil {
		return
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_SH); err != nil {
		_ = f.Close()
		return
	}
	if c.held.files == nil {
		c.held.files = map[string]*os.File{}
	}
	c.held.files[name] = f
}

// openHolds opens the file that is locked. It stays, empty: one of another boot is as good.
func (c *Client) openHolds() (*os.File, error) {
	path := filepath.Join(c.opt.StateDir, "images.lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		if err = c.stateDir(c.opt.StateDir); err == nil {
			f, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		}
	}
	return f, err
}

func (c *Client) unholdImage(name string) {
	c.held.mu.Lock()
	defer c.held.mu.Unlock()
	if f := c.held.files[name]; f != nil {
		_ = f.Close()
		delete(c.held.files, name)
	}
}

func (h *holds) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, f := range h.files {
		_ = f.Close()
	}
	h.ended, h.files = true, nil
}

// holdPatience is how long a collection waits for commands that are about to start something.
const holdPatience = 2 * time.Second

// alone calls fn while no other command holds an image; false if that does not come about in time.
func (c *Client) alone(ctx context.Context, fn func() error) (bool, error) {
	f, err := c.openHolds()
	if err != nil {
		return false, err
	}
	defer f.Close()
	for deadline := time.Now().Add(holdPatience); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return true, fn()
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			return false, context.Cause(ctx)
		}
	}
}
