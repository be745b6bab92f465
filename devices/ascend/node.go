package ascend

import (
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
)

// ownNode is an NPU's own node. davinci_manager must not match: it is nobody's own.
var ownNode = pattern.New(`^(v?)davinci(\d{1,4})$`)

// An npu is a node of one chip, or of a part of one (vdavinci).
type npu struct {
	devices.Node
	id      int // physical id: the minor number, whatever the node is called (hicann/driver, pbl/uda)
	virtual bool
	stale   bool // its major number is not the one that the driver has now
}

// name is CDI's name, and the lease's key.
func (n npu) name() string {
	if n.virtual {
		return "vdavinci" + strconv.Itoa(n.id)
	}
	return strconv.Itoa(n.id)
}

// parent is the physical id of the chip that a virtual NPU is a part of: vdavinci numbers are 100 + 16 * parent and up
// (mind-cluster, ascend-common: BaseDeviceNum, the 16 virtual devices of a chip).
func (n npu) parent() int { return (n.id - 100) / 16 }

// readNodes lists the chips' own nodes by physical id, whole ones first. What is called so and is no node is a finding.
func (s *Source) readNodes() ([]npu, []finding.Finding) {
	var requests []devices.Request
	for _, name := range names(s.view, "/dev") {
		if ownNode.MatchString(name) {
			requests = append(requests, devices.Request{Source: "/dev/" + name})
		}
	}
	nodes, findings := devices.Nodes(s.root, requests)
	for i := range findings {
		findings[i].Severity = finding.Warning // the others can be given
	}
	majors := parseMajors(text(s.view, "/proc/devices"))
	byID := map[string]npu{}
	for _, node := range nodes {
		n := newNPU(node)
		class := "devdrv-cdev"
		if n.virtual {
			class = "vdevdrv-cdev"
		}
		if major, ok := majors[class]; ok {
			n.stale = major != n.Major
		}
		if old, ok := byID[n.name()]; !ok || old.stale && !n.stale {
			byID[n.name()] = n
		}
	}
	var all []npu
	for _, n := range byID {
		all = append(all, n)
	}
	slices.SortFunc(all, func(a, b npu) int {
		if a.virtual != b.virtual {
			return map[bool]int{false: -1, true: 1}[a.virtual]
		}
		return a.id - b.id
	})
	return all, findings
}

func newNPU(node devices.Node) npu {
	n := npu{Node: node, id: int(node.Minor)}
	if m := ownNode.FindStringSubmatch(strings.TrimPrefix(node.Path, "/dev/")); m != nil {
		n.virtual = m[1] != ""
	}
	return n
}

// parseMajors reads the character devices of /proc/devices: driver's name -> major number.
func parseMajors(text string) map[string]int64 {
	all := map[string]int64{}
	_, text, _ = strings.Cut(text, "Character devices:")
	text, _, _ = strings.Cut(text, "Block devices:")
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) != 2 {
			continue
		}
		if n, err := strconv.ParseInt(fields[0], 10, 32); err == nil && n >= 0 {
			all[fields[1]] = n
		}
	}
	return all
}
