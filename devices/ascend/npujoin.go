package ascend

import (
	"context"
	"fmt"
)

// asked is what npu-smi has told, by physical id.
type asked struct {
	chips     map[int]smiChip
	processes map[int][]smiProcess
	joined    bool // each of its lines is one of the nodes: one that it does not name it does not list
}

// ask runs npu-smi and finds out which line belongs to which of the nodes. What it printed before it failed counts, and the error is
// returned with it.
func (s *Source) ask(ctx context.Context, whole []npu, functions []function) (asked, error) {
	a := asked{map[int]smiChip{}, map[int][]smiProcess{}, true}
	out, failed := s.runNPUSMI(ctx, "info")
	chips, processes := parseInfo(string(out))
	switch {
	case failed != nil && len(chips) == 0:
		return a, failed
	case len(chips) == 0:
		return a, fmt.Errorf("npu-smi info printed no table that is known: %.80q", out)
	}
	j := joiner{whole: whole, functions: functions, last: -1}
	for _, c := range chips {
		j.last = max(j.last, c.logic)
	}
	for i := range chips {
		id := j.physicalOf(chips[i])
		if id < 0 && j.mappings == nil {
			out, _ := s.runNPUSMI(ctx, "info", "-m")
			j.mappings = append(parseSMIMapping(string(out)), smiMapping{card: -1, logic: -1})
			id = j.physicalOf(chips[i])
		}
		if id < 0 {
			a.joined = false
			continue
		}
		chips[i].physical = id
		a.chips[id] = chips[i]
	}
	for _, p := range processes {
		for id, c := range a.chips {
			if c.card == p.card && (c.chip == p.chip || p.chip < 0) {
				a.processes[id] = append(a.processes[id], p)
			}
		}
	}
	return a, failed
}

// A joiner knows which node a line of npu-smi's table is about.
type joiner struct {
	whole     []npu
	functions []function
	mappings  []smiMapping // of info -m; nil before it was asked
	last      int          // the highest number among the machine's chips that the table has
}

// physicalOf returns the physical id of a line, -1 where it can't be told: by Phy-ID, by the PCI address and, where several chips have
// it, the number of the chip, by the number among the machine's chips, or by npu-smi info -m.
func (j joiner) physicalOf(c smiChip) int {
	if c.physical >= 0 {
		return c.physical
	}
	for _, f := range j.functions {
		switch {
		case c.pci == "" || f.address != c.pci:
		case len(f.ids) == 1:
			return f.ids[0]
		case c.chip < len(f.ids):
			return f.ids[c.chip]
		}
	}
	if id := j.numbered(c.logic, j.last); id >= 0 {
		return id
	}
	last := -1
	for _, m := range j.mappings {
		last = max(last, m.logic)
	}
	for _, m := range j.mappings {
		switch {
		case m.card != c.card || m.chip != c.chip:
		case m.physical >= 0:
			return m.physical
		default:
			return j.numbered(m.logic, last)
		}
	}
	return -1
}

// numbered is the node of a number that the driver gives out in the order of the physical ids. Where it has given out fewer than there are
// nodes, a chip has dropped out, and all behind it may have moved up.
func (j joiner) numbered(logic, last int) int {
	if logic < 0 || last+1 != len(j.whole) {
		return -1
	}
	return j.whole[logic].id
}
