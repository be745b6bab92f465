package runtime

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"

	"github.com/containerd/containerd/v2/core/containers"
)

// killed is the status of a process that SIGKILL has ended, which the kernel sends where memory runs out.
const killed = 128 + 9

// OutOfMemory says whether the kernel has ended a process of a container for want of memory, which its exit status, 137, does not tell
// from a kill by hand.
func (c *Client) OutOfMemory(ctx context.Context, id string) bool {
	if _, seen := c.starved.Load(id); seen { // of one that is gone by now, too
		return true
	}
	r, err := c.own(c.in(ctx), id)
	return err == nil && (r.Labels[labelOOMKilled] != "" || c.ranOut(r))
}

// ranOut asks the container's cgroup, which is there as long as its task. Once seen, it is known.
func (c *Client) ranOut(r containers.Container) bool {
	if _, seen := c.starved.Load(r.ID); seen {
		return true
	}
	if !starved(cgroupsOf(r, c.cgroups())) {
		return false
	}
	c.starved.Store(r.ID, true)
	return true
}

// starved reads the counter of kills in the memory controller's files: memory.events of version 2 (cgroup-v2.rst, "oom_kill"),
// memory.oom_control of version 1.
func starved(cgroups []string) bool {
	for _, dir := range cgroups {
		for _, name := range []string{"memory.events", "memory.oom_control"} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				continue
			}
			for line := range bytes.Lines(text) {
				word, number, _ := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
				if n, err := strconv.ParseUint(string(number), 10, 64); err == nil && n > 0 && string(word) == "oom_kill" {
					return true
				}
			}
		}
	}
	return false
}

// weigh adds to what is known of a container that was killed whether it was for memory. The cgroups are asked for only then.
func (one *Container) weigh(r containers.Container, cgroups func() map[string][]string) {
	if one.ExitStatus != nil && *one.ExitStatus == killed && !one.OOMKilled && !one.live() {
		one.OOMKilled = starved(cgroupsOf(r, cgroups()))
	}
}
