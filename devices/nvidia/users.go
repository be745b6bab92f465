package nvidia

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/devices"
)

// daemons hold GPUs for everybody, by the names that the kernel keeps (15 characters, TASK_COMM_LEN): persistence, monitoring,
// the fabric, Kubernetes' plugins, the multi-process service, whose clients count, and desktops, which draw and do not compute.
var daemons = []string{"nvidia-persiste", "nv-hostengine", "dcgm-exporter", "nv-fabricmanage", "nvidia-imex", "nvidia-powerd", "nvidia-smi",
	"nvidia-device-p", "gpu-feature-dis", "nvidia-mig-mana", "nvidia-cuda-mps", "nvtop", "nvitop", "gpustat", "btop", "hostrun-nvml", "Xorg", "Xwayland", "gnome-shell", "kwin_wayland", "gdm-x-session"}

// addUsers notes who holds each GPU: the processes that have its node open, and those that NVML names, where it was asked just now. A
// partition is held by who has the node of its compute instance open.
func (m machine) addUsers(all []devices.Device, r record, now bool) {
	holders := m.holders()
	for i, d := range all {
		pids := map[int]bool{}
		if len(d.Nodes) > 0 {
			own := d.Nodes[0] // /dev/nvidiaN
			if d.Parent != "" {
				own = d.Nodes[len(d.Nodes)-1]
			}
			for _, pid := range holders[own] {
				pids[pid] = true
			}
		}
		if now {
			for _, pid := range r.processes(d) {
				pids[pid] = true
			}
		}
		for _, pid := range sorted(pids) {
			if u, ok := m.user(pid); ok {
				all[i].Users = append(all[i].Users, u)
			}
		}
	}
}

// processes returns the PIDs that NVML names for a device: for a partition those of its GPU instance.
func (r record) processes(d devices.Device) []int {
	facts := gpuFacts(d)
	var pids []int
	for _, g := range r.Answer.GPUs {
		if g.PCI != d.PCI {
			continue
		}
		for _, p := range g.Processes {
			if facts.GI == nil || p.GI != nil && *p.GI == *facts.GI {
				pids = append(pids, p.PID)
			}
		}
	}
	return pids
}

func sorted(set map[int]bool) []int {
	all := make([]int, 0, len(set))
	for n := range set {
		all = append(all, n)
	}
	slices.Sort(all)
	return all
}

// holders returns who has which node of NVIDIA's open, by the links of /proc/PID/fd. Processes of others are invisible to who is
// not root, and one that ends meanwhile holds nothing.
func (m machine) holders() map[string][]int {
	found := map[string][]int{}
	for _, name := range m.kernelNames("/proc") {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := m.under("/proc/" + name + "/fd")
		fds, err := os.ReadDir(dir)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			target, err := os.Readlink(filepath.Join(dir, fd.Name()))
			if err == nil && strings.HasPrefix(target, "/dev/nvidia") && !slices.Contains(found[target], pid) {
				found[target] = append(found[target], pid)
			}
		}
	}
	return found
}

// user describes a process; false for a daemon, and for one that is gone.
func (m machine) user(pid int) (devices.User, bool) {
	dir := "/proc/" + strconv.Itoa(pid)
	name := m.text(dir + "/comm")
	if name == "" || slices.Contains(daemons, name) {
		return devices.User{}, false
	}
	if c := devices.ContainerOf(m.text(dir + "/cgroup")); c != "" {
		name += " in " + c
	}
	return devices.User{PID: pid, Name: name}, true
}
