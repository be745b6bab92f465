package runtime

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"golang.org/x/sys/unix"
)

// removalsWait bounds how long a removal waits for others: whoever wants the name again waits for it.
const removalsWait = 200 * time.Millisecond

// Removals are those that a command with several containers leaves to the background. They begin together when it has ended the
// last process, or some tenths of a second after the first of them became due: begun one by one, they would take the processors
// from those that are yet to be stopped. The zero value is ready; its methods may be called from several goroutines. A command that
// is killed before they begin leaves containers that are marked, which any other one removes.
type Removals struct {
	mu      sync.Mutex
	waiting []func()
	timer   *time.Timer
}

// add has begin called later, or now where nobody collects.
func (r *Removals) add(begin func()) {
	if r == nil {
		begin()
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, begin)
	if r.timer == nil {
		r.timer = time.AfterFunc(removalsWait, r.Begin)
	}
}

// Begin begins those that wait, and returns when all of them go on without this process.
func (r *Removals) Begin() {
	r.mu.Lock()
	defer r.mu.Unlock() // a command's last call waits for the timer's
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
	var all sync.WaitGroup
	for _, begin := range r.waiting {
		all.Go(begin)
	}
	all.Wait()
	r.waiting = nil
}

// keep returns a lock that holds the same file: it goes on being held when l is unlocked.
func (l *lock) keep() (*lock, error) {
	fd, err := unix.FcntlInt(l.f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	l.passed = true
	return &lock{f: os.NewFile(uintptr(fd), l.path), path: l.path}, nil
}

// reapWith leaves a container that is marked, and its lock, to a child, together with the others of rs.
func (c *Client) reapWith(ctx context.Context, r containers.Container, l *lock, rs *Removals) error {
	kept, err := l.keep()
	if err != nil {
		return c.discard(ctx, r)
	}
	rs.add(func() {
		defer kept.unlock()
		if err := c.startReaper(r.ID, kept); err == nil {
			return
		}
		work, cancel := steady(ctx)
		defer cancel()
		if err := c.discard(work, r); err != nil {
			c.opt.Log.Warn("remove the container", "container", r.ID, "error", err)
		}
	})
	return nil
}
