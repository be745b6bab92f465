package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	taskapi "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
)

// This file deals with containers that containerd has given up: it came back, and could not execute the shim that its bundle names, so that it forgot
// the task, took its bundle away, and could end nothing (containerd, core/runtime/v2: shim_load.go). The record is there, shim and process go on, and the OCI runtime's
// state says which process that is. Such a container runs, for everybody who asks; what goes through the shim does not work.

// statusGivenUp is the status of such a process beside those that containerd has.
const statusGivenUp taskapi.Status = 100

func isGivenUp(p *taskapi.Process) bool { return p != nil && p.Status == statusGivenUp }

// runtimeDir is where the OCI runtime keeps what it knows of a container.
func (c *Client) runtimeDir(namespace, id string) string {
	root := c.opt.RuntimeRoot
	if root == "" {
		root = "/run/containerd/runc" // containerd, cmd/containerd-shim-runc-v2/process: RuncRoot
	}
	return filepath.Join(root, namespace, id)
}

// A noted is the first process of a container, as its OCI runtime has noted it.
type noted struct {
	pid    int
	start  uint64 // startTime
	bundle string
}

// readNoted reads runc's state.json (libcontainer, BaseState and configs.Config.Labels) or crun's status (libcrun, status.c); false where there is neither,
// or where the process has been made and not been started.
func readNoted(dir string) (noted, bool) {
	if _, err := os.Lstat(filepath.Join(dir, "exec.fifo")); err == nil { // both keep it until then
		return noted{}, false
	}
	for _, name := range []string{"state.json", "status"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err == nil {
			return parseNoted(text)
		}
	}
	return noted{}, false
}

func parseNoted(text []byte) (noted, bool) {
	var runc struct {
		PID    int    `json:"init_process_pid"`
		Start  uint64 `json:"init_process_start"`
		Config struct {
			Labels []string `json:"labels"`
		} `json:"config"`
	}
	var crun struct {
		PID    int    `json:"pid"`
		Start  uint64 `json:"process-start-time"`
		Bundle string `json:"bundle"`
	}
	n := noted{}
	switch {
	case json.Unmarshal(text, &runc) == nil && runc.PID != 0:
		n.pid, n.start = runc.PID, runc.Start
		for _, l := range runc.Config.Labels {
			if bundle, ok := strings.CutPrefix(l, "bundle="); ok {
				n.bundle = bundle
			}
		}
	case json.Unmarshal(text, &crun) == nil:
		n = noted{crun.PID, crun.Start, crun.Bundle}
	}
	return n, n.pid > 1 && n.start > 0 && filepath.IsAbs(n.bundle)
}

// dropped says whether containerd has taken the bundle away, which it does when it gives a task up and when it has deleted one. While it is about to
// make or to undo one, and where another containerd keeps the container, the bundle is there.
func (n noted) dropped() bool {
	_, err := os.Lstat(n.bundle)
	return errors.Is(err, fs.ErrNotExist)
}

func (n noted) lives() bool { return startTime(n.pid) == n.start }

// open returns a descriptor of the process (pidfd_open(2)), which no other one can be taken for.
func (n noted) open() (fd int, err error) {
	if fd, err = unix.PidfdOpen(n.pid, 0); err != nil {
		return -1, err
	}
	if !n.lives() {
		_ = unix.Close(fd)
		return -1, unix.ESRCH
	}
	return fd, nil
}

// goesOn is the first process of a container that containerd shows no task of, if it lives. ctx has the namespace.
func (c *Client) goesOn(ctx context.Context, id string) (noted, bool) {
	if c.daemonPID == 0 { // a daemon in another pid namespace means other numbers
		return noted{}, false
	}
	ns, _ := namespaces.Namespace(ctx)
	n, ok := readNoted(c.runtimeDir(ns, id))
	return n, ok && n.lives() && n.dropped()
}

// mayGoOn says whether a record is one of a container that was started, and whose end nobody has seen.
func mayGoOn(r containers.Container) bool {
	return r.Labels[labelStartedAt] != "" && r.Labels[labelExitStatus] == ""
}

// givenUp is the task of a container that containerd has given up; nil for none.
func (c *Client) givenUp(ctx context.Context, id string) *taskapi.Process {
	p := c.unshown(ctx, id)
	if p == nil {
		return nil
	}
	if r, err := c.ctrd.ContainerService().Get(ctx, id); err != nil || !mayGoOn(r) {
		return nil
	}
	return p
}

