package doctor

import (
	"slices"
	"strconv"
	"strings"
)

func (e *examiner) system() {
	e.group = "system"
	e.platform()
	e.kernel()
	e.privileges()
	e.limits()
	e.seccomp()
}

func (e *examiner) platform() {
	os := e.Facts.OS.Pretty
	if os == "" {
		os = "unknown distribution (no /etc/os-release)"
	}
	if !slices.Contains([]string{"amd64", "arm64"}, e.Facts.Arch) {
		e.add(Note, "platform", "", "%s, %s: hostrun is tested on amd64 and arm64", os, e.Facts.Arch)
		return
	}
	e.ok("platform", "%s, %s, %d CPUs, %.1f GiB", os, e.Facts.Arch, e.Facts.CPUs, float64(e.Facts.MemoryBytes)/(1<<30))
}

// kernel: mount_setattr(2) came with 5.12, and with it recursively read-only mounts; overlayfs' volatile with 5.10.
func (e *examiner) kernel() {
	release := e.Facts.Kernel
	switch {
	case release == "":
		e.add(Note, "kernel", "", "unknown: /proc is not mounted")
	case !atLeast(release, 5, 10):
		e.add(Note, "kernel", "", "Linux %s: older than 5.10, so removing a container writes its files to the disk first", release)
	case !atLeast(release, 5, 12):
		e.add(Note, "kernel", "", "Linux %s: older than 5.12, so mounts below a borrowed directory stay writable", release)
	default:
		e.ok("kernel", "Linux %s: recursively read-only mounts (5.12), volatile overlayfs (5.10)", release)
	}
}

// atLeast compares uname's release, as in "5.15.0-91-generic".
func atLeast(release string, major, minor int) bool {
	first, rest, _ := strings.Cut(release, ".")
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		rest = rest[:end]
	}
	a, err1 := strconv.Atoi(first)
	b, err2 := strconv.Atoi(rest)
	return err1 == nil && err2 == nil && (a > major || a == major && b >= minor)
}

// Bits of capability sets (linux/capability.h).
const (
	capSysAdmin    = 21
	capSysResource = 24
	capMknod       = 27
)

func (e *examiner) privileges() {
	if e.UID != 0 {
		e.add(Note, "privileges", "sudo hostrun doctor", "user %d: some checks need root, as starting the private engine does", e.UID)
		return
	}
	have, known := e.capabilities()
	switch {
	case !known:
		e.add(Note, "privileges", "", "root; its capabilities are unknown: /proc/self/status has none")
	case have>>capSysAdmin&1 == 0:
		e.add(Broken, "privileges", "start the outer container with its rights: docker run --privileged, or securityContext.privileged: true",
			"root without CAP_SYS_ADMIN: nothing can be mounted, as in a container without privileges")
	case have>>capMknod&1 == 0:
		e.add(Note, "privileges", "", "root without CAP_MKNOD: the OCI runtime binds device nodes instead of making them")
	default:
		e.ok("privileges", "root with CAP_SYS_ADMIN")
	}
}

// limits: without CAP_SYS_RESOURCE nobody may raise a hard limit (setrlimit(2)), and neither may a container's profile.
func (e *examiner) limits() {
	files := hardLimit(e.text("/proc/self/limits"), "Max open files")
	have, known := e.capabilities()
	switch {
	case e.UID != 0 || !known:
	case have>>capSysResource&1 == 0:
		e.add(Note, "limits", "start the outer container with --cap-add SYS_RESOURCE, or with a higher --ulimit nofile",
			"no CAP_SYS_RESOURCE: containers get at most this process's limits (open files: %s), and ulimits above them are cut", files)
	default:
		e.ok("limits", "CAP_SYS_RESOURCE: containers may get any ulimit (open files here: %s)", files)
	}
}

func (e *examiner) capabilities() (set uint64, known bool) {
	for line := range strings.Lines(e.text("/proc/self/status")) {
		if hex, ok := strings.CutPrefix(line, "CapEff:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			return set, err == nil
		}
	}
	return 0, false
}

// hardLimit reads one line of /proc/PID/limits: name, soft, hard, unit.
func hardLimit(limits, name string) string {
	for line := range strings.Lines(limits) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if f := strings.Fields(rest); len(f) >= 2 {
				return f[1]
			}
		}
	}
	return "unknown"
}

func (e *examiner) seccomp() {
	if !e.view.Exists("/proc/sys/kernel/seccomp/actions_avail") {
		e.add(Broken, "seccomp", "use a kernel with CONFIG_SECCOMP_FILTER\nor go without the filter: security_opt: [seccomp=unconfined] in the profile",
			"the kernel has no seccomp filters (/proc/sys/kernel/seccomp is missing): containers with the default filter do not start")
		return
	}
	text := "system calls can be filtered"
	if e.Facts.AppArmor {
		text += "; AppArmor is on"
	}
	e.ok("seccomp", "%s", text)
}
