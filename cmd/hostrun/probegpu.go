package main

import (
	"context"
	"fmt"
	"strings"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
	"hostrun.dev/hostrun/supervise"
)

// probeAccelerators is healthcheck's gpu: the container's devices are there, are not called bad by their vendor's library or tool, and
// the kernel's log has no fault of theirs since the container's start that is not a program's own.
func (s *session) probeAccelerators(ctx context.Context, client *runtime.Client, c supervise.Container) supervise.ProbeResult {
	ctx, cancel := context.WithTimeout(ctx, supervise.Timeout(c.Check))
	defer cancel()
	numbers, err := client.Numbers(ctx, c.ID)
	if err != nil {
		return supervise.ProbeResult{Output: err.Error()}
	}
	one := runtime.Container{Container: c.ID, StartedAt: &c.StartedAt, DeviceNumbers: numbers}
	s.addFaults(&one)
	e := s.equipment(nil)
	inventories := map[string]devices.Inventory{}
	var ill []string
	for _, n := range numbers {
		if _, seen := inventories[n.Kind]; !seen {
			inv, err := e.look(ctx, n.Kind, false, devices.Needs{Health: true})
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				ill = append(ill, fmt.Sprintf("the %ss can't be asked: %v", devices.Noun(n.Kind), err))
			}
			inventories[n.Kind] = inv
		}
	}
	ill = append(ill, illDevices(numbers, inventories, one.Faults)...)
	if len(ill) == 0 {
		return supervise.ProbeResult{Healthy: true}
	}
	return supervise.ProbeResult{Output: strings.Join(ill, "; ")}
}

// illDevices says what is wrong with each device of a container.
func illDevices(numbers []plan.DeviceNumber, inventories map[string]devices.Inventory, faults []devices.Fault) []string {
	var ill []string
	if len(numbers) == 0 {
		ill = append(ill, "the container has no GPU and no NPU")
	}
	for _, n := range numbers {
		d, there := deviceOf(inventories[n.Kind], n)
		switch {
		case !there:
			ill = append(ill, n.String()+": it is not there any more")
		case d.Health.State == "bad":
			ill = append(ill, strings.TrimSuffix(n.String()+": "+strings.Join(d.Health.Reasons, ", "), ": "))
		}
		for _, f := range faults {
			if !f.Job && isAbout(f, n) {
				ill = append(ill, strings.TrimSpace(fmt.Sprintf("%s: %s %s", n, f.Code, f.Text)))
			}
		}
	}
	return ill
}

func deviceOf(inv devices.Inventory, n plan.DeviceNumber) (devices.Device, bool) {
	for _, d := range inv.Devices {
		if d.Name == n.Name && (n.PCI == "" || d.PCI == "" || strings.EqualFold(d.PCI, n.PCI)) {
			return d, true
		}
	}
	return devices.Device{}, false
}
