package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

// A line of stats compares two moments; what nobody counts is a dash in the table and absent from the JSON.
func TestStatsLines(t *testing.T) {
	begin := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	busy, unknown := 90, runtime.Usage{CPU: -1, Memory: -1, MemoryLimit: -1, NetRx: -1, NetTx: -1, BlockRead: -1, BlockWrite: -1, PIDs: -1}
	gpu := func(name string, index int) plan.DeviceNumber {
		return plan.DeviceNumber{Kind: devices.KindGPU, Name: name, Index: index}
	}
	all := []listed{
		{Container: runtime.Container{Container: "train", Profile: "train", DeviceNumbers: []plan.DeviceNumber{gpu("a", 3), gpu("b", 4)}}},
		{Container: runtime.Container{Container: "new", Profile: "new"}},
		{Container: runtime.Container{Container: "dark", Profile: "dark", DeviceNumbers: []plan.DeviceNumber{gpu("c", 5)}}},
		{Container: runtime.Container{Container: "over", Profile: "over"}},
	}
	usage := runtime.Usage{CPU: 10 * time.Second, Memory: 512 << 20, MemoryLimit: 2 << 30, NetRx: 1500, NetTx: 2_000_000, BlockRead: 0, BlockWrite: 4096, PIDs: 12}
	before := usage
	before.CPU = 9 * time.Second
	device := func(energy uint64) busyDevice {
		return busyDevice{busyness{MemoryUsed: 40 << 30, Utilization: &busy, Power: 350_500, Energy: energy}, 80 << 30}
	}
	const kind = devices.KindGPU + "="
	first := counters{at: begin, usage: map[string]runtime.Usage{"train": before}, devices: map[string]busyDevice{kind + "a": device(1_000_000), kind + "b": device(5_000_000)}}
	last := first
	now := counters{at: begin.Add(500 * time.Millisecond), usage: map[string]runtime.Usage{"train": usage, "new": usage, "dark": unknown},
		devices: map[string]busyDevice{kind + "a": device(1_350_000), kind + "b": device(5_350_500)}}
	lines := statsLines(all, first, last, now)
	var table, text bytes.Buffer
	if err := show(&table, "table", lines, statsTable()); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"NAME CPU % MEM USAGE / LIMIT MEM % NET I/O BLOCK I/O PIDS DEVICES UTIL DEVICE MEM POWER ENERGY",
		"train 200.00% 512MiB / 2GiB 25.00% 1.5kB / 2MB 0B / 4.1kB 12 GPU 3,4 90% 80GiB / 160GiB 701 W 700.5 J",
		"new - 512MiB / 2GiB 25.00% 1.5kB / 2MB 0B / 4.1kB 12 - - - - -",
		"dark - - - - - - GPU 5 - - - -",
		"over - - - - - - - - - - -",
	}
	for i, line := range strings.Split(strings.TrimSpace(table.String()), "\n") {
		if got := strings.Join(strings.Fields(line), " "); i >= len(want) || got != want[i] {
			t.Errorf("line %d: %q", i, got)
		}
	}
	if err := show(&text, "json", lines, statsTable()); err != nil {
		t.Fatal(err)
	}
	var objects []map[string]any
	for line := range strings.Lines(text.String()) {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o)
	}
	if o := objects[0]; o["schema"] != 1.0 || o["cpu_percent"] != 200.0 || o["pids"] != 12.0 || o["devices"].([]any)[0].(map[string]any)["joules"] != 350.0 {
		t.Errorf("%v", o)
	}
	if o := objects[2]; len(o) != 4 || len(o["devices"].([]any)[0].(map[string]any)) != 1 {
		t.Errorf("what is not known is absent: %v", o)
	}
	if got := energy(72000); got != "20.0 Wh" {
		t.Error(got)
	}
}
