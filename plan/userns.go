package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// IDRange is the part of the machine's user and group ids that a container with a user namespace gets: its ids 0 to Size-1 are these.
type IDRange struct {
	UID   uint32 `json:"uid"` // the machine's, of the container's 0
	GID   uint32 `json:"gid"`
	Size  uint32 `json:"size"`
	Error string `json:"error,omitempty"` // why there is none
}

// UsernsPrivate is the userns_mode of a container whose ids are a range of its own.
const UsernsPrivate = "private"

// Options of mounts whose ids are the container's (runtime-spec, config.md, "Mounts"). hostrun makes such mounts itself, so that each OCI
// runtime can have them.
const (
	optionIDMap          = "idmap"
	optionRecursiveIDMap = "ridmap"
)

// ownIDs reports whether the container's user and group ids are others than the machine's.
func (b *builder) ownIDs() bool { return b.p.Userns == UsernsPrivate }

// setUserNamespace maps the container's ids to a range that is nobody's on the machine, and marks the mounts whose files keep the
// owners that they have outside. It comes when all mounts are settled.
func (b *builder) setUserNamespace() {
	if !b.ownIDs() {
		return
	}
	b.checkUserNamespace()
	r := b.f.IDs
	if r == nil || r.Error != "" || r.Size == 0 {
		return
	}
	l := b.spec.Linux
	l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	l.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: r.UID, Size: r.Size}}
	l.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: r.GID, Size: r.Size}}
	for _, at := range []string{"/linux/uidMappings", "/linux/gidMappings"} {
		b.plan.Origins[at] = b.fromProfile("userns_mode")
	}
	for i := range b.spec.Mounts {
		b.mapMount(&b.spec.Mounts[i], b.mounts[i].key != "")
	}
	for i := range b.plan.Data { // ramfs can't be mounted with other ids: they get their owners' at once
		b.plan.Data[i].UID += r.UID
		b.plan.Data[i].GID += r.GID
	}
	b.plan.Stage = StageDirectory(b.f.Engine.StateDir, b.plan.Namespace, b.plan.ID)
	b.tellPowerless()
}

// StageDirectory is where the mounts of one container are made that have its ids.
func StageDirectory(stateDir, namespace, id string) string {
	if stateDir == "" {
		stateDir = "/run/hostrun"
	}
	return path.Join(stateDir, "userns", namespace, id)
}

// mapMount gives a mount of the machine's files the owners that they have there. What the kernel makes up itself (/proc, /sys, /dev) can't
// have others, and stays as it is; so does, on an older kernel, what a driver has in memory (/run), which everybody may use.
func (b *builder) mapMount(m *specs.Mount, asked bool) {
	switch {
	case m.Type == "sysfs" && b.hostNetwork():
		// Only who owns the network namespace may mount it (Linux, fs/sysfs/mount.c): the machine's is bound, as docker does.
		*m = specs.Mount{Destination: m.Destination, Type: "bind", Source: "/sys", Options: []string{"rbind", "rprivate", b.readOnly(true), "nosuid", "noexec", "nodev"}}
	case within(m.Source, DataDirectory(b.f.Engine.StateDir, b.plan.Namespace, b.plan.ID)):
	case !asked && within(m.Source, "/run") && !kernelAtLeast(b.f.Host.Kernel, 6, 3):
	case m.Type == "bind" && keepsOwners(m.Source):
		option := optionIDMap
		if slices.Contains(m.Options, "rbind") {
			option = optionRecursiveIDMap
		}
		m.Options = append(slices.Clip(m.Options), option)
		m.UIDMappings, m.GIDMappings = slices.Clone(b.spec.Linux.UIDMappings), slices.Clone(b.spec.Linux.GIDMappings)
	}
}

func keepsOwners(source string) bool {
	return within(source, "/dev/shm") || !slices.ContainsFunc([]string{"/proc", "/sys", "/dev"}, func(dir string) bool { return within(source, dir) })
}

