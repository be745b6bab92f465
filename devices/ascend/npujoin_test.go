package ascend

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend/ascendtest"
)

// without cuts lines that match out of a table.
func without(text, lines string) string {
	return regexp.MustCompile(`(?m)^`+lines+`.*\n`).ReplaceAllString(text, "")
}

// states asks a machine whose npu-smi prints the table, and then fails with err, and returns the health of each NPU and what was told.
func statesOf(t *testing.T, m ascendtest.Machine, out string, failure error) (health map[string]devices.Health, told string) {
	t.Helper()
	root := t.TempDir()
	ascendtest.Build(t, root, m)
	s := New(root, NPUSMI(func(_ context.Context, args ...string) ([]byte, error) {
		if len(args) > 1 {
			return nil, errors.New("info -m is of no help")
		}
		return []byte(out), failure
	}))
	inv, err := s.Inventory(t.Context(), devices.Needs{Health: true})
	if err != nil {
		t.Fatal(err)
	}
	health = map[string]devices.Health{}
	for _, d := range inv.Devices {
		health[d.Name] = d.Health
	}
	for _, f := range inv.Findings {
		told += f.ID + " " + f.Message + "\n"
	}
	return health, told
}

// TestLinesThatNPUSMILeavesOut: npu-smi prints one line of a chip's two, or none, where it can't ask the chip. The next chips' lines were read
// one for the other, and all of an A3 behind it was unknown.
func TestLinesThatNPUSMILeavesOut(t *testing.T) {
	a2, a3, duo := table(t, "info-a2.txt"), table(t, "info-a3.txt"), table(t, "info-duo.txt")
	for name, c := range map[string]struct {
		machine ascendtest.Machine
		out     string
		lost    string
	}{
		"A2, a whole card":            {ascendtest.A2(), without(without(a2, `\| 4     910B4`), `\| 0  +\| 0000:81:00.0`), "4"},
		"A2, the first line":          {ascendtest.A2(), without(a2, `\| 4     910B4`), "4"},
		"A2, the second line":         {ascendtest.A2(), without(a2, `\| 0  +\| 0000:81:00.0`), "4"},
		"A3, the first line of a die": {ascendtest.A3(), strings.Replace(a3, "| 1     Ascend910           | OK            | 187.3", "+", 1), "2"},
		"A3, the second line":         {ascendtest.A3(), without(a3, `\| 0     6  `), "6"},
		"Duo, the second line":        {ascendtest.Duo(), without(duo, `\| 1       3 `), "3"},
		"Duo, the first chip, so that all numbers have moved up": {ascendtest.Duo(),
			strings.NewReplacer("| 1       1 ", "| 1       0 ", "| 0       2 ", "| 0       1 ", "| 1       3 ", "| 1       2 ").Replace(without(duo, `\| 0       0 `)), "0"},
	} {
		all, told := statesOf(t, c.machine, c.out, nil)
		for id, h := range all {
			want := h.State == "ok" || h.State == "warn" && strings.HasPrefix(h.Reasons[0], "npu-smi: ") || h.State == "bad"
			if id == c.lost {
				want = h.State == "warn" && h.Reasons[0] == "npu-smi does not list it"
			}
			if !want {
				t.Errorf("%s: NPU %s is %+v", name, id, h)
			}
		}
		if told != "" {
			t.Errorf("%s: %s", name, told)
		}
	}
}

// TestNumbersOfADroppedChip: the driver's numbers do not tell which chip is gone, and no chip was given another's health.
func TestNumbersOfADroppedChip(t *testing.T) {
	m := ascendtest.Cards(3, "0xd500")
	m.NoTable = true
	row := func(logic int, health string) smiChip {
		return smiChip{card: logic, physical: -1, logic: logic, name: "310P3", health: health, memory: 1 << 30}
	}
	out := strings.ReplaceAll(drawn("Chip    Device", false, []smiChip{row(0, "OK"), row(1, "Critical")}), "|               |", "| NA            |")
	all, _ := statesOf(t, m, out, nil)
	for id, h := range all {
		if h.State != "unknown" {
			t.Errorf("NPU %s: %+v", id, h)
		}
	}
}

