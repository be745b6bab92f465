package runtime

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"golang.org/x/sys/unix"
)

// sweepCgroups removes empty cgroups of containers that do not exist: an OCI runtime that was killed in the middle of
// a creation leaves its own behind. A container's record is there before its cgroup, and who makes a container of a name that
// was used before holds its lock, so none is taken from a container that is being made.
func (c *Client) sweepCgroups(ctx context.Context) {
	for id, dirs := range c.cgroups() {
		if empty(dirs) {
			c.sweepCgroupsOf(ctx, id, dirs)
		}
	}
}

// clearCgroups removes the cgroups of a container that has neither record nor shim any more: an OCI runtime that died in the middle of a creation
// leaves them, and for a moment a process in them that sees its end. Mostly there are none. The caller holds the container's lock.
func (c *Client) clearCgroups(id string) {
	for begun := time.Now(); time.Since(begun) < shimPatience; time.Sleep(5 * time.Millisecond) {
		var dirs []string
		for _, parent := range hierarchies() {
			dir := filepath.Join(parent, c.opt.Namespace, id)
			if _, err := os.Lstat(dir); err == nil {
				dirs = append(dirs, dir)
			}
		}
		if len(dirs) == 0 {
			return
		}
		removeCgroups(dirs)
	}
}

// removeCgroups removes cgroups with those below them, of which the kernel keeps what is in use.
func removeCgroups(dirs []string) {
	for _, dir := range dirs {
		var below []string
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				below = append(below, path)
			}
			return nil
		})
		for _, path := range slices.Backward(below) {
			_ = os.Remove(path)
		}
	}
}

// processesIn are the processes of a cgroup and of those below it.
func processesIn(dir string) (pids []int) {
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return nil
		}
		text, _ := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		for word := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(word); err == nil && n > 0 { // 0 is one of another pid namespace
				pids = append(pids, n)
			}
		}
		return nil
	})
	return pids
}

// signalAll sends a signal to every process of the cgroups. Each is held by a descriptor while it is looked at again: its number could have become another
// one's in between.
func signalAll(dirs []string, sig unix.Signal) {
	for _, dir := range dirs {
		held := map[int]int{}
		for _, pid := range processesIn(dir) {
			if fd, err := unix.PidfdOpen(pid, 0); err == nil {
				held[pid] = fd
			}
		}
		for _, pid := range processesIn(dir) {
			if fd, ok := held[pid]; ok {
				_ = unix.PidfdSendSignal(fd, sig, nil, 0)
			}
		}
		for _, fd := range held {
			_ = unix.Close(fd)
		}
	}
}

// thawAll lets frozen processes go on (kernel, cgroup-v2.rst, "cgroup.freeze"; cgroup-v1/freezer-subsystem.rst, "freezer.state").
func thawAll(dirs []string) {
	for _, dir := range dirs {
		for name, value := range map[string]string{"cgroup.freeze": "0", "freezer.state": "THAWED"} {
			if f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0); err == nil {
				_, _ = f.WriteString(value)
				_ = f.Close()
			}
		}
	}
}

// empty says whether no process is in any of the cgroups. Of a container that runs, the first one tells.
func empty(dirs []string) bool {
	for _, dir := range dirs {
		if procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs")); err != nil || len(procs) > 0 {
			return false
		}
	}
	return true
}

func (c *Client) sweepCgroupsOf(ctx context.Context, id string, dirs []string) {
	if !c.gone(ctx, id) { // as good as always: without a lock
		return
	}
	l, err := c.tryLock(id)
	if err != nil { // an up that has not written its record yet
		return
	}
	defer l.unlock()
	if c.gone(ctx, id) {
		removeCgroups(dirs)
	}
}

// cgroups are the containers' cgroups of the namespace in their usual place (spec.linux.cgroupsPath is /<namespace>/<id>), in every hierarchy
// of cgroup v1 or the one of v2, by their IDs. It reads the directories and nothing below: all of this happens beside starts.
func (c *Client) cgroups() map[string][]string {
	all := map[string][]string{}
	for _, parent := range hierarchies() {
		dir := filepath.Join(parent, c.opt.Namespace)
		below, _ := os.ReadDir(dir)
		for _, e := range below {
			if e.IsDir() {
				all[e.Name()] = append(all[e.Name()], filepath.Join(dir, e.Name()))
			}
		}
	}
	return all
}

// cgroupsOf are a container's cgroups: among the known, or where its spec says, which is below cgroup_parent or in a unit's.
func cgroupsOf(r containers.Container, known map[string][]string) []string {
	if dirs := known[r.ID]; len(dirs) > 0 {
		return dirs
	}
	spec, err := specOf(r)
	if err != nil || spec.Linux == nil || spec.Linux.CgroupsPath == "" {
		return nil
	}
	var dirs []string
	for _, parent := range hierarchies() {
		dirs = append(dirs, filepath.Join(parent, spec.Linux.CgroupsPath))
	}
	return dirs
}

// cgroupsNamed is cgroupsOf by name.
func (c *Client) cgroupsNamed(ctx context.Context, id string) []string {
	r, err := c.ctrd.ContainerService().Get(ctx, id)
	if err != nil {
		return c.cgroups()[id]
	}
	return cgroupsOf(r, c.cgroups())
}

// hierarchies are the roots of cgroups: of version 2, and those that version 1 may have below.
func hierarchies() []string {
	const root = "/sys/fs/cgroup"
	all := []string{root}
	below, _ := os.ReadDir(root)
	for _, h := range below {
		if h.IsDir() {
			all = append(all, filepath.Join(root, h.Name()))
		}
	}
	return all
}
