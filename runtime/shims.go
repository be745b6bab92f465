package runtime

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// shimPatience is how long containerd may take to undo a call whose client has died, before its shim is ended from
// here. A shim killed earlier would leave the OCI runtime's state behind.
const shimPatience = 3 * time.Second

// shimStays is when to give up: to start and end the processes by which containerd undoes a call takes seconds each on a machine
// whose processors are all busy.
const shimStays = 4 * shimPatience

// endOrphanShims waits until no shim of the container is left, and helps: with a container whose maker was killed in
// the middle of a call, containerd may still be undoing it, may have stopped to show a task, and may have lost a shim
// that waits for ever for the fifos of the dead process. Only for containers that nobody else works on: the caller
// holds the lock and has seen that no task is shown.
func (c *Client) endOrphanShims(ctx context.Context, id string) error {
	pids := c.shims(id)
	if len(pids) == 0 {
		return nil
	}
	release := c.holdFifos(id)
	defer release()
	for begun := time.Now(); len(pids) > 0 && ctx.Err() == nil; pids = c.shims(id) {
		if err := c.deleteHiddenTask(ctx, id); err != nil {
			return err
		}
		if time.Since(begun) > shimPatience {
			c.killShims(id, pids)
			c.endLeftovers(id)
		}
		if time.Since(begun) > shimStays {
			return fmt.Errorf("end the shim of container %s: process %d stays", id, pids[0])
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// holdFifos opens the fifos of a foreground process that is gone, as it would have, so that a shim can go on.
func (c *Client) holdFifos(id string) (release func()) {
	fifos, _ := filepath.Glob(filepath.Join(c.ioDir(id), "*", "*"))
	var open []int
	for _, p := range fifos {
		if fd, err := unix.Open(p, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); err == nil {
			open = append(open, fd)
		}
	}
	return func() {
		for _, fd := range open {
			_ = unix.Close(fd)
		}
	}
}

func (c *Client) shims(id string) []int {
	var pids []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && c.isShim(pid, id) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func (c *Client) killShims(id string, pids []int) {
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if c.isShim(pid, id) { // still: the number has not been given to another process
			c.opt.Log.Info("end a shim that was left behind", "container", id, "pid", pid)
			_ = unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
		}
		_ = unix.Close(fd)
	}
}

// endLeftovers ends what an OCI runtime under a killed shim was making: processes in the container's cgroup, and the state
// by which the runtime would call the name taken.
func (c *Client) endLeftovers(id string) {
	signalAll(c.cgroups()[id], unix.SIGKILL)
	_ = os.RemoveAll(c.runtimeDir(c.opt.Namespace, id))
}

// isShim recognises the shim of exactly this container by its arguments (containerd, pkg/shim: -namespace, -id, -address).
func (c *Client) isShim(pid int, id string) bool {
	args := shimArgs("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return args != nil && valueOf(args, "-namespace") == c.opt.Namespace && valueOf(args, "-id") == id && shimAddress(args) == c.opt.Address
}

// shimArgs are the arguments in a /proc/PID/cmdline if they are a shim's, else nil.
func shimArgs(file string) []string {
	raw, err := os.ReadFile(file)
	if err != nil || !bytes.Contains(raw, []byte("containerd-shim")) {
		return nil
	}
	args := strings.Split(string(raw), "\x00")
	if !strings.HasPrefix(filepath.Base(args[0]), "containerd-shim") {
		return nil
	}
	return args
}

// shimAddress is the socket of the containerd that a shim belongs to.
func shimAddress(args []string) string {
	return strings.TrimSuffix(valueOf(args, "-address"), ".ttrpc")
}

func valueOf(args []string, flag string) string {
	if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}
