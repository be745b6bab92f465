package main

import (
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

// A fault is told of those containers that had the device then; a living process tells which one of several it was.
func TestFaultVictims(t *testing.T) {
	begin := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	end := begin.Add(time.Hour)
	gpu := func(pci, name string, index int) []plan.DeviceNumber {
		return []plan.DeviceNumber{{Kind: devices.KindGPU, Name: name, Index: index, PCI: pci}}
	}
	all := []*runtime.Container{
		{Container: "train", StartedAt: &begin, DeviceNumbers: gpu("0000:c1:00.0", "0000:c1:00.0", 3)},
		{Container: "shared", StartedAt: &begin, DeviceNumbers: gpu("0000:c1:00.0", "0000:c1:00.0", 3)},
		{Container: "over", StartedAt: &begin, FinishedAt: &end, DeviceNumbers: gpu("0000:d1:00.0", "0000:d1:00.0", 4)},
		{Container: "part1", StartedAt: &begin, DeviceNumbers: gpu("0000:e1:00.0", "0000:e1:00.0-gi1-ci0", -1)},
		{Container: "part12", StartedAt: &begin, DeviceNumbers: gpu("0000:e1:00.0", "0000:e1:00.0-gi12-ci0", -1)},
		{Container: "never", DeviceNumbers: gpu("0000:c1:00.0", "0000:c1:00.0", 3)},
		{Container: "cpu", StartedAt: &begin},
	}
	cgroups := map[int]string{7: "5:devices:/hostrun/shared\n0::/\n", 8: "0::/user.slice\n", 9: "5:devices:/other/shared\n"}
	at := func(d time.Duration, pci, part string, pid int, job bool) devices.Fault {
		return devices.Fault{Time: begin.Add(d), Kind: devices.KindGPU, PCI: pci, Part: part, PID: pid, Job: job}
	}
	for name, c := range map[string]struct {
		fault devices.Fault
		want  string
	}{
		"a dead GPU is everybody's":               {at(time.Minute, "0000:c1:00.0", "", 7, false), "train shared"},
		"a program's own fault":                   {at(time.Minute, "0000:c1:00.0", "", 7, true), "shared"},
		"of a program of nobody's":                {at(time.Minute, "0000:c1:00.0", "", 8, true), ""},
		"of another namespace's of the same name": {at(time.Minute, "0000:c1:00.0", "", 9, true), ""},
		"of a program that is gone":               {at(time.Minute, "0000:c1:00.0", "", 99, true), "train shared"},
		"before it began":                         {at(-time.Minute, "0000:c1:00.0", "", 0, false), ""},
		"the clocks differ a little":              {at(-time.Second, "0000:c1:00.0", "", 0, false), "train shared"},
		"that ended it":                           {at(time.Hour+time.Second, "0000:d1:00.0", "", 0, false), "over"},
		"after its end":                           {at(time.Hour+time.Minute, "0000:d1:00.0", "", 0, false), ""},
		"of a partition":                          {at(time.Minute, "0000:e1:00.0", "GPU-I:01", 0, false), "part1"},
		"of a partition with two digits":          {at(time.Minute, "0000:E1:00.0", "GPU-I:12", 0, false), "part12"},
		"of the whole GPU, with partitions":       {at(time.Minute, "0000:e1:00.0", "", 0, false), "part1 part12"},
		"of a partition, told of the whole GPU":   {at(time.Minute, "0000:c1:00.0", "GPU-I:01", 0, false), "train shared"},
		"of a device that nobody has":             {at(time.Minute, "0000:0f:00.0", "", 0, false), ""},
	} {
		var got []string
		for _, v := range victims(c.fault, all, "hostrun", func(pid int) string { return cgroups[pid] }) {
			got = append(got, v.Container)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: %v, want %q", name, got, c.want)
		}
	}
}

func TestFaultWords(t *testing.T) {
	of := func(codes ...string) (all []devices.Fault) {
		for _, c := range codes {
			all = append(all, devices.Fault{Code: c})
		}
		return all
	}
	for want, codes := range map[string][]string{"Xid 79": {"Xid 79", "Xid 79"}, "Xid 13, 94": {"Xid 13", "Xid 94"}, "lost": {""}, "Xid 79, lost": {"Xid 79", ""}} {
		if got := faultWords(of(codes...)); got != want {
			t.Errorf("%v: %q, want %q", codes, got, want)
		}
	}
	c := runtime.Container{DeviceNumbers: []plan.DeviceNumber{{Kind: devices.KindGPU, Index: 3}, {Kind: devices.KindGPU, Index: 4}}, Faults: of("Xid 79")}
	if got := deviceList(c); got != "GPU 3,4 (Xid 79)" {
		t.Error(got)
	}
}
