package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

type devicesOptions struct {
	format string
	wide   bool
}

func devicesCommand(s *session) *cli.Command {
	var o devicesOptions
	return &cli.Command{
		Name: "devices", Category: "look", Usage: "list accelerators, their health and who holds them", ArgsUsage: "[KIND]",
		Description: page{
			about: "Lists the GPUs, NPUs and devices of CDI files of this machine; with a kind (nvidia.com/gpu) only those. The holder is a container of hostrun, or in brackets what " +
				"else uses the device. --wide adds all names, nodes, processors and reasons. The fields of the JSON form are the names that a template takes; below facts are the kind's own. What is wrong with the machine is told on stderr, and is in findings.",
			examples: []string{"hostrun devices", "hostrun devices --wide nvidia.com/gpu", "hostrun devices --format '{{.name}} {{.health.state}} {{.holder}}'"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "wide", Usage: "show more columns", Destination: &o.wide},
			formatFlag(&o.format),
		},
		Action: action(func(ctx context.Context) error { return runDevices(ctx, s, o) }),
	}
}

// A deviceLine is one object of devices --format json; the form is part of the contract.
type deviceLine struct {
	Schema int `json:"schema"` // 1
	devices.Device
	Driver  string   `json:"driver,omitempty"`
	Holder  string   `json:"holder"`            // container of hostrun; several, of a shared device, with commas
	Holders []string `json:"holders,omitempty"` // the same as a list
	Waiters []string `json:"waiters"`           // containers that may get it next, first come first
	// Findings are what is wrong with all of the kind. Where that leaves no device, a line without a name has them.
	Findings []finding.Finding `json:"findings,omitempty"`
	// Machine holds the kind's own facts about all of it: of NPUs driver, firmware and CANN.
	Machine json.RawMessage `json:"machine,omitempty"`
}

func runDevices(ctx context.Context, s *session, o devicesOptions) error {
	kinds, err := s.names(wants{what: "kind", max: 1}, false)
	if err != nil {
		return err
	}
	lines, found, trouble := s.deviceLines(ctx, kinds)
	s.progress.end()
	s.tell(found)
	if o.format != "json" {
		lines = slices.DeleteFunc(lines, func(d deviceLine) bool { return d.Name == "" })
	}
	if len(lines) == 0 && trouble == nil && o.format == "table" {
		if len(found) == 0 {
			s.note("this machine has no accelerator that hostrun knows of")
		}
		return nil
	}
	shown := show(s.stdout, o.format, lines, deviceTable(o.wide))
	if o.format == "table" {
		writeMachines(s.stdout, lines)
	}
	return severally([]error{shown, trouble})
}

// writeMachines writes below the table what is true of all devices of a kind.
func writeMachines(w io.Writer, lines []deviceLine) {
	told := map[string]bool{}
	for _, d := range lines {
		if words := npuMachine(d.Machine); d.Kind == devices.KindNPU && words != "" && !told[d.Kind] {
			told[d.Kind] = true
			fmt.Fprintf(w, "\n%s\n", words)
		}
	}
}

// npuMachine is "Ascend 910B (Atlas A2), driver 25.0.rc1.1 in /usr/local/Ascend/driver, firmware 7.7.0.1.231, CANN 8.2.RC1 in ...".
func npuMachine(facts json.RawMessage) string {
	var m ascend.Facts
	if json.Unmarshal(facts, &m) != nil || m.Driver.Directory == "" { // of a CDI file
		return ""
	}
	words := []string{cmp.Or(m.Product, "Ascend"), "driver " + cmp.Or(m.Driver.Version, "of unknown version") + " in " + m.Driver.Directory}
	words = append(words, "firmware "+cmp.Or(m.Driver.Firmware, "of unknown version"))
	for _, t := range m.Toolkits {
		words = append(words, "CANN "+cmp.Or(t.Version, "of unknown version")+" in "+t.Directory)
	}
	if len(m.Toolkits) == 0 {
		words = append(words, "no CANN on the host")
	}
	return strings.Join(words, ", ")
}