// unshown is givenUp whatever the record says.
func (c *Client) unshown(ctx context.Context, id string) *taskapi.Process {
	n, ok := c.goesOn(ctx, id)
	if !ok {
		return nil
	}
	return &taskapi.Process{ContainerID: id, ID: id, Pid: uint32(n.pid), Status: statusGivenUp}
}

// addGivenUp adds to what containerd says is running what it has given up: with a record, or with none of its own either.
func (c *Client) addGivenUp(ctx context.Context, records []containers.Container, running map[string]*taskapi.Process) {
	ns, _ := namespaces.Namespace(ctx)
	known, _ := os.ReadDir(c.runtimeDir(ns, ""))
	for _, e := range known {
		id := e.Name()
		if running[id] != nil {
			continue
		}
		i := slices.IndexFunc(records, func(r containers.Container) bool { return r.ID == id })
		if i >= 0 && !mayGoOn(records[i]) {
			continue
		}
		if p := c.unshown(ctx, id); p != nil && (i >= 0 || c.keeps(id)) {
			running[id] = p
		}
	}
}

// keeps says whether the shim of a container without a record, if there is one, is of this containerd: several share what the OCI runtime knows.
func (c *Client) keeps(id string) bool {
	address, found := Shims(c.opt.Namespace)[id]
	return !found || address == c.opt.Address
}

// givenUpPatience is how often one who waits for the end of such a process looks whether the wait is over.
const givenUpPatience = 200 * time.Millisecond

// waitGivenUp waits for the end of such a process; false if there is none. How it ends nobody can see.
func (c *Client) waitGivenUp(ctx context.Context, id string) (exit, bool) {
	n, ok := c.goesOn(ctx, id)
	if !ok {
		return exit{}, false
	}
	fd, err := n.open()
	if err != nil {
		return exit{}, false
	}
	defer unix.Close(fd)
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if many, err := unix.Poll(fds, int(givenUpPatience.Milliseconds())); many > 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return exit{status: unseen, at: time.Now()}, true
		}
	}
	return exit{err: context.Cause(ctx)}, true
}

// killGivenUp sends such a process a signal, with all to everything that is in its cgroup; false if there is none. A frozen one is thawed, or it would
// never see it.
func (c *Client) killGivenUp(ctx context.Context, id string, sig unix.Signal, all bool) bool {
	n, ok := c.goesOn(ctx, id)
	if !ok {
		return false
	}
	fd, err := n.open()
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	dirs := c.cgroupsNamed(ctx, id)
	ok = unix.PidfdSendSignal(fd, sig, nil, 0) == nil
	if all {
		signalAll(dirs, sig)
	}
	thawAll(dirs)
	return ok
}

// clearGivenUp removes what is left of a container whose task containerd does not show and whose process has ended: its shim, which waits for somebody to
// ask for the end, and what its OCI runtime knows, by which the name would be taken. The caller holds the container's lock.
func (c *Client) clearGivenUp(ctx context.Context, id string) error {
	ns, _ := namespaces.Namespace(ctx)
	n, ok := readNoted(c.runtimeDir(ns, id))
	if !ok || n.lives() || !n.dropped() || c.daemonPID == 0 {
		return nil
	}
	pids := c.shims(id)
	c.killShims(id, pids)
	for begun := time.Now(); len(c.shims(id)) > 0 && time.Since(begun) < shimPatience; {
		time.Sleep(5 * time.Millisecond)
	}
	dirs := c.cgroupsNamed(ctx, id)
	signalAll(dirs, unix.SIGKILL) // processes that shared the host's numbers, which do not end with the first one
	if root := c.taskRoots()[id]; root != "" {
		_ = unix.Unmount(root, unix.MNT_DETACH)
	}
	if err := os.RemoveAll(c.runtimeDir(ns, id)); err != nil {
		return fmt.Errorf("clear what the OCI runtime knows of container %s: %w", id, err)
	}
	removeCgroups(dirs)
	return nil
}

// givenUpError is for what goes through containerd and its shim.
func givenUpError(id, what string) error {
	return finding.Errorf(finding.StatusFailed, "start it anew: hostrun restart "+id+"\nor end it: hostrun down "+id,
		"%s container %s: containerd has given it up and can't reach it; its process goes on", what, id)
}
