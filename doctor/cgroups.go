package doctor

import (
	"slices"
	"strings"
)

// wantedControllers are those that a profile's limits and devices use. cgroup v2 has no devices controller: it is a BPF
// program there (Documentation/admin-guide/cgroup-v2.rst, "Device controller").
var wantedControllers = []string{"cpu", "cpuset", "memory", "pids"}

func (e *examiner) cgroups() {
	e.group = "cgroups"
	switch e.Facts.CgroupVersion {
	case 2:
		e.ok("version", "cgroup v2 at /sys/fs/cgroup")
		e.controllers(strings.Fields(e.text("/sys/fs/cgroup/cgroup.controllers")), "/sys/fs/cgroup/cgroup.controllers")
	case 1:
		e.legacy()
	default:
		e.add(Broken, "version", "mount -t cgroup2 none /sys/fs/cgroup", "/sys/fs/cgroup is empty: no cgroups are mounted, and no OCI runtime starts without")
		return
	}
	e.writable()
}

// legacy is cgroup v1, with or without systemd's unified hierarchy beside it ("hybrid").
func (e *examiner) legacy() {
	names := e.names("/sys/fs/cgroup")
	hybrid := e.view.Exists("/sys/fs/cgroup/unified/cgroup.controllers")
	if hybrid {
		e.add(Note, "version", "", "cgroup v1 with a unified hierarchy beside it (hybrid): runc works; crun refuses it in some versions, and is then not chosen")
	} else {
		e.ok("version", "cgroup v1 at /sys/fs/cgroup")
	}
	var have []string
	for _, name := range names {
		have = append(have, strings.Split(name, ",")...) // "cpu,cpuacct"
	}
	if !slices.Contains(have, "devices") {
		e.add(Broken, "devices", "mkdir /sys/fs/cgroup/devices && mount -t cgroup -o devices none /sys/fs/cgroup/devices",
			"the devices hierarchy of cgroup v1 is not mounted: the OCI runtime can't say which devices a container may use")
	}
	e.controllers(have, "the hierarchies below /sys/fs/cgroup")
}

func (e *examiner) controllers(have []string, where string) {
	missing := slices.DeleteFunc(slices.Clone(wantedControllers), func(c string) bool { return slices.Contains(have, c) })
	if len(missing) > 0 {
		e.add(Note, "controllers", "", "no %s in %s: limits of that kind in a profile have no effect or stop the start", strings.Join(missing, ", "), where)
		return
	}
	e.ok("controllers", "%s", strings.Join(wantedControllers, ", "))
}

// writable looks for a read-only mount at or below /sys/fs/cgroup, as containers have it.
func (e *examiner) writable() {
	for line := range strings.Lines(e.text("/proc/self/mountinfo")) {
		f := strings.Fields(line)
		if len(f) < 6 || f[4] != "/sys/fs/cgroup" && !strings.HasPrefix(f[4], "/sys/fs/cgroup/") || !strings.Contains(line, " - cgroup") {
			continue
		}
		if slices.Contains(strings.Split(f[5], ","), "ro") {
			e.add(Broken, "writable", "mount -o remount,rw "+f[4], "%s is mounted read-only: no container can get a cgroup", f[4])
			return
		}
	}
	e.ok("writable", "none of the hierarchies is mounted read-only")
}
