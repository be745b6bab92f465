package logfile

import (
	"context"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const (
	pollAlone  = 250 * time.Millisecond // where the kernel reports no changes
	pollBeside = time.Second            // where it does: only in case
)

// File systems whose changes by other machines, or by the other side of a mount, inotify does not see (statfs(2), f_type).
var remote = map[int64]bool{
	0x6969:     true, // NFS
	0xff534d42: true, // CIFS
	0xfe534d42: true, // SMB2
	0x65735546: true, // FUSE
	0x01021997: true, // 9p
	0x00c36400: true, // Ceph
	0x0bd00bd0: true, // Lustre
}

// A watch wakes the reader when something happens in the log's directory: a rotation makes a new inode, which a watch
// of the file would miss.
type watch struct {
	inotify  *os.File      // nil where there is none: then the reader polls
	events   chan struct{} // holds one: "look again"
	patience time.Duration
}

func newWatch(path string) *watch {
	w := &watch{events: make(chan struct{}, 1), patience: pollAlone}
	dir := filepath.Dir(path)
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return w
	}
	const mask = syscall.IN_MODIFY | syscall.IN_CLOSE_WRITE | syscall.IN_CREATE | syscall.IN_MOVED_TO | syscall.IN_DELETE
	if _, err := syscall.InotifyAddWatch(fd, dir, mask); err != nil {
		syscall.Close(fd)
		return w
	}
	w.inotify = os.NewFile(uintptr(fd), "inotify")
	var st syscall.Statfs_t
	if syscall.Statfs(dir, &st) == nil && !remote[int64(uint32(st.Type))] {
		w.patience = pollBeside
	}
	go w.listen()
	return w
}

// listen turns the kernel's events into wake-ups until the watch is closed. What they say does not matter.
func (w *watch) listen() {
	buf := make([]byte, 16<<10)
	for {
		if _, err := w.inotify.Read(buf); err != nil {
			return
		}
		select {
		case w.events <- struct{}{}:
		default:
		}
	}
}

// wait returns after an event, when ended is closed, or after patience; with ctx's error when ctx is done.
func (w *watch) wait(ctx context.Context, ended <-chan struct{}, patience time.Duration) error {
	select {
	case <-ended:
		ended = nil // it would not wait at all
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-ended:
	case <-w.events:
	case <-timer.C:
	}
	return nil
}

func (w *watch) close() {
	if w.inotify != nil {
		w.inotify.Close()
	}
}
