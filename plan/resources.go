package plan

import (
	"fmt"
	"path"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// setWeights sets what compose has beside cpus, mem_limit and pids_limit. What only cgroup v1 can is left out with a
// warning on v2, as docker does.
func (b *builder) setWeights() {
	b.weighCPU()
	b.weighMemory()
	b.setBlkIO()
	if b.p.OOMScoreAdj != nil {
		b.askOOMScore(*b.p.OOMScoreAdj)
	}
	if b.p.Umask != nil {
		mask := *b.p.Umask
		b.spec.Process.User.Umask = &mask
		b.plan.Origins["/process/user/umask"] = b.fromProfile("umask")
	}
}

// askOOMScore gives the container the score that the profile asks for. Without CAP_SYS_RESOURCE a process may not have a lower one
// than was given to it (proc_pid_oom_score_adj(5)), and runc would end with words that do not name it.
func (b *builder) askOOMScore(score int) {
	if least := b.f.Engine.OOMScoreAdj; b.f.Engine.OOMScoreFixed && score < least {
		b.report("oom_score_adj", finding.Finding{
			ID: finding.LimitUnsupported, Severity: finding.Warning, Subject: "oom_score_adj",
			Got: fmt.Sprintf("%d, the score of containerd's process", least), Want: itoa(score),
			Message: fmt.Sprintf("oom_score_adj is raised to %d: containerd has no CAP_SYS_RESOURCE and may give no lower one than its own", least),
			Remedy:  "start containerd with CAP_SYS_RESOURCE, or remove oom_score_adj",
		})
		score = least
	}
	b.spec.Process.OOMScoreAdj = &score
	b.plan.Origins["/process/oomScoreAdj"] = b.fromProfile("oom_score_adj")
}

func (b *builder) weighCPU() {
	p := b.p
	if n := b.f.Host.CPUs; n > 0 && p.CPUReservation > float64(n) {
		b.unsupported("deploy.resources.reservations.cpus", finding.Error, fmt.Sprintf("%g processors are reserved, and this machine has %d", p.CPUReservation, n), "lower it")
	}
	if p.CPUShares == 0 && p.CPUPeriod == 0 && p.CPUQuota == 0 && p.CPURTPeriod == 0 && p.CPURTRuntime == 0 {
		return
	}
	r := b.spec.Linux.Resources
	if r.CPU == nil {
		r.CPU = &specs.LinuxCPU{}
	}
	if p.CPUShares > 0 {
		shares := uint64(max(p.CPUShares, 2)) // the kernel's least (kernel/sched/sched.h, MIN_SHARES)
		r.CPU.Shares = &shares
		b.plan.Origins["/linux/resources/cpu/shares"] = b.fromProfile("cpu_shares")
	}
	if p.CPUPeriod > 0 {
		period := uint64(p.CPUPeriod)
		r.CPU.Period = &period
		b.plan.Origins["/linux/resources/cpu/period"] = b.fromProfile("cpu_period")
	}
	if p.CPUQuota != 0 {
		quota := p.CPUQuota
		r.CPU.Quota = &quota
		b.plan.Origins["/linux/resources/cpu/quota"] = b.fromProfile("cpu_quota")
		b.checkQuota()
	}
	b.setRealtime(r.CPU)
}

// checkQuota is what limitCPUs checks of cpus.
func (b *builder) checkQuota() {
	period := float64(cpuPeriod)
	if b.p.CPUPeriod > 0 {
		period = float64(b.p.CPUPeriod)
	}
	if n := b.f.Host.CPUs; n > 0 && float64(b.p.CPUQuota) > period*float64(n) {
		b.unsupported("cpu_quota", finding.Error, fmt.Sprintf("cpu_quota: %d in a period of %g is more than the %d processors of this machine", b.p.CPUQuota, period, n), "lower it, or remove it")
	}
}

func (b *builder) setRealtime(cpu *specs.LinuxCPU) {
	if b.p.CPURTPeriod == 0 && b.p.CPURTRuntime == 0 {
		return
	}
	key := "cpu_rt_runtime"
	if b.p.CPURTRuntime == 0 {
		key = "cpu_rt_period"
	}
	if b.onlyV1(key, finding.Error, "remove it") {
		return
	}
	if v := b.p.CPURTRuntime; v > 0 {
		cpu.RealtimeRuntime = &v
	}
	if v := uint64(b.p.CPURTPeriod); v > 0 {
		cpu.RealtimePeriod = &v
	}
	b.plan.Origins["/linux/resources/cpu/realtimeRuntime"] = b.fromProfile(key)
}

// onlyV1 reports that the key has no effect on this machine.
func (b *builder) onlyV1(key string, severity finding.Severity, remedy string) bool {
	if b.f.Host.CgroupVersion == 1 {
		return false
	}
	b.unsupported(key, severity, key+" has no effect: cgroup v2, which this machine has, does not know it", remedy)
	return true
}

func (b *builder) weighMemory() {
	p := b.p
	r := b.spec.Linux.Resources
	memory := func() *specs.LinuxMemory {
		if r.Memory == nil {
			r.Memory = &specs.LinuxMemory{}
		}
		return r.Memory
	}
	if p.MemReservation > 0 {
		reserved := p.MemReservation
		memory().Reservation = &reserved
		b.plan.Origins["/linux/resources/memory/reservation"] = b.fromProfile("mem_reservation")
		if total := b.f.Host.MemoryBytes; total > 0 && reserved > total {
			b.unsupported("mem_reservation", finding.Error, fmt.Sprintf("mem_reservation: %d bytes are more than the %d of this machine", reserved, total), "lower it")
		}
	}
	if p.MemSwappiness != nil && !b.onlyV1("mem_swappiness", finding.Warning, "remove it; memswap_limit bounds swap") {
		v := uint64(*p.MemSwappiness)
		memory().Swappiness = &v
		b.plan.Origins["/linux/resources/memory/swappiness"] = b.fromProfile("mem_swappiness")
	}
	if p.OOMKillDisable && !b.onlyV1("oom_kill_disable", finding.Warning, "remove it; oom_score_adj: -500 makes it one of the last") {
		off := true
		memory().DisableOOMKiller = &off
		b.plan.Origins["/linux/resources/memory/disableOOMKiller"] = b.fromProfile("oom_kill_disable")
		if p.MemLimit == 0 {
			b.unsupported("oom_kill_disable", finding.Warning, "oom_kill_disable without mem_limit: where memory is short, other programs of the machine are ended", "add mem_limit:")
		}
	}
}

// BlkIODevices are the nodes whose numbers the plan needs, for Facts.Blocks.
func BlkIODevices(p *profiles.Profile) []devices.Request {
	var all []devices.Request
	seen := map[string]bool{}
	for _, d := range p.BlkIO.Devices() {
		if !seen[d.Path] {
			at := p.Lines[d.Key]
			seen[d.Path] = true
			all = append(all, devices.Request{Source: d.Path, Destination: d.Path, Access: "r", File: at.File, Line: at.Line})
		}
	}
	return all
}

func (b *builder) setBlkIO() {
	c := b.p.BlkIO
	if c == nil {
		return
	}
	io := &specs.LinuxBlockIO{}
	if c.Weight > 0 {
		weight := c.Weight
		io.Weight = &weight
	}
	for _, d := range c.WeightDevice {
		if n, ok := b.block(d); ok {
			weight := uint16(d.Rate)
			w := specs.LinuxWeightDevice{Weight: &weight}
			w.Major, w.Minor = n.Major, n.Minor
			io.WeightDevice = append(io.WeightDevice, w)
		}
	}
	io.ThrottleReadBpsDevice = b.throttles(c.ReadBps)
	io.ThrottleReadIOPSDevice = b.throttles(c.ReadIOps)
	io.ThrottleWriteBpsDevice = b.throttles(c.WriteBps)
	io.ThrottleWriteIOPSDevice = b.throttles(c.WriteIOps)
	b.spec.Linux.Resources.BlockIO = io
	b.plan.Origins["/linux/resources/blockIO"] = b.fromProfile("blkio_config")
}

func (b *builder) throttles(list []profiles.BlkIODevice) []specs.LinuxThrottleDevice {
	var all []specs.LinuxThrottleDevice
	for _, d := range list {
		if n, ok := b.block(d); ok {
			t := specs.LinuxThrottleDevice{Rate: d.Rate}
			t.Major, t.Minor = n.Major, n.Minor
			all = append(all, t)
		}
	}
	return all
}

// block finds the numbers of a device; what has no node has been reported by package devices.
func (b *builder) block(d profiles.BlkIODevice) (devices.Node, bool) {
	for _, n := range b.f.Blocks {
		if n.Destination != path.Clean(d.Path) {
			continue
		}
		if n.Type == "b" {
			return n, true
		}
		b.report(d.Key, finding.Finding{ID: finding.DeviceNotNode, Severity: finding.Error, Subject: d.Path, Got: "a node of type " + n.Type, Want: "a block device",
			Message: d.Path + " is no disk", Remedy: "name the disk that holds the data: findmnt -o SOURCE -T PATH"})
		return n, false
	}
	return devices.Node{}, false
}

// addDeviceRules lets the cgroup allow what device_cgroup_rules says. No node comes with them.
func (b *builder) addDeviceRules() {
	if b.p.Privileged {
		return
	}
	r := b.spec.Linux.Resources
	for _, d := range b.p.DeviceRules {
		kinds := []string{d.Type}
		if d.Type == "a" { // of OCI runtimes it would allow everything, whatever the numbers say
			kinds = []string{"c", "b"}
		}
		for _, kind := range kinds {
			one := specs.LinuxDeviceCgroup{Allow: true, Type: kind, Access: d.Access}
			if major := d.Major; major >= 0 {
				one.Major = &major
			}
			if minor := d.Minor; minor >= 0 {
				one.Minor = &minor
			}
			b.plan.Origins["/linux/resources/devices/"+itoa(len(r.Devices))] = b.fromProfile(d.Key)
			r.Devices = append(r.Devices, one)
		}
	}
}

// sharesPID is the container whose processes this one shares, "" for none.
func (b *builder) sharesPID() string { return otherContainer(b.p.PID) }

// sharesIPC is the container whose IPC and /dev/shm this one shares, "" for none.
func (b *builder) sharesIPC() string { return otherContainer(b.p.IPC) }

func otherContainer(mode string) string {
	if other, shares := strings.CutPrefix(mode, "container:"); shares {
		return other
	}
	return ""
}

// What lies in the directory of a container that shares another one's IPC: the namespace, and its /dev/shm.
const (
	IPCNamespaceFile   = "ipc"
	IPCSharedDirectory = "shm"
)

// IPCDirectory is where the IPC namespace of another container and its /dev/shm are kept for one that shares them.
func IPCDirectory(stateDir, namespace, id string) string {
	if stateDir == "" {
		stateDir = "/run/hostrun"
	}
	return path.Join(stateDir, "ipc", namespace, id)
}

func (b *builder) ipcDirectory() string {
	return IPCDirectory(b.f.Engine.StateDir, b.plan.Namespace, b.plan.ID)
}

// PIDNamespacePath is where the pid namespace of another container is kept for one that shares it.
func PIDNamespacePath(stateDir, namespace, id string) string {
	if stateDir == "" {
		stateDir = "/run/hostrun"
	}
	return path.Join(stateDir, "pidns", namespace, id)
}
