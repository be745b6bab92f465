package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/nvidia"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

// faultsOf reads what drivers write into the kernel's log, by the kind of device.
var faultsOf = map[string]func(log []devices.KernelMessage, boot time.Time) []devices.Fault{devices.KindGPU: nvidia.Faults}

// addFaults tells of each container what the kernel's log says of its devices while it had them. There is no daemon that keeps it: the log
// is read when somebody asks, and only if a container has a device of whose faults it would speak.
func (s *session) addFaults(all ...*runtime.Container) {
	concerns := func(c *runtime.Container) bool {
		return c.StartedAt != nil && slices.ContainsFunc(c.DeviceNumbers, func(n plan.DeviceNumber) bool { return faultsOf[n.Kind] != nil && n.PCI != "" })
	}
	if !slices.ContainsFunc(all, concerns) {
		return
	}
	log, err := devices.KernelLog(s.root)
	if err != nil { // the log is root's on most machines
		s.log.Debug("read the kernel's log", "error", err)
	}
	for _, read := range faultsOf {
		for _, f := range read(log, bootTime()) {
			for _, c := range victims(f, all, s.global.namespace, cgroupOf) {
				c.Faults = append(c.Faults, f)
			}
		}
	}
}

// bootTime is when the kernel's log began to count. It does not count while the machine is suspended, nor does CLOCK_MONOTONIC.
func bootTime() time.Time {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) != nil {
		return time.Time{}
	}
	return time.Now().Add(-time.Duration(t.Nano()))
}

// cgroupOf is the text of /proc/PID/cgroup; "" for a process that is gone.
func cgroupOf(pid int) string {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return ""
	}
	return string(text)
}

// The kernel's clock is not corrected as the wall clock is, and a fault may be what ends a container.
const (
	faultEarly = 2 * time.Second
	faultLate  = 10 * time.Second
)

// victims are the containers that a fault concerns: those that had the device then. Where its process still lives, it tells which one
// of several; a program's own fault on a shared device is nobody else's.
func victims(f devices.Fault, all []*runtime.Container, namespace string, cgroupOf func(pid int) string) []*runtime.Container {
	var had, in []*runtime.Container
	for _, c := range all {
		if c.StartedAt == nil || f.Time.Before(c.StartedAt.Add(-faultEarly)) || c.FinishedAt != nil && f.Time.After(c.FinishedAt.Add(faultLate)) ||
			!slices.ContainsFunc(c.DeviceNumbers, func(n plan.DeviceNumber) bool { return isAbout(f, n) }) {
			continue
		}
		had = append(had, c)
	}
	group := ""
	if f.PID > 0 && f.Job {
		group = cgroupOf(f.PID)
	}
	for _, c := range had {
		if inCgroup(group, namespace, c.Container) || c.Unit != "" && strings.Contains(group, "/"+plan.UnitOf(c.Unit).Name+"/container") {
			in = append(in, c)
		}
	}
	if group != "" {
		return in
	}
	return had
}

// isAbout reports whether the fault is of that device: of the whole of it, or of the very partition ("GPU-I:05" is GPU instance 5).
func isAbout(f devices.Fault, n plan.DeviceNumber) bool {
	if f.Kind != n.Kind || !strings.EqualFold(f.PCI, n.PCI) {
		return false
	}
	instance, isPart := strings.CutPrefix(f.Part, "GPU-I:")
	gi, err := strconv.Atoi(instance)
	return !isPart || err != nil || n.Index >= 0 || strings.Contains(n.Name, fmt.Sprintf("-gi%d-", gi))
}

// inCgroup reports whether a process is a container's: its cgroup is /NAMESPACE/ID, or one that it made below.
func inCgroup(cgroup, namespace, id string) bool {
	for line := range strings.Lines(cgroup) {
		_, path, _ := strings.Cut(strings.TrimSpace(line), ":/")
		if strings.Contains("/"+path+"/", "/"+namespace+"/"+id+"/") { // also below cgroup_parent
			return true
		}
	}
	return false
}

// faultWords are the codes of a container's faults, each once: "Xid 79, 94"; "lost" for one without a code.
func faultWords(all []devices.Fault) string {
	var words []string
	last := ""
	for _, f := range all {
		code := f.Code
		if code == "" {
			code = "lost"
		}
		if slices.Contains(words, code) {
			continue
		}
		words = append(words, code)
	}
	for i, w := range words {
		if name, number, ok := strings.Cut(w, " "); ok && name == last {
			words[i] = number
		} else {
			last = name
		}
	}
	return strings.Join(words, ", ")
}

// noteFaults tells of them below a container's output.
func (s *session) noteFaults(c runtime.Container) {
	for _, f := range c.Faults {
		what := f.PCI
		for _, n := range c.DeviceNumbers {
			if isAbout(f, n) && n.Index >= 0 {
				what = fmt.Sprintf("%s %d (%s)", devices.Noun(n.Kind), n.Index, n.PCI)
			}
		}
		code := f.Code
		if code != "" {
			code += ", "
		}
		from := ""
		if f.PID > 0 {
			from = fmt.Sprintf(" (process %d", f.PID)
			if f.Program != "" {
				from += ", " + f.Program
			}
			from += ")"
		}
		s.note("%s: %s%s at %s%s", what, code, f.Text, f.Time.Format(time.RFC3339), from)
	}
}

const starvedWords = "out of memory: the kernel has killed a process of it (mem_limit:, or the machine's own memory)"

// noteMemory tells why a container in the foreground ended by SIGKILL, where it was for memory.
func (s *session) noteMemory(ctx context.Context, client *runtime.Client, id string, status int) {
	if status == 128+int(unix.SIGKILL) && client.OutOfMemory(ctx, id) {
		s.note("container %s: %s", id, starvedWords)
	}
}
