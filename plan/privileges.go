package plan

import (
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/finding"
)

// defaultCapabilities are docker's 14.
var defaultCapabilities = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
	"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// allCapabilities in the kernel's order, with the release that brought the later ones (linux/capability.h).
var allCapabilities = []struct {
	name         string
	major, minor int
}{
	{"CAP_CHOWN", 0, 0}, {"CAP_DAC_OVERRIDE", 0, 0}, {"CAP_DAC_READ_SEARCH", 0, 0}, {"CAP_FOWNER", 0, 0}, {"CAP_FSETID", 0, 0},
	{"CAP_KILL", 0, 0}, {"CAP_SETGID", 0, 0}, {"CAP_SETUID", 0, 0}, {"CAP_SETPCAP", 0, 0}, {"CAP_LINUX_IMMUTABLE", 0, 0},
	{"CAP_NET_BIND_SERVICE", 0, 0}, {"CAP_NET_BROADCAST", 0, 0}, {"CAP_NET_ADMIN", 0, 0}, {"CAP_NET_RAW", 0, 0}, {"CAP_IPC_LOCK", 0, 0},
	{"CAP_IPC_OWNER", 0, 0}, {"CAP_SYS_MODULE", 0, 0}, {"CAP_SYS_RAWIO", 0, 0}, {"CAP_SYS_CHROOT", 0, 0}, {"CAP_SYS_PTRACE", 0, 0},
	{"CAP_SYS_PACCT", 0, 0}, {"CAP_SYS_ADMIN", 0, 0}, {"CAP_SYS_BOOT", 0, 0}, {"CAP_SYS_NICE", 0, 0}, {"CAP_SYS_RESOURCE", 0, 0},
	{"CAP_SYS_TIME", 0, 0}, {"CAP_SYS_TTY_CONFIG", 0, 0}, {"CAP_MKNOD", 0, 0}, {"CAP_LEASE", 0, 0}, {"CAP_AUDIT_WRITE", 0, 0},
	{"CAP_AUDIT_CONTROL", 0, 0}, {"CAP_SETFCAP", 0, 0}, {"CAP_MAC_OVERRIDE", 0, 0}, {"CAP_MAC_ADMIN", 0, 0}, {"CAP_SYSLOG", 0, 0},
	{"CAP_WAKE_ALARM", 0, 0}, {"CAP_BLOCK_SUSPEND", 0, 0}, {"CAP_AUDIT_READ", 3, 16}, {"CAP_PERFMON", 5, 8}, {"CAP_BPF", 5, 8},
	{"CAP_CHECKPOINT_RESTORE", 5, 9},
}

// Capabilities returns the name of each capability at the place of its bit in /proc/<pid>/status, as Engine.Capabilities
// wants them.
func Capabilities() []string {
	names := make([]string, len(allCapabilities))
	for i, c := range allCapabilities {
		names[i] = c.name
	}
	return names
}

func (b *builder) knownCapabilities() []string {
	var names []string
	for _, c := range allCapabilities {
		if c.major == 0 || kernelAtLeast(b.f.Host.Kernel, c.major, c.minor) {
			names = append(names, c.name)
		}
	}
	return names
}

// available takes away what containerd's own process lacks, and so can't give: starting would end in "operation not
// permitted". That happens where it runs in a container itself.
func (b *builder) available(set []string) []string {
	have := b.f.Engine.Capabilities
	if have == nil {
		return set
	}
	return slices.DeleteFunc(set, func(c string) bool { return !slices.Contains(have, c) })
}

// checkAvailable tells of what the profile names and does not get.
func (b *builder) checkAvailable(set []string) {
	for i, c := range b.p.CapAdd {
		name := capability(c)
		if name == "ALL" || slices.Contains(set, name) || slices.ContainsFunc(b.p.CapDrop, func(d string) bool { return capability(d) == name }) {
			continue
		}
		b.report("cap_add["+itoa(i)+"]", finding.Finding{
			ID: finding.LimitUnsupported, Severity: finding.Error, Subject: name, Got: "containerd's process does not have it itself",
			Message: name + " can't be given to the container", Remedy: "start containerd with it, or remove it from cap_add",
		})
	}
}

