package ascend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// states are npu-smi's words for health (npu_common.c, health_state_list), and whether a container may have such a chip.
var states = map[string]string{"OK": "ok", "Warning": "warn", "Alarm": "warn", "Critical": "bad"}

// askHealth asks npu-smi, and joins by its table what the driver's does not.
func (l *listing) askHealth(ctx context.Context, key string) []finding.Finding {
	found := l.ask(ctx, key)
	l.joinByAsking()
	return found
}

// ask asks npu-smi, and keeps the answer under key. That it does not answer costs the knowledge of health, and no device.
func (l *listing) ask(ctx context.Context, key string) []finding.Finding {
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
	l.asked, err = l.source.ask(ctx, whole, l.functions)
	if ctx.Err() == nil { // what this command had no time to wait for may answer the next one
		l.source.store(key, l.asked, err)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return l.tellSilence(err)
}

// tellSilence tells that npu-smi has failed, and what of it is not known.
func (l *listing) tellSilence(err error) []finding.Finding {
	l.health = ""
	if err == nil {
		return nil
	}
	l.health = err.Error()
	f := silent(l.health)
	if n := len(l.asked.chips); n > 0 {
		f.Message = fmt.Sprintf("npu-smi told of %d %s, and failed: %s", n, devices.Nouns(Kind), l.health)
	}
	return []finding.Finding{f}
}

// silent is told where npu-smi is there and does not say how the NPUs are.
func silent(why string) finding.Finding {
	return finding.Finding{
		ID: finding.AscendHealth, Severity: finding.Warning, Subject: "npu-smi", Message: "the health of the NPUs is unknown: " + why,
		Remedy: "run npu-smi info; one that hangs or fails tells of a card or a driver that is not well",
	}
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
		switch {
		case l.health != "":
			return devices.Health{State: "unknown", Reasons: []string{l.health}}
		case len(l.asked.chips) > 0 && l.asked.joined: // a card that has dropped out keeps its node for a while
			return devices.Health{State: "warn", Reasons: []string{"npu-smi does not list it"}}
		}
		return devices.Health{State: "unknown"}
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