// TestNPUSMICrashes: what it has printed before counts, also for the starts that follow, and the rest is unknown for the crash's reason.
func TestNPUSMICrashes(t *testing.T) {
	lines := strings.SplitAfter(table(t, "info-a2.txt"), "\n")
	crash := errors.New("signal: segmentation fault")
	out := strings.Join(lines[:19], "") // cards 0 to 3 and half of 4
	all, told := statesOf(t, ascendtest.A2(), out, crash)
	if all["0"].State != "ok" || all["3"].State != "warn" || all["4"].State != "unknown" || all["4"].Reasons[0] != crash.Error() {
		t.Errorf("%+v", all)
	}
	if want := "HR188 npu-smi told of 4 NPUs, and failed: signal: segmentation fault\n"; told != want {
		t.Errorf("%q, want %q", told, want)
	}
	root := t.TempDir()
	ascendtest.Build(t, root, ascendtest.A2())
	s := New(root, Remember(t.TempDir(), nil), NPUSMI(func(context.Context, ...string) ([]byte, error) { return []byte(out), crash }))
	s.now = func() time.Time { return time.Unix(1_800_000_000, 0) }
	for _, needs := range []devices.Needs{{Health: true}, {}} {
		inv, err := s.Inventory(t.Context(), needs)
		if err != nil || inv.Devices[3].Health.State != "warn" || inv.Devices[4].Health.State != "unknown" || len(inv.Findings) != 1 {
			t.Errorf("%v, %+v, %+v", err, inv.Devices[3:5], inv.Findings)
		}
	}
}

// TestLoneDie: a die of an A3 whose other half has no node was a whole card, and given alone.
func TestLoneDie(t *testing.T) {
	gone := func(m ascendtest.Machine, id int, also bool) ascendtest.Machine {
		m.IDs = append(append([]int{}, m.IDs[:id]...), m.IDs[id+1:]...)
		if also { // from the bus, too
			m.Functions = append(append([]ascendtest.Function{}, m.Functions[:id]...), m.Functions[id+1:]...)
		}
		return m
	}
	few := func(n int) ascendtest.Machine {
		m := ascendtest.A3()
		m.IDs, m.Functions = m.IDs[:n], m.Functions[:n]
		return m
	}
	for name, c := range map[string]struct {
		machine ascendtest.Machine
		lone    string
		other   string
	}{
		"no node":                 {gone(ascendtest.A3(), 5, false), "4", "5"},
		"no node of the first":    {gone(ascendtest.A3(), 0, false), "1", "0"},
		"gone from the bus":       {gone(ascendtest.A3(), 15, true), "14", "15"},
		"one card, and half gone": {gone(few(2), 1, false), "0", "1"},
		"a virtual machine":       {few(1), "", ""},
		"whole":                   {few(4), "", ""},
	} {
		root := t.TempDir()
		ascendtest.Build(t, root, c.machine)
		inv, err := New(root).Inventory(t.Context(), devices.Needs{})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range inv.Devices {
			bad := d.Health.State == "bad"
			if bad != (d.Name == c.lone) || bad && d.Health.Reasons[0] != fmt.Sprintf("the other die of its card, NPU %s, has no device node", c.other) {
				t.Errorf("%s: NPU %s: %+v", name, d.Name, d.Health)
			}
		}
	}
}

// TestLostHalfOfADuo: one of the two chips behind a PCI address has no node, which was passed over as the other one has.
func TestLostHalfOfADuo(t *testing.T) {
	m := ascendtest.Duo()
	m.IDs = []int{0, 2, 3}
	_, told := statesOf(t, m, "", errors.New("not asked"))
	if !strings.Contains(told, "the driver has not brought up 0000:01:00.0 (310P, NPU 1)\n") {
		t.Error(told)
	}
}
