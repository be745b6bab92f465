package ascend

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// states are npu-smi's words for health (npu_common.c, health_state_list), and whether a container may have such a chip.
var states = map[string]string{"OK": "ok", "Warning": "warn", "Alarm": "warn", "Critical": "bad"}

// askHealth asks npu-smi. That it does not answer costs the knowledge of health, and no device.
func (l *listing) askHealth(ctx context.Context) []finding.Finding {
	l.health = "npu-smi was not found"
	if l.source.npusmi == nil {
		return nil
	}
	var whole []npu
	for _, n := range l.nodes {
		if !n.virtual {
			whole = append(whole, n)
		}
	}
	if len(whole) == 0 {
		return nil
	}
	var err error
	if l.asked, err = l.source.ask(ctx, whole, l.functions); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	l.health = ""
	if err != nil {
		l.health = err.Error()
		return []finding.Finding{{
			ID: finding.AscendHealth, Severity: finding.Warning, Subject: "npu-smi", Message: "the health of the NPUs is unknown: " + err.Error(),
			Remedy: "run npu-smi info; one that hangs or fails tells of a card or a driver that is not well",
		}}
	}
	l.joinByAsking()
	return nil
}

// joinByAsking takes the PCI addresses that npu-smi prints for functions that the driver's table does not name.
func (l *listing) joinByAsking() {
	for i := range l.functions {
		if len(l.functions[i].ids) > 0 {
			continue
		}
		for id, c := range l.asked.chips {
			if c.pci == l.functions[i].address {
				l.functions[i].ids = append(l.functions[i].ids, id)
			}
		}
		slices.Sort(l.functions[i].ids)
	}
}

// healthOf joins what the node, the driver and npu-smi say. A chip that can't be opened is bad, whatever npu-smi says.
func (l *listing) healthOf(n npu, id int) devices.Health {
	if n.stale {
		return devices.Health{State: "bad", Reasons: []string{n.Path + " has a major number that the driver does not have now: No such device or address"}}
	}
	for _, d := range l.uda {
		if d.id == n.id && d.suspended {
			return devices.Health{State: "bad", Reasons: []string{"the driver has suspended it (/proc/uda/udevice)"}}
		}
	}
	c, ok := l.asked.chips[id]
	if !ok {
		h := devices.Health{State: "unknown"}
		if l.health != "" {
			h.Reasons = []string{l.health}
		}
		return h
	}
	state, known := states[c.health]
	switch {
	case !known:
		return devices.Health{State: "unknown", Reasons: []string{"npu-smi: " + c.health}}
	case state == "ok":
		return devices.Health{State: state}
	}
	return devices.Health{State: state, Reasons: []string{"npu-smi: " + c.health}}
}