// checkUserNamespace refuses what the kernel refuses in a user namespace, before anything is made.
func (b *builder) checkUserNamespace() {
	refuse := func(key, why, remedy string) {
		b.report(key, finding.Finding{ID: finding.UsernsExcludes, Severity: finding.Error, Subject: key, Got: "userns_mode: private",
			Message: key + " can't be had together with userns_mode: private: " + why, Remedy: remedy})
	}
	switch {
	case usesHostRoot(b.p):
		refuse("rootfs", "the machine's own files are its root, and belong to ids that the container does not have", "remove userns_mode, or take an image")
	case b.p.Privileged:
		refuse("privileged", "rights over the machine mean nothing in a user namespace", "remove one of the two")
	}
	if b.p.PID != "" {
		refuse("pid", "/proc of other processes can't be mounted in a user namespace (user_namespaces(7))", "remove one of the two")
	}
	if strings.HasPrefix(b.p.NetworkMode, "container:") {
		refuse("network_mode", "what is started in the container later (exec, healthchecks) could not enter the network of another one's user namespace (setns(2))", "remove one of the two")
	}
	if b.p.IPC == "host" || b.sharesIPC() != "" {
		refuse("ipc", "/dev/mqueue of another IPC namespace can't be mounted in a user namespace", "remove one of the two")
	}
	if b.p.Domainname != "" {
		refuse("domainname", "the kernel lets only the machine's root set it (kernel.domainname)", "remove one of the two")
	}
	for _, v := range b.p.Volumes {
		if strings.HasSuffix(v.Propagation, "shared") {
			refuse(v.Key, "mounts that are made in a user namespace do not get out of it", "remove propagation: "+v.Propagation)
		}
	}
	if !kernelAtLeast(b.f.Host.Kernel, 5, 19) {
		b.report("userns_mode", finding.Finding{ID: finding.UsernsUnavailable, Severity: finding.Error, Subject: "userns_mode", Got: "Linux " + b.f.Host.Kernel,
			Want:    "Linux 5.19, which mounts an image's layers with other ids",
			Message: "the kernel can't give the container ids of its own", Remedy: "remove userns_mode, or upgrade the kernel"})
	}
	if r := b.f.IDs; r != nil && r.Error != "" {
		b.report("userns_mode", finding.Finding{ID: finding.UsernsUnavailable, Severity: finding.Error, Subject: "userns_mode", Got: r.Error,
			Message: "there is no range of ids for the container: " + r.Error, Remedy: "give hostrun more: echo hostrun:1000000:4194304 | sudo tee -a /etc/subuid /etc/subgid\nor remove userns_mode"})
	}
	b.checkIDsInRange()
}

// checkIDsInRange refuses a user or group that the range does not have.
func (b *builder) checkIDsInRange() {
	r := b.f.IDs
	if r == nil || r.Size == 0 {
		return
	}
	outside := func(key, kind string, id uint32) {
		b.report(key, finding.Finding{ID: finding.UsernsIDOutside, Severity: finding.Error, Subject: key, Got: fmt.Sprint(id), Want: fmt.Sprintf("0 to %d", r.Size-1),
			Message: fmt.Sprintf("the container has no %s %d: with userns_mode: private its ids are 0 to %d", kind, id, r.Size-1),
			Remedy:  "take a smaller number, or remove userns_mode"})
	}
	if b.user.uid >= r.Size {
		outside("user", "user", b.user.uid)
	}
	for _, g := range b.user.groups {
		if g >= r.Size {
			outside("group_add", "group", g)
		}
	}
	EachData(b.p, func(_, _ string, v profiles.Data) {
		if v.UID != nil && *v.UID >= r.Size {
			outside(v.Key, "user", *v.UID)
		}
		if v.GID != nil && *v.GID >= r.Size {
			outside(v.Key, "group", *v.GID)
		}
	})
}

// networkRights are those that are asked of who owns the network namespace (capabilities(7)).
var networkRights = []string{"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_NET_BROADCAST", "CAP_NET_BIND_SERVICE"}

// machineRights are asked of the machine's root alone.
var machineRights = []string{"CAP_SYS_ADMIN", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_TIME", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE", "CAP_IPC_LOCK",
	"CAP_MKNOD", "CAP_SYSLOG", "CAP_PERFMON", "CAP_BPF", "CAP_MAC_ADMIN", "CAP_MAC_OVERRIDE", "CAP_AUDIT_CONTROL", "CAP_WAKE_ALARM"}

// tellPowerless tells who asks for a right that acts on what is not the container's own.
func (b *builder) tellPowerless() {
	for i, c := range b.p.CapAdd {
		name := capability(c)
		if slices.Contains(machineRights, name) || b.hostNetwork() && slices.Contains(networkRights, name) {
			b.report("cap_add["+itoa(i)+"]", finding.Finding{ID: finding.UsernsPowerless, Severity: finding.Warning, Subject: name, Got: "userns_mode: private",
				Message: name + " holds within the container's user namespace alone: over what is the machine's it gives no right",
				Remedy:  "remove it, or userns_mode"})
		}
	}
	if slices.ContainsFunc(b.f.Grants, func(g devices.Grant) bool { return g.Ask.Kind == devices.KindNPU && len(g.Chosen) > 0 }) {
		b.report("userns_mode", finding.Finding{ID: finding.UsernsNPU, Severity: finding.Warning, Subject: "npus", Got: "userns_mode: private",
			Message: "nobody has tried the NPUs' driver with mapped ids: the nodes have the driver's group in the container, and the driver may look at the machine's",
			Remedy:  "try it: npu-smi info in the container; or remove userns_mode"})
	}
	if b.hostNetwork() && b.f.Host.Kernel != "" && slices.ContainsFunc(b.p.Ports, func(p profiles.Port) bool { return p.Target < 1024 }) {
		b.report("ports", finding.Finding{ID: finding.UsernsPowerless, Severity: finding.Warning, Subject: "ports", Got: "userns_mode: private with the host's network",
			Message: "the container's root can't listen at ports below 1024 of the host's network, unless net.ipv4.ip_unprivileged_port_start lets everybody",
			Remedy:  "network_mode: bridge, or a port above"})
	}
}
