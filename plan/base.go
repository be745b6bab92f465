package plan

import (
	"path"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// specVersion is what every OCI runtime in use accepts: crun before 1.9 refuses 1.2.0 and later. Nothing in our specs
// needs a newer one.
const specVersion = "1.0.2"

func baseSpec() *specs.Spec {
	return &specs.Spec{
		Version: specVersion,
		Process: &specs.Process{Cwd: "/"},
		Root:    &specs.Root{Path: "rootfs"},
		Linux: &specs.Linux{
			Resources:     &specs.LinuxResources{},
			MaskedPaths:   append([]string(nil), maskedPaths...),
			ReadonlyPaths: append([]string(nil), readonlyPaths...),
		},
	}
}

// maskedPaths are hidden: they tell about the host, or act on it (docker's list).
var maskedPaths = []string{
	"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/sched_debug",
	"/proc/scsi", "/proc/timer_list", "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
}

// readonlyPaths act on the host when written (docker's list).
var readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}

// addDefaultMounts adds the file systems that Linux programs expect (runtime-spec, config-linux.md, "Default
// Filesystems"), with docker's options.
func (b *builder) addDefaultMounts() {
	sys, cgroup := []string{"nosuid", "noexec", "nodev", "ro"}, []string{"nosuid", "noexec", "nodev", "relatime", "ro"}
	if b.p.Privileged {
		sys, cgroup = sys[:3], cgroup[:4]
	}
	for _, m := range []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: sys},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: cgroup},
	} {
		b.mounts = append(b.mounts, mount{Mount: m, origin: "hostrun", replaceable: true})
	}
	b.addShm()
}

// setNamespaces isolates all but the network, by default, and what ipc: host shares. A cgroup namespace needs cgroup
// v2 to be of use: with v1, docker shares the host's too.
func (b *builder) setNamespaces() {
	kinds := []specs.LinuxNamespaceType{specs.MountNamespace}
	if b.p.PID == "" {
		kinds = append([]specs.LinuxNamespaceType{specs.PIDNamespace}, kinds...)
	}
	if b.p.UTS == "" {
		kinds = slices.Insert(kinds, len(kinds)-1, specs.UTSNamespace)
	}
	if b.p.IPC != "host" && b.sharesIPC() == "" {
		kinds = append(kinds, specs.IPCNamespace)
	}
	if !b.hostNetwork() && !b.madeNetwork() {
		kinds = append(kinds, specs.NetworkNamespace)
	}
	if b.p.Cgroup == "private" || b.p.Cgroup == "" && b.f.Host.CgroupVersion == 2 {
		kinds = append(kinds, specs.CgroupNamespace)
	}
	for _, k := range kinds {
		b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: k})
	}
	if b.madeNetwork() {
		b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: b.networkNamespace()})
	}
	if b.sharesPID() != "" {
		b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.PIDNamespace, Path: PIDNamespacePath(b.f.Engine.StateDir, b.plan.Namespace, b.plan.ID)})
		b.plan.Origins["/linux/namespaces/"+itoa(len(b.spec.Linux.Namespaces)-1)] = b.fromProfile("pid")
	}
	if b.sharesIPC() != "" {
		b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.IPCNamespace, Path: path.Join(b.ipcDirectory(), IPCNamespaceFile)})
		b.plan.Origins["/linux/namespaces/"+itoa(len(b.spec.Linux.Namespaces)-1)] = b.fromProfile("ipc")
	}
	b.spec.Linux.CgroupsPath = b.p.CgroupParent + "/" + b.f.Engine.Namespace + "/" + b.plan.ID
	if b.p.CgroupParent != "" {
		b.plan.Origins["/linux/cgroupsPath"] = b.fromProfile("cgroup_parent")
	}
	if u := b.f.Unit; u != nil && u.Cgroup != "" { // a service's is its unit's, whatever the profile says
		b.spec.Linux.CgroupsPath = u.Cgroup
	}
	b.spec.Root.Readonly = b.p.ReadOnly
	if b.p.UTS == "" { // with the machine's it can't be set
		b.spec.Hostname = b.hostname()
	}
}

func (b *builder) hostNetwork() bool { return b.p.NetworkMode == "" || b.p.NetworkMode == "host" }

// hostname is the profile's; under the host's network the host's, as there the name belongs to the address; else the
// container's ID.
func (b *builder) hostname() string {
	const maxHostname = 64 // HOST_NAME_MAX, linux/limits.h
	name := b.plan.ID
	switch {
	case b.p.Hostname != "":
		name = b.p.Hostname
	case (b.hostNetwork() || b.p.UTS == "host") && b.f.Host.Hostname != "":
		name = b.f.Host.Hostname
	}
	return name[:min(len(name), maxHostname)]
}

func itoa(n int) string { return strconv.Itoa(n) }
