package ascend

import (
	"strconv"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// /proc/uda tells which mount namespace has taken an NPU (hicann/driver, src/sdk_driver/pbl/uda/uda_proc_fs.c). The driver gives an
// NPU to the first mount namespace besides the host's that opens it, and refuses all others until that one's first process is gone.

// A udaDevice is a block of /proc/uda/udevice.
type udaDevice struct {
	id         int
	suspended  bool
	chip       string
	namespaces []int // numbers of those that hold it; more than one where sharing is on
}

// A udaNamespace is a block of /proc/uda/namespace_node.
type udaNamespace struct {
	id      int
	rootPID int   // of its first process, as the host counts
	devices []int // physical ids, in the order of the numbers that they have in there
}

var (
	udaHead  = pattern.New(`^udevid (\d+) .*status '(\w+)`)
	udaChip  = pattern.New(`chip_type (\w+)`)
	udaUser  = pattern.New(`used by (?:container, )?ns id:?((?: \d+)*)`)
	udaOwner = pattern.New(`^ns_id (\d+) .*root_tgid (\d+)`)
)

func parseUDevices(text string) []udaDevice {
	var all []udaDevice
	for line := range strings.Lines(text) {
		if m := udaHead.FindStringSubmatch(line); m != nil {
			id, err := strconv.Atoi(m[1])
			if err != nil || len(all) >= maxIDs {
				return all
			}
			d := udaDevice{id: id, suspended: m[2] == "suspend"}
			if c := udaChip.FindStringSubmatch(line); c != nil {
				d.chip = c[1]
			}
			all = append(all, d)
			continue
		}
		if m := udaUser.FindStringSubmatch(line); m != nil && len(all) > 0 {
			last := &all[len(all)-1]
			last.namespaces = append(last.namespaces, numbers(m[1])...)
		}
	}
	return all
}

func parseUDANamespaces(text string) []udaNamespace {
	var all []udaNamespace
	for line := range strings.Lines(text) {
		if m := udaOwner.FindStringSubmatch(line); m != nil {
			ids := numbers(m[1] + " " + m[2])
			if len(ids) == 2 {
				all = append(all, udaNamespace{id: ids[0], rootPID: ids[1]})
			}
			continue
		}
		if ids := numbers(line); len(ids) == 2 && len(all) > 0 {
			last := &all[len(all)-1]
			last.devices = append(last.devices, ids[1])
		}
	}
	return all
}

// numbers are the fields of text if all of them are numbers, else none.
func numbers(text string) []int {
	var all []int
	for _, field := range strings.Fields(text) {
		n, err := strconv.Atoi(field)
		if err != nil || n < 0 {
			return nil
		}
		all = append(all, n)
	}
	return all
}
