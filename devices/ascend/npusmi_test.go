package ascend

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/ascend/ascendtest"
	"hostrun.dev/hostrun/finding"
)

func table(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestParseInfo reads a table of each layout.
func TestParseInfo(t *testing.T) {
	for _, c := range []struct {
		file      string
		chips     int
		at        int
		want      smiChip
		processes []smiProcess
	}{
		{"info-a2.txt", 8, 3, smiChip{card: 3, physical: -1, logic: -1, name: "910B4", health: "Warning", pci: "0000:02:00.0", memory: 32768 << 20, used: 2860 << 20, power: 108500, cores: 5},
			[]smiProcess{{card: 0, chip: 0, pid: 81234, name: "python3.11"}}},
		{"info-a3.txt", 16, 5, smiChip{card: 2, chip: 1, physical: 5, logic: -1, name: "Ascend910", health: "Critical", pci: "0000:a7:00.0", memory: 65536 << 20, used: 2930 << 20},
			[]smiProcess{{card: 2, chip: 1, pid: 4711, name: "vllm"}}},
		{"info-duo.txt", 4, 2, smiChip{card: 8, physical: -1, logic: 2, name: "310P3", health: "Alarm", pci: "0000:81:00.0", memory: 44280 << 20, used: 1600 << 20},
			[]smiProcess{{card: 1, chip: 0, pid: 991, name: "main"}}},
		{"info-950.txt", 2, 1, smiChip{card: 1, physical: -1, logic: -1, name: "Ascend950PR", health: "OK", memory: 131072 << 20, used: 4000 << 20, power: 200000},
			[]smiProcess{{card: 1, chip: -1, pid: 77, name: "torchrun"}}},
		{"info-910a.txt", 1, 0, smiChip{physical: -1, logic: -1, name: "910A", health: "OK", pci: "0000:c1:00.0", memory: 32768 << 20, power: 68300}, nil},
	} {
		t.Run(c.file, func(t *testing.T) {
			chips, processes := parseInfo(table(t, c.file))
			if len(chips) != c.chips || chips[c.at] != c.want {
				t.Errorf("%d chips, want %d; the one at %d is\n%+v, want\n%+v", len(chips), c.chips, c.at, chips[min(c.at, len(chips)-1)], c.want)
			}
			if len(processes) != len(c.processes) || len(processes) > 0 && processes[0] != c.processes[0] {
				t.Errorf("processes %+v, want %+v", processes, c.processes)
			}
		})
	}
}

func TestParseSMIMapping(t *testing.T) {
	for file, want := range map[string]smiMapping{
		"map-a2.txt":  {card: 1, chip: 0, logic: 1, physical: -1, name: "Ascend 910B4"},
		"map-a3.txt":  {card: 0, chip: 2, logic: -1, physical: -1, name: "Mcu"},
		"map-950.txt": {card: 1, chip: 0, logic: -1, physical: 0, name: "Ascend950PR"},
	} {
		all := parseSMIMapping(table(t, file))
		found := false
		for _, m := range all {
			found = found || m == want
		}
		if !found {
			t.Errorf("%s: %+v, none is %+v", file, all, want)
		}
	}
}

func FuzzParseInfo(f *testing.F) {
	files, _ := filepath.Glob("testdata/*-*.txt")
	seen, _ := filepath.Glob("testdata/seen/*.txt")
	for _, file := range append(files, seen...) {
		name, _ := filepath.Rel("testdata", file)
		f.Add(table(f, name))
	}
	f.Fuzz(func(t *testing.T, out string) {
		chips, processes := parseInfo(out)
		if len(chips)+len(processes) > maxRows {
			t.Errorf("%d rows", len(chips)+len(processes))
		}
		for _, c := range chips {
			if c.card < 0 || c.chip < 0 || c.memory < 0 || c.used < 0 || strings.Contains(c.name, "|") {
				t.Errorf("%+v of %q", c, out)
			}
		}
		for _, m := range parseSMIMapping(out) {
			if m.card < -1 || m.physical < -1 || m.logic < -1 || m.physical > maxIDs {
				t.Errorf("%+v", m)
			}
		}
	})
}

// TestHealth: npu-smi's lines belong to the nodes by the PCI address, Phy-ID, the number among the chips or the mapping, and
// not by npu-smi's number of the card.
func TestHealth(t *testing.T) {
	swapped := ascendtest.A5() // npu-smi's card 0 is davinci1
	for _, c := range []struct {
		machine   ascendtest.Machine
		info, m   string
		name      string
		state     string
		model     string
		memory    int64
		user, pid string
		processOf string
	}{
		{ascendtest.A2(), "info-a2.txt", "", "3", "warn", "Ascend 910B4", 32768 << 20, "python3.11", "81234", "0"},
		{ascendtest.A3(), "info-a3.txt", "", "5", "bad", "Ascend 910_93", 65536 << 20, "vllm", "4711", "5"},
		{ascendtest.Duo(), "info-duo.txt", "", "2", "warn", "Ascend 310P3", 44280 << 20, "main", "991", "0"},
		{swapped, "info-950.txt", "map-950.txt", "0", "ok", "Ascend 950PR", 131072 << 20, "torchrun", "77", "0"},
	} {
		t.Run(c.info, func(t *testing.T) {
			root := t.TempDir()
			ascendtest.Build(t, root, c.machine)
			s := New(root, NPUSMI(func(_ context.Context, args ...string) ([]byte, error) {
				if len(args) == 2 {
					if c.m == "" {
						t.Error("npu-smi info -m is asked, and the table tells enough")
						return nil, nil
					}
					return []byte(table(t, c.m)), nil
				}
				return []byte(table(t, c.info)), nil
			}))
			inv, err := s.Inventory(t.Context(), devices.Needs{Health: true})
			if err != nil || len(inv.Findings) > 0 {
				t.Fatal(err, inv.Findings)
			}
			for _, d := range inv.Devices {
				if d.Name == c.name && (d.Health.State != c.state || d.Model != c.model || d.Memory != c.memory) {
					t.Errorf("%s: %+v, %q, %d", d.Name, d.Health, d.Model, d.Memory)
				}
				if d.Name == c.processOf && (len(d.Users) != 1 || d.Users[0].Name != c.user) {
					t.Errorf("%s is used by %+v, want %s", d.Name, d.Users, c.user)
				}
				if d.Name != c.processOf && len(d.Users) != 0 {
					t.Errorf("%s is used by %+v", d.Name, d.Users)
				}
			}
		})
	}
}

// TestHealthJoinsWithoutTable: where the driver shows no table of ids, npu-smi's PCI addresses join chips and functions.
func TestHealthJoinsWithoutTable(t *testing.T) {
	m := ascendtest.A2()
	m.NoTable = true
	root := t.TempDir()
	ascendtest.Build(t, root, m)
	s := New(root, NPUSMI(func(_ context.Context, args ...string) ([]byte, error) {
		return []byte(table(t, map[int]string{1: "info-a2.txt", 2: "map-a2.txt"}[len(args)])), nil
	}))
	inv, err := s.Inventory(t.Context(), devices.Needs{Health: true})
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := s.Inventory(t.Context(), devices.Needs{}); err != nil || plain.Fingerprint != inv.Fingerprint {
		t.Errorf("%v: asking npu-smi changes the fingerprint", err)
	}
	if d := inv.Devices[5]; d.PCI != "0000:41:00.0" || d.NUMA != 0 || d.CPUs != "0-63" {
		t.Errorf("%+v", d)
	}
}

// TestNoNPUSMI: a machine without npu-smi has NPUs of unknown health, and nothing is wrong with that.
func TestNoNPUSMI(t *testing.T) {
	root := t.TempDir()
	ascendtest.Build(t, root, ascendtest.Edge())
	s := New(root, NPUSMI(func(context.Context, ...string) ([]byte, error) {
		return nil, fmt.Errorf("npu-smi: %w", fs.ErrNotExist)
	}))
	inv, err := s.Inventory(t.Context(), devices.Needs{Health: true})
	if err != nil || len(inv.Findings) > 0 || inv.Devices[0].Health.State != "unknown" || inv.Devices[0].Health.Reasons[0] != "npu-smi was not found" {
		t.Errorf("%v, %+v", err, inv)
	}
}

// TestNPUSMIFails: it hangs, fails, or prints what nobody knows. That costs the health, and no device.
func TestNPUSMIFails(t *testing.T) {
	for name, c := range map[string]struct {
		run  Runner
		want string
	}{
		"fails":   {func(context.Context, ...string) ([]byte, error) { return nil, errors.New("exit status 1") }, "exit status 1"},
		"strange": {func(context.Context, ...string) ([]byte, error) { return []byte("Segmentation fault"), nil }, "Segmentation fault"},
		"hangs":   {nil, "did not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			ascendtest.Build(t, root, ascendtest.A2())
			ctx := t.Context()
			if name == "hangs" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithCancel(ctx)
				defer cancel()
				c.run = func(context.Context, ...string) ([]byte, error) { cancel(); select {} }
			}
			inv, err := New(root, NPUSMI(c.run)).Inventory(ctx, devices.Needs{Health: true})
			if err != nil || len(inv.Devices) != 8 || inv.Devices[0].Health.State != "unknown" {
				t.Fatalf("%v, %+v", err, inv.Devices)
			}
			if len(inv.Findings) != 1 || inv.Findings[0].ID != finding.AscendHealth || !strings.Contains(inv.Findings[0].Message, c.want) {
				t.Errorf("%+v", inv.Findings)
			}
		})
	}
}