// deviceLines puts inventories, leases and the queue together. What one kind is missing costs its own lines only.
func (s *session) deviceLines(ctx context.Context, kinds []string) (lines []deviceLine, found []finding.Finding, trouble error) {
	e := s.equipment(nil)
	if len(kinds) == 0 {
		kinds = e.kinds()
	}
	found = e.openCDI().Findings()
	waiting := runtime.Waiters(s.abs(s.global.stateDir))
	var troubles []error
	var all []devices.Inventory
	for _, kind := range kinds {
		inv, err := e.look(ctx, kind, true, devices.Needs{Health: true, Users: true})
		if errors.Is(err, devices.ErrAbsent) {
			continue
		}
		troubles = append(troubles, err)
		found = append(found, inv.Findings...)
		inv.Kind = kind
		all = append(all, inv)
	}
	holders := s.holders(ctx, all)
	for _, inv := range all {
		kind := inv.Kind
		waiters := waitersOf(inv, waiting)
		if len(inv.Devices) == 0 {
			inv.Devices = []devices.Device{{Kind: kind, Index: -1, NUMA: -1}}
		}
		for _, d := range inv.Devices {
			line := deviceLine{Schema: 1, Device: d, Driver: inv.Driver, Holders: holders[d.Kind+"="+d.Name], Waiters: waiters[d.Name], Findings: inv.Findings, Machine: inv.Facts}
			if line.Waiters == nil {
				line.Waiters = []string{}
			}
			line.Holder = strings.Join(line.Holders, ",")
			lines = append(lines, line)
		}
	}
	return lines, found, severally(troubles)
}

// holders are the containers that hold each device now, by its qualified name; also those whose containerd is away.
func (s *session) holders(ctx context.Context, invs []devices.Inventory) map[string][]string {
	all := map[string][]string{}
	strays := runtime.LookForStrays(s.abs(s.global.dataDir), s.deviceNumbers(invs))
	var found []runtime.Holding
	for _, client := range s.allContainerds(ctx) {
		holdings, err := client.Holdings(ctx, strays)
		if err != nil {
			s.note("not all of who holds what is known: %v", err)
		}
		found = append(found, holdings...)
	}
	for _, holdings := range [][]runtime.Holding{found, strays.Leases()} {
		for _, h := range holdings {
			if h.Live {
				all[h.Kind+"="+h.Name] = append(all[h.Kind+"="+h.Name], h.Container)
			}
		}
	}
	for name := range all {
		slices.Sort(all[name])
	}
	return all
}

// waitersOf are those who may get each device.
func waitersOf(inv devices.Inventory, waiting []runtime.Waiter) map[string][]string {
	all := map[string][]string{}
	for _, w := range waiting {
		for _, name := range devices.Claims(inv, w.Asks) {
			if !slices.Contains(all[name], w.Container) {
				all[name] = append(all[name], w.Container)
			}
		}
	}
	return all
}

func deviceTable(wide bool) table[deviceLine] {
	t := table[deviceLine]{
		header: []string{"DEVICE", "MODEL", "MEMORY", "PCI", "NUMA", "HEALTH", "HOLDER", "WAITERS"},
		cells: func(d deviceLine) []string {
			return []string{deviceWords(d.Device), dash(d.Model), memoryWords(d.Memory), dash(d.PCI), numaWords(d.NUMA), dash(d.Health.State), holderWords(d), dash(strings.Join(d.Waiters, ","))}
		},
	}
	if !wide {
		return t
	}
	cells := t.cells
	t.header = append(t.header, "NAME", "ALIASES", "NODES", "CPUS", "DRIVER", "PART OF", "REASONS", "FACTS")
	t.cells = func(d deviceLine) []string {
		return append(cells(d), d.Name, dash(strings.Join(d.Aliases, ",")), dash(strings.Join(d.Nodes, ",")), dash(d.CPUs), dash(d.Driver),
			dash(d.Parent+d.Group), dash(strings.Join(d.Health.Reasons, ", ")), factWords(d.Facts))
	}
	return t
}

// deviceWords is "GPU 3", and below it "1g.10gb" and the name of a partition.
func deviceWords(d devices.Device) string {
	switch {
	case d.Parent != "":
		return "  " + strings.TrimSpace(d.Profile+" "+d.Name)
	case d.Index < 0:
		return devices.Noun(d.Kind) + " " + d.Name
	}
	return fmt.Sprintf("%s %d", devices.Noun(d.Kind), d.Index)
}

func memoryWords(n int64) string {
	if n == 0 {
		return "-"
	}
	return devices.Size(n)
}

func numaWords(n int) string {
	if n < 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

// holderWords is the containers that hold it, else what uses it without a lease.
func holderWords(d deviceLine) string {
	if d.Holder != "" || len(d.Users) == 0 {
		return dash(d.Holder)
	}
	words := "(" + d.Users[0].String()
	if n := len(d.Users) - 1; n > 0 {
		words += fmt.Sprintf(" and %d more", n)
	}
	return words + ")"
}

// factWords are the kind's own fields that are plain values.
func factWords(facts json.RawMessage) string {
	var fields map[string]any
	if json.Unmarshal(facts, &fields) != nil {
		return "-"
	}
	var words []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch v := fields[name].(type) {
		case string, float64, bool:
			words = append(words, fmt.Sprintf("%s=%v", name, v))
		}
	}
	return dash(strings.Join(words, " "))
}
