package runtime

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A probedNode is one node that the container was given.
type probedNode struct {
	specs.LinuxDevice
	access string // "r", "w" or "rw"
	open   bool
}

// probedNodes are those of the spec that the container may use: one that a CDI file gives no permissions is there to be seen.
func probedNodes(spec *specs.Spec, open []string) []probedNode {
	var all []probedNode
	for _, d := range spec.Linux.Devices {
		access := "rw"
		if rules := spec.Linux.Resources; rules != nil && len(rules.Devices) > 0 && !allowsAll(rules.Devices) {
			access = accessOf(d, rules.Devices)
		}
		if d.FileMode != nil && *d.FileMode&0o222 == 0 { // a capability of MIG's is 0444: to hold it open is enough
			access = strings.ReplaceAll(access, "w", "")
		}
		if access != "" {
			all = append(all, probedNode{d, access, slices.Contains(open, d.Path)})
		}
	}
	return all
}

// allowsAll reports whether a container is privileged.
func allowsAll(rules []specs.LinuxDeviceCgroup) bool {
	return len(rules) == 1 && rules[0].Allow && rules[0].Major == nil
}

func accessOf(d specs.LinuxDevice, rules []specs.LinuxDeviceCgroup) string {
	access := ""
	for _, r := range rules {
		if r.Allow && r.Type == d.Type && r.Major != nil && *r.Major == d.Major && r.Minor != nil && *r.Minor == d.Minor {
			access = strings.ReplaceAll(r.Access, "m", "")
		}
	}
	return access
}

func capabilityMask(caps *specs.LinuxCapabilities) uint64 {
	var mask uint64
	if caps == nil {
		return 0
	}
	for _, c := range capability.ListKnown() {
		if slices.Contains(caps.Effective, "CAP_"+strings.ToUpper(c.String())) {
			mask |= 1 << uint(c)
		}
	}
	return mask
}

// A cgroupOf is the cgroup that says which devices a process may use.
type cgroupOf struct {
	dir     string // "" where the kernel has none
	unified bool   // of version 2
}

// door is the file through which a process enters it, or - where there is nothing to enter. Of version 2 a thread can't go alone, and to
// move a process waits for all processors where nobody has just been moved: migrations sees to that.
func (g cgroupOf) door() string {
	switch {
	case g.dir == "":
		return "-"
	case g.unified:
		return filepath.Join(g.dir, "cgroup.procs")
	}
	return filepath.Join(g.dir, "tasks")
}

func deviceCgroup(pid uint32) (cgroupOf, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return cgroupOf{}, err
	}
	return parseDeviceCgroup(string(text), isUnified("/sys/fs/cgroup")), nil
}

// parseDeviceCgroup reads /proc/PID/cgroup (cgroups(7)). Which version counts is for OCI runtimes a matter of what /sys/fs/cgroup is.
func parseDeviceCgroup(text string, unified bool) cgroupOf {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) != 3, strings.HasPrefix(parts[2], "/.."): // outside of what this process sees of the hierarchy
		case !unified && slices.Contains(strings.Split(parts[1], ","), "devices"):
			return cgroupOf{dir: filepath.Join("/sys/fs/cgroup", parts[1], parts[2])}
		case unified && parts[0] == "0":
			return cgroupOf{dir: filepath.Join("/sys/fs/cgroup", parts[2]), unified: true}
		}
	}
	return cgroupOf{}
}

func isUnified(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}
