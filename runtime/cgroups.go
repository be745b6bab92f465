package runtime

import (
	"context"
	"os"
	"path/filepath"

	"github.com/containerd/errdefs"
)

// sweepCgroups removes empty cgroups of containers that do not exist: an OCI runtime that was killed in the middle of
// a creation leaves its own behind. A container's record is there before its cgroup, so none is taken from a
// container that is being made.
func (c *Client) sweepCgroups(ctx context.Context) {
	orphans := map[string]bool{}
	for _, dir := range c.cgroups() {
		if procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs")); err != nil || len(procs) > 0 {
			continue
		}
		id := filepath.Base(dir)
		gone, asked := orphans[id]
		if !asked {
			_, err := c.ctrd.ContainerService().Get(ctx, id)
			_, files := os.Lstat(c.dir(id))
			gone = errdefs.IsNotFound(err) && os.IsNotExist(files)
			orphans[id] = gone
		}
		if gone {
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