// capabilities are docker's, less and more what the profile says. With devices, CAP_MKNOD goes: whoever has it can make
// a node for a device that the container was not given, and only the cgroup stands between.
func (b *builder) capabilities() []string {
	if b.p.Privileged {
		return b.available(b.knownCapabilities())
	}
	set := slices.Clone(defaultCapabilities)
	if b.hasDevices() {
		set = slices.DeleteFunc(set, func(c string) bool { return c == "CAP_MKNOD" })
	}
	if slices.Contains(b.p.CapDrop, "ALL") {
		set = nil
	}
	if slices.Contains(b.p.CapAdd, "ALL") {
		set = b.knownCapabilities()
	}
	for _, c := range b.p.CapAdd {
		if name := capability(c); name != "ALL" {
			set = append(set, name)
		}
	}
	set = slices.DeleteFunc(set, func(c string) bool {
		return slices.ContainsFunc(b.p.CapDrop, func(d string) bool { return capability(d) == c })
	})
	set = b.available(set)
	slices.Sort(set)
	return slices.Compact(set)
}

func capability(s string) string {
	s = strings.ToUpper(s)
	if s != "ALL" && !strings.HasPrefix(s, "CAP_") {
		s = "CAP_" + s
	}
	return s
}

// drops reports whether the container's processes will not have the capability.
func (b *builder) drops(name string) bool { return !slices.Contains(b.capabilities(), name) }

// setPrivileges settles capabilities, no_new_privileges and seccomp. As docker does, a user other than root gets no effective
// capability, as execve(2) would leave it none.
func (b *builder) setPrivileges() {
	set := b.capabilities()
	b.checkAvailable(set)
	caps := &specs.LinuxCapabilities{Bounding: set}
	if b.user.uid == 0 {
		caps.Effective, caps.Permitted = slices.Clone(set), slices.Clone(set)
	}
	b.spec.Process.Capabilities = caps
	b.plan.Origins["/process/capabilities"] = "hostrun"
	for _, key := range []string{"cap_drop", "cap_add", "privileged"} {
		if _, ok := b.p.Lines[key]; ok {
			b.plan.Origins["/process/capabilities"] = b.fromProfile(key)
		}
	}
	b.spec.Process.NoNewPrivileges = !b.p.Privileged
	if b.p.NoNewPrivileges != nil {
		b.spec.Process.NoNewPrivileges = *b.p.NoNewPrivileges
	}
	if b.p.Privileged {
		b.setPrivileged()
		return
	}
	b.setConfinement()
	if b.p.OpenSystemPaths {
		b.spec.Linux.MaskedPaths, b.spec.Linux.ReadonlyPaths = nil, nil
		b.plan.Origins["/linux/maskedPaths"] = b.fromProfile("security_opt.systempaths")
	}
	b.setSeccomp(set)
}

// setConfinement settles what a security module is to do with the container. As docker does, it passes over what the kernel has no
// module for (moby, daemon/oci_linux.go, WithApparmor).
func (b *builder) setConfinement() {
	if b.p.AppArmor != "" && b.f.Host.AppArmor {
		b.spec.Process.ApparmorProfile = b.p.AppArmor
		b.plan.Origins["/process/apparmorProfile"] = b.fromProfile("security_opt.apparmor")
	}
	if b.p.Label != "" && b.f.Host.SELinux {
		b.report("security_opt.label", finding.Finding{ID: finding.LabelUnset, Severity: finding.Error, Subject: "label:" + b.p.Label, Got: "SELinux enforces on this machine",
			Message: "hostrun gives containers no label of SELinux's", Remedy: "write label:disable, and let the policy be that of containerd's processes"})
	}
}

// setPrivileged opens what docker opens: root of the container is root of the machine.
func (b *builder) setPrivileged() {
	b.spec.Linux.MaskedPaths, b.spec.Linux.ReadonlyPaths = nil, nil
	b.report("privileged", finding.Finding{
		ID: finding.PrivilegedUsed, Severity: finding.Warning, Subject: "privileged",
		Message: "privileged: true gives root in the container every right on this machine",
		Remedy:  "name the device nodes under devices: and the capability under cap_add: instead; accelerators need no more",
	})
}
