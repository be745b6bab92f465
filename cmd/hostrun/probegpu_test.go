package main

import (
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/plan"
)

// TestIllDevices: what healthcheck's gpu says of a container's devices.
func TestIllDevices(t *testing.T) {
	numbers := []plan.DeviceNumber{{Kind: devices.KindGPU, Number: 0, Name: "GPU-1", Index: 3, Node: "/dev/nvidia3", PCI: "0000:c1:00.0"}}
	well := func(change func(*devices.Device)) map[string]devices.Inventory {
		d := devices.Device{Kind: devices.KindGPU, Name: "GPU-1", Index: 3, PCI: "0000:C1:00.0", Health: devices.Health{State: "ok"}}
		change(&d)
		return map[string]devices.Inventory{devices.KindGPU: {Devices: []devices.Device{{Name: "GPU-0", PCI: "0000:01:00.0", Health: devices.Health{State: "bad"}}, d}}}
	}
	same := func(*devices.Device) {}
	fault := func(change func(*devices.Fault)) []devices.Fault {
		f := devices.Fault{Kind: devices.KindGPU, PCI: "0000:c1:00.0", Code: "Xid 79", Text: "GPU has fallen off the bus."}
		change(&f)
		return []devices.Fault{f}
	}
	for _, c := range []struct {
		name   string
		has    map[string]devices.Inventory
		faults []devices.Fault
		want   string // in the output; "" is healthy
	}{
		{"well", well(same), nil, ""},
		{"warned of, and used", well(func(d *devices.Device) { d.Health.State = "warn" }), nil, ""},
		{"bad", well(func(d *devices.Device) {
			d.Health = devices.Health{State: "bad", Reasons: []string{"2 uncorrectable errors"}}
		}), nil, "2 uncorrectable errors"},
		{"lost", map[string]devices.Inventory{}, nil, "not there any more"},
		{"another one in its place", well(func(d *devices.Device) { d.Name = "GPU-9" }), nil, "not there any more"},
		{"a fault", well(same), fault(func(*devices.Fault) {}), "Xid 79 GPU has fallen off the bus."},
		{"a fault of another one", well(same), fault(func(f *devices.Fault) { f.PCI = "0000:01:00.0" }), ""},
		{"the program's own fault", well(same), fault(func(f *devices.Fault) { f.Code, f.Job = "Xid 31", true }), ""},
	} {
		got := strings.Join(illDevices(numbers, c.has, c.faults), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := illDevices(nil, nil, nil); len(got) != 1 {
		t.Errorf("without devices: %v", got)
	}
}
