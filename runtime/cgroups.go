package runtime

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
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
// leaves them, and for a moment a process in them that sees its end. The caller holds the container's lock.
func (c *Client) clearCgroups(id string) {
	for begun := time.Now(); time.Since(begun) < shimPatience; time.Sleep(5 * time.Millisecond) {
		dirs := c.cgroups()[id]
		if len(dirs) == 0 {
			return
		}
		for _, dir := range dirs {
			_ = os.Remove(dir) // rmdir(2) refuses one that is in use
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
		for _, dir := range dirs {
			_ = os.Remove(dir) // rmdir(2) refuses one that is in use
		}
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
