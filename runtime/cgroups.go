package runtime

import (
	"context"
	"os"
	"path/filepath"
)

// sweepCgroups removes empty cgroups of containers that do not exist: an OCI runtime that was killed in the middle of
// a creation leaves its own behind. A container's record is there before its cgroup, and who makes a container of a name that
// was used before holds its lock, so none is taken from a container that is being made.
func (c *Client) sweepCgroups(ctx context.Context) {
	empty := map[string][]string{}
	for _, dir := range c.cgroups() {
		if procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs")); err == nil && len(procs) == 0 {
			empty[filepath.Base(dir)] = append(empty[filepath.Base(dir)], dir)
		}
	}
	for id, dirs := range empty {
		c.sweepCgroupsOf(ctx, id, dirs)
	}
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

// cgroups are the containers' cgroups of the namespace (spec.linux.cgroupsPath is /<namespace>/<id>), in every hierarchy
// of cgroup v1 or the one of v2.
func (c *Client) cgroups() []string {
	var all []string
	for _, hierarchies := range []string{"", "*"} {
		found, _ := filepath.Glob(filepath.Join("/sys/fs/cgroup", hierarchies, c.opt.Namespace, "*", "cgroup.procs"))
		for _, p := range found {
			all = append(all, filepath.Dir(p))
		}
	}
	return all
}
