package runtime

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrSupervised says that another process looks after the namespace's containers.
var ErrSupervised = errors.New("another process does that already")

// superviseFile is what the supervisor of this namespace of this containerd holds a lock on.
func (c *Client) superviseFile() string {
	sum := sha256.Sum256([]byte(c.opt.Address))
	return filepath.Join(c.opt.StateDir, "supervise", fmt.Sprintf("%s-%x", c.opt.Namespace, sum[:4]))
}

// SuperviseLog is the file that a supervisor in the background writes to.
func (c *Client) SuperviseLog() string { return c.superviseFile() + ".log" }

// LockSupervise makes this process the one that looks after the namespace's containers, until release is called or it ends. The error is
// ErrSupervised, with the number of the process, where there is one.
func (c *Client) LockSupervise() (release func(), err error) {
	path := c.superviseFile()
	if err := c.stateDir(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the supervision: %w", err)
	}
	if err := lockPastLooks(int(f.Fd())); err != nil {
		holder := readPID(f)
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("process %d: %w", holder, ErrSupervised)
		}
		return nil, fmt.Errorf("lock the supervision: %w", err)
	}
	_ = f.Truncate(0)
	_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0) // for messages alone
	return func() { _ = f.Close() }, nil
}

// lockPastLooks takes the lock unless somebody has it for himself: who only looks whether it is held (Supervisor) shares it for an instant, and is waited for.
func lockPastLooks(fd int) error {
	for {
		err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) || unix.Flock(fd, unix.LOCK_SH|unix.LOCK_NB) != nil {
			return err
		}
		_ = unix.Flock(fd, unix.LOCK_UN)
		time.Sleep(time.Millisecond)
	}
}

// Supervisor returns the process that looks after the namespace's containers; 0 for nobody.
func (c *Client) Supervisor() (pid int) {
	f, err := os.Open(c.superviseFile())
	if err != nil {
		return 0
	}
	defer f.Close()
	if !errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK) {
		return 0
	}
	return max(readPID(f), 1) // it has not written its number yet
}

func readPID(f *os.File) int {
	var text [20]byte
	n, _ := f.ReadAt(text[:], 0)
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	return pid
}

// Address is the socket of the containerd that c talks to.
func (c *Client) Address() string { return c.opt.Address }
