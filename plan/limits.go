package plan

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

const (
	cpuPeriod   = 100_000   // µs, the kernel's default (Documentation/scheduler/sched-bwc.rst)
	minMemory   = 6 << 20   // bytes: with less, the OCI runtime itself does not get through (docker's limit)
	deviceFiles = 1_048_576 // open files where devices are given; a billion of them makes drivers crawl
)

// setLimits sets the cgroup's limits and the process's.
func (b *builder) setLimits() {
	r := b.spec.Linux.Resources
	if b.p.CPUs > 0 || b.p.CPUSet != "" {
		r.CPU = &specs.LinuxCPU{Cpus: b.p.CPUSet}
		if b.p.CPUSet != "" {
			b.plan.Origins["/linux/resources/cpu/cpus"] = b.fromProfile("cpuset")
		}
	}
	if b.p.CPUs > 0 {
		b.limitCPUs(r.CPU)
	}
	if b.p.MemLimit > 0 {
		b.limitMemory(r)
	}
	if b.p.PidsLimit != 0 {
		n := b.p.PidsLimit
		r.Pids = &specs.LinuxPids{Limit: &n}
		b.plan.Origins["/linux/resources/pids/limit"] = b.fromProfile("pids_limit")
	}
	b.setRlimits()
	b.setOOMScore()
	b.setWeights()
}

// setOOMScore gives the kernel leave to end the container where memory is short. A daemon that service managers protect
// from that (its unit sets OOMScoreAdjust=-999) hands its protection down to containers, and something else would be
// ended in their place.
func (b *builder) setOOMScore() {
	if b.f.Engine.OOMScoreAdj < 0 {
		score := 0
		b.spec.Process.OOMScoreAdj = &score
	}
}

func (b *builder) limitCPUs(cpu *specs.LinuxCPU) {
	if n := b.f.Host.CPUs; n > 0 && b.p.CPUs > float64(n) {
		b.unsupported("cpus", finding.Error, fmt.Sprintf("cpus: %g is more than the %d processors of this machine", b.p.CPUs, n),
			fmt.Sprintf("lower it to %d, or remove it", n))
	}
	period := uint64(cpuPeriod)
	quota := int64(math.MaxInt64)
	if q := b.p.CPUs * cpuPeriod; q < math.MaxInt64 {
		quota = max(int64(math.Round(q)), 1000) // the kernel's least: 1 ms
	}
	cpu.Period, cpu.Quota = &period, &quota
	b.plan.Origins["/linux/resources/cpu/quota"] = b.fromProfile("cpus")
}

// limitMemory limits memory and swap together: none is left to swap into. cgroup v1 has the second limit only where the
// kernel was booted with swapaccount=1, and the start would fail without.
func (b *builder) limitMemory(r *specs.LinuxResources) {
	limit, swap := b.p.MemLimit, b.p.MemLimit
	if limit < minMemory {
		b.unsupported("mem_limit", finding.Error, fmt.Sprintf("mem_limit: %d bytes is less than the 6 MiB that starting takes", limit), "raise it")
	}
	if b.p.MemSwapLimit != 0 {
		swap = b.p.MemSwapLimit
		b.plan.Origins["/linux/resources/memory/swap"] = b.fromProfile("memswap_limit")
	}
	r.Memory = &specs.LinuxMemory{Limit: &limit}
	switch {
	case b.f.Host.SwapAccounting:
		r.Memory.Swap = &swap
	case b.f.Host.CgroupVersion == 1 && b.p.MemSwapLimit > 0:
		delete(b.plan.Origins, "/linux/resources/memory/swap")
		b.unsupported("memswap_limit", finding.Warning, "memswap_limit has no effect: this kernel does not count swap", "boot with swapaccount=1, or with cgroup v2")
	case b.f.Host.CgroupVersion == 1 && b.p.MemSwapLimit < 0:
	case b.f.Host.CgroupVersion == 1:
		b.unsupported("mem_limit", finding.Info, "mem_limit leaves swap unlimited: this kernel does not count swap", "boot with swapaccount=1, or with cgroup v2")
	default:
		r.Memory.Swap = &swap
	}
	b.plan.Origins["/linux/resources/memory/limit"] = b.fromProfile("mem_limit")
}

