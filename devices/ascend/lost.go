package ascend

import (
	"fmt"
	"slices"
	"strings"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// markLoneDies marks dies whose card is not whole: one that is given alone is a card of which the other half is broken. A machine with
// no whole card at all and no chip without a node is a virtual one that was given dies, and has what it has.
func (l *listing) markLoneDies(all []devices.Device) {
	groups := map[string]int{}
	for _, d := range all {
		groups[d.Group]++
	}
	dies := ascend910C.dies
	lost := len(l.withoutNodes()) > 0
	for _, n := range groups {
		lost = lost || n == dies
	}
	for i := range all {
		d := &all[i]
		if d.Group == "" || groups[d.Group] >= dies || !lost {
			continue
		}
		other := slices.DeleteFunc(siblings(d.Index, dies), func(id int) bool { return id == d.Index })
		why := fmt.Sprintf("the other die of its card, NPU %s, has no device node", strings.Trim(fmt.Sprint(other), "[]"))
		reasons := []string{why}
		if d.Health.State != "unknown" {
			reasons = append(reasons, d.Health.Reasons...)
		}
		d.Health = devices.Health{State: "bad", Reasons: reasons}
	}
}

// siblings are the physical ids of a card's dies.
func siblings(id, dies int) []int {
	var all []int
	for i := range dies {
		all = append(all, id-id%dies+i)
	}
	return all
}

// withoutNodes are findings about chips that the PCI bus has and /dev has not.
func (l *listing) withoutNodes() []finding.Finding {
	have := map[int]bool{}
	whole := 0
	for _, n := range l.nodes {
		if !n.virtual {
			have[n.id] = true
			whole++
		}
	}
	var lost []string
	expected := 0
	for _, f := range l.functions {
		expected += max(1, len(f.ids))
		if len(f.ids) == 0 {
			lost = append(lost, f.address+" ("+f.family.chip+")")
		}
		for _, id := range f.ids {
			switch {
			case have[id]:
			case len(f.ids) == 1:
				lost = append(lost, f.address+" ("+f.family.chip+")")
			default: // of a 300I Duo
				lost = append(lost, fmt.Sprintf("%s (%s, NPU %d)", f.address, f.family.chip, id))
			}
		}
	}
	switch {
	case len(lost) == 0 || whole >= expected: // without the driver's table nodes and functions are merely not joined
		return nil
	case whole == 0:
		return []finding.Finding{notLoaded(lost)}
	}
	return []finding.Finding{{
		ID: finding.AscendNotLoaded, Severity: finding.Warning, Subject: "/dev/davinci*",
		Got: fmt.Sprintf("%d nodes", whole), Want: fmt.Sprintf("%d, one for each chip", expected),
		Message: fmt.Sprintf("NPUs without a device node: the driver has not brought up %s", strings.Join(lost, ", ")),
		Remedy:  "look for devdrv and the PCI address in dmesg; npu-smi info -l counts the cards that the driver has",
	}}
}

// withoutShared are warnings about nodes that all NPUs need, for those who look; who asks for an NPU is refused by Edits.
func (l *listing) withoutShared() []finding.Finding {
	var all []finding.Finding
	for _, name := range l.family.required {
		if p := "/dev/" + name; len(l.nodes) > 0 && !l.source.view.Exists(p) && !l.source.view.Exists(p+"_docker") {
			all = append(all, missingNode(p, finding.Warning))
		}
	}
	return all
}

// notLoaded is what who asks for an NPU is told.
func notLoaded(functions []string) finding.Finding {
	return finding.Finding{
		ID: finding.AscendNotLoaded, Severity: finding.Error, Subject: "/dev/davinci*",
		Got: "no node", Want: "one for each chip",
		Message: fmt.Sprintf("the driver is not loaded: the PCI bus has %s, and /dev has no davinci node", strings.Join(functions, ", ")),
		Remedy:  "lsmod | grep -E 'drv_|asdrv_' shows whether it is; after a kernel update build it again (dkms autoinstall), or run the driver's installer",
	}
}
