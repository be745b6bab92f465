package runtime

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	taskapi "github.com/containerd/containerd/api/types/task"
)

// signalTask sends a signal to the container's first process. The daemon's Kill starts the OCI runtime for that, a
// quarter of the time that an orderly end takes, only for it to call kill(2) with a number that containerd has told us
// as well; so where that process is visible and certainly the container's, it is signalled from here.
func (c *Client) signalTask(ctx context.Context, id string, p *taskapi.Process, sig unix.Signal) error {
	if p != nil && p.Status == taskapi.Status_RUNNING && c.signalDirectly(id, int(p.Pid), sig) {
		return nil
	}
	return c.killTask(ctx, id, "", sig, false)
}

// signalDirectly holds the process by a file descriptor before it looks whose it is, so that a number that is given
// to another process in between can't be hit (pidfd_open(2), pidfd_send_signal(2); Linux 5.3).
func (c *Client) signalDirectly(id string, pid int, sig unix.Signal) bool {
	if pid <= 1 || c.daemonPID == 0 { // a daemon in another pid namespace means other numbers
		return false
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return inCgroup(pid, "/"+c.opt.Namespace+"/"+id) && unix.PidfdSendSignal(fd, sig, nil, 0) == nil
}

// inCgroup reports whether the process is in the cgroup of that path (cgroups(7), /proc/pid/cgroup: ID:controllers:path).
func inCgroup(pid int, path string) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return false
	}
	for _, line := range strings.Split(string(raw), "\n") {
		if f := strings.SplitN(line, ":", 3); len(f) == 3 && (f[2] == path || strings.HasSuffix(f[2], path)) { // below cgroup_parent
			return true
		}
	}
	return false
}