func (b *builder) unsupported(key string, severity finding.Severity, message, remedy string) {
	b.report(key, finding.Finding{
		ID: finding.LimitUnsupported, Severity: severity, Subject: key, Message: message, Remedy: remedy,
	})
}

// setRlimits sets those that the profile names. With devices, memory may be locked (pinned buffers, RDMA) and a job may
// have a million files, unless the profile says otherwise. The rest is left as containerd has it.
func (b *builder) setRlimits() {
	asked := map[string]profiles.Ulimit{}
	if b.hasDevices() {
		asked["memlock"] = profiles.Ulimit{Soft: -1, Hard: -1}
		asked["nofile"] = profiles.Ulimit{Soft: deviceFiles, Hard: deviceFiles}
	}
	for name, u := range b.p.Ulimits {
		asked[name] = u
	}
	names := make([]string, 0, len(asked))
	for name := range asked {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		b.addRlimit(name, asked[name])
	}
}

// rlimits are those of getrlimit(2).
var rlimits = []string{"as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"}

func (b *builder) addRlimit(name string, u profiles.Ulimit) {
	_, own := b.p.Ulimits[name]
	if !slices.Contains(rlimits, name) {
		b.report("ulimits."+name, finding.Finding{
			ID: finding.ProfileInvalid, Severity: finding.Error, Subject: "ulimits." + name,
			Want: strings.Join(rlimits, ", "), Message: fmt.Sprintf("there is no limit called %q", name), Remedy: "correct the name",
		})
		return
	}
	l := specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(name), Soft: resource(u.Soft), Hard: resource(u.Hard)}
	if ceiling := b.ceiling(name); l.Hard > ceiling || l.Soft > ceiling {
		l.Soft, l.Hard = min(l.Soft, ceiling), min(l.Hard, ceiling)
		b.clamped(name, u, ceiling, own)
	}
	origin := "hostrun"
	if own {
		origin = b.fromProfile("ulimits." + name)
	}
	b.plan.Origins["/process/rlimits/"+itoa(len(b.spec.Process.Rlimits))] = origin
	b.spec.Process.Rlimits = append(b.spec.Process.Rlimits, l)
}

func resource(n int64) uint64 {
	if n < 0 {
		return math.MaxUint64 // RLIM_INFINITY
	}
	return uint64(n)
}

// ceiling is the most that the container may get: what containerd's own process has, unless it may raise it. Open files
// are never unlimited: fs.nr_open is their ceiling (setrlimit(2), EPERM), a million by default.
func (b *builder) ceiling(name string) uint64 {
	most := uint64(math.MaxUint64)
	switch {
	case name == "nofile" && b.f.Engine.NoFileMax > 0:
		most = b.f.Engine.NoFileMax
	case name == "nofile" && resource(b.p.Ulimits[name].Hard) == math.MaxUint64:
		most = deviceFiles
	case name == "memlock" && b.f.Engine.MemlockMax > 0:
		most = b.f.Engine.MemlockMax
	}
	if have, bound := b.f.Engine.Limits[name]; bound {
		most = min(most, have)
	}
	return most
}

// raisable says whether containerd's own limit does not bind the container.
func (b *builder) raisable(name string) bool {
	return name == "nofile" && b.f.Engine.NoFileMax == 0
}

func (b *builder) clamped(name string, u profiles.Ulimit, ceiling uint64, own bool) {
	severity := finding.Warning
	if !own && name == "nofile" {
		severity = finding.Info
	}
	want := fmt.Sprint(u.Hard)
	if u.Hard < 0 {
		want = "unlimited"
	}
	if b.raisable(name) {
		b.unsupported("ulimits."+name, severity, fmt.Sprintf("%s is lowered to %d: the kernel has no unlimited %s (fs.nr_open)", name, ceiling, name),
			"write a number")
		return
	}
	b.report("ulimits."+name, finding.Finding{
		ID: finding.LimitUnsupported, Severity: severity, Subject: "ulimits." + name,
		Got: fmt.Sprintf("%d, the hard limit of containerd's process", ceiling), Want: want,
		Message: fmt.Sprintf("%s is lowered to %d: containerd's own limit is no higher and it may not raise it", name, ceiling),
		Remedy:  "raise it where containerd is started (systemd: Limit" + strings.ToUpper(name) + "=), or lower ulimits." + name,
	})
}

// setSysctls passes the kernel's settings of the container's own namespaces, and no others (runc refuses them too).
func (b *builder) setSysctls() {
	b.openNetwork()
	names := make([]string, 0, len(b.p.Sysctls))
	for name := range b.p.Sysctls {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		if why := b.sharedSysctl(name); why != "" {
			b.report("sysctls."+name, finding.Finding{
				ID: finding.ProfileInvalid, Severity: finding.Error, Subject: "sysctls." + name,
				Message: fmt.Sprintf("sysctl %s %s", name, why), Remedy: "remove it, or set it on the host",
			})
			continue
		}
		if b.spec.Linux.Sysctl == nil {
			b.spec.Linux.Sysctl = map[string]string{}
		}
		delete(b.spec.Linux.Sysctl, strings.ReplaceAll(name, "/", ".")) // a default
		b.spec.Linux.Sysctl[name] = b.p.Sysctls[name]
		b.plan.Origins["/linux/sysctl/"+strings.ReplaceAll(name, "/", "~1")] = b.fromProfile("sysctls." + name)
	}
}

// openNetwork lets every user of a container listen at ports below 1024 and send echo requests: in a network namespace of its own
// both take nothing from anyone (docker's rule since 20.10). The profile's own settings win.
func (b *builder) openNetwork() {
	if b.hostNetwork() || strings.HasPrefix(b.p.NetworkMode, "container:") {
		return
	}
	settings := map[string]string{"net.ipv4.ping_group_range": "0 2147483647"}
	if b.ownIDs() && b.f.IDs != nil { // written within it, where there are no other groups
		settings["net.ipv4.ping_group_range"] = fmt.Sprintf("0 %d", max(b.f.IDs.Size, 1)-1)
	}
	if kernelAtLeast(b.f.Host.Kernel, 4, 11) { // the release that brought it
		settings["net.ipv4.ip_unprivileged_port_start"] = "0"
	}
	if b.spec.Linux.Sysctl == nil {
		b.spec.Linux.Sysctl = map[string]string{}
	}
	for name, value := range settings {
		b.spec.Linux.Sysctl[name] = value
		b.plan.Origins["/linux/sysctl/"+name] = "hostrun"
	}
}

// sharedSysctl says why a setting would change the host's, or "".
func (b *builder) sharedSysctl(name string) string {
	dotted := strings.ReplaceAll(name, "/", ".")
	ipc := strings.HasPrefix(dotted, "kernel.shm") || strings.HasPrefix(dotted, "kernel.msg") ||
		dotted == "kernel.sem" || strings.HasPrefix(dotted, "fs.mqueue.")
	switch {
	case strings.HasPrefix(dotted, "net.") && b.hostNetwork():
		return "is the host's own with network_mode: host"
	case ipc && b.p.IPC == "host":
		return "is the host's own with ipc: host"
	case ipc && b.sharesIPC() != "":
		return "is the other container's own with ipc: " + b.p.IPC
	case ipc, strings.HasPrefix(dotted, "net."), dotted == "kernel.domainname":
		return ""
	}
	return "belongs to the whole machine, not to a container"
}
