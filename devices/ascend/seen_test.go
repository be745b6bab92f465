package ascend

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSeenTables reads tables that owners of such machines have published (in issues of vllm-ascend, nvtop and others; the files are named
// for npu-smi's release). Where a table of a hundred lines says the same again and again, some are left out.
func TestSeenTables(t *testing.T) {
	const mib = 1 << 20
	for file, c := range map[string]struct {
		chips     int
		last      smiChip
		processes int
		process   smiProcess // the first
	}{
		"21.0.3.1-310.txt":    {2, smiChip{card: 1, chip: 1, physical: -1, logic: 1, name: "310", health: "OK", pci: "0000:02:00.0", memory: 8192 * mib, used: 2621 * mib, power: 12800}, 0, smiProcess{}},
		"22.0.0-310p3.txt":    {1, smiChip{card: 0, chip: 0, physical: -1, logic: 0, name: "310P3", health: "OK", pci: "0000:af:00.0", memory: 23054 * mib, used: 934 * mib, power: 17000}, 0, smiProcess{}},
		"23.0.0-310b4.txt":    {1, smiChip{card: 0, chip: 0, physical: -1, logic: 0, name: "310B4", health: "Alarm", memory: 15609 * mib, used: 3628 * mib}, 0, smiProcess{}},
		"24.1.0-910prob.txt":  {3, smiChip{card: 2, physical: -1, logic: -1, name: "910ProB", health: "OK", pci: "0000:41:00.0", memory: 32768 * mib, used: 5 * mib, power: 78200}, 0, smiProcess{}},
		"24.1.rc1-910b2c.txt": {16, smiChip{card: 15, physical: -1, logic: -1, name: "910B2C", health: "OK", pci: "0000:d0:00.0", memory: 65536 * mib, used: 59351 * mib, power: 104200}, 16, smiProcess{0, 0, 418635, "vllm"}},
		"25.3.rc1-duo.txt":    {8, smiChip{card: 32896, chip: 1, physical: -1, logic: 7, name: "310P3", health: "OK", pci: "0000:84:00.0", memory: 43693 * mib, used: 1265 * mib}, 3, smiProcess{0, 0, 326429, ""}},
		"25.5.2-inside.txt":   {1, smiChip{card: 5, physical: -1, logic: -1, name: "910B4", health: "OK", pci: "0000:41:00.0", memory: 32768 * mib, used: 2922 * mib, power: 89900}, 0, smiProcess{}},
		"25.7.rc1-950.txt":    {3, smiChip{card: 2, physical: -1, logic: -1, name: "Ascend950PR", health: "OK", pci: "0000:91:00.0", memory: 114688 * mib, used: 4794 * mib, power: 213300}, 1, smiProcess{1, -1, 3728646, "pytest"}},
		"26-910b3.txt":        {2, smiChip{card: 1, physical: -1, logic: -1, name: "910B3", health: "OK", pci: "0000:c2:00.0", memory: 65536 * mib, used: 52314 * mib, power: 96900, cores: 42}, 1, smiProcess{0, 0, 1712733, "sglangschedul"}},
		"26.0.rc2-a3.txt":     {4, smiChip{card: 7, chip: 1, physical: 15, logic: -1, name: "Ascend910", health: "OK", pci: "0000:83:00.0", memory: 65536 * mib, used: 15242 * mib}, 1, smiProcess{0, 0, 692318, "python3"}},
	} {
		chips, processes := parseInfo(table(t, filepath.Join("seen", file)))
		if len(chips) != c.chips || len(chips) > 0 && chips[len(chips)-1] != c.last {
			t.Errorf("%s: %d chips, want %d; the last is\n%+v, want\n%+v", file, len(chips), c.chips, chips[max(0, len(chips)-1)], c.last)
		}
		if len(processes) != c.processes || len(processes) > 0 && processes[0] != c.process {
			t.Errorf("%s: processes %+v, want %d, first %+v", file, processes, c.processes, c.process)
		}
		for _, chip := range chips {
			if f := familyOfName(chip.name); f == nil {
				t.Errorf("%s: %q names no chip that is known", file, chip.name)
			}
		}
	}
	files, err := os.ReadDir("testdata/seen")
	if err != nil || len(files) != 10 {
		t.Errorf("%d tables, %v: one is not read", len(files), err)
	}
}

// drawn is a table in the form of a layout, as npu_info_print.c prints it with these widths.
func drawn(second string, wide bool, rows []smiChip) string {
	var b strings.Builder
	if wide {
		b.WriteString("| NPU ID | Name             | Health        | Power(W)    Temp(C)           Hugepages-Usage(page) |\n|        |                  | Bus-Id        | NPU Util(%) Memory-Usage(MB)  HBM-Usage(MB)         |\n")
	} else {
		fmt.Fprintf(&b, "| NPU   Name                | Health        | Power(W)    Temp(C)           Hugepages-Usage(page) |\n| %-25s | Bus-Id        | AICore(%%)   Memory-Usage(MB)  HBM-Usage(MB)         |\n", second)
	}
	b.WriteString("+===========================+===============+=====================================================+\n")
	for _, c := range rows {
		memory := fmt.Sprintf("%-11d %-4d / %-10d %-5d / %-13d", 0, 0, 0, c.used>>20, c.memory>>20)
		if wide {
			fmt.Fprintf(&b, "| %-6d | %-16s | %-13s | %-51s |\n|        |                  | %-13s | %-51s |\n", c.card, c.name, c.health, "200.0       41                0     / 0", strings.ToUpper(c.pci), memory)
			continue
		}
		first := fmt.Sprint(c.chip)
		if c.physical >= 0 {
			first = fmt.Sprintf("%-5d %d", c.chip, c.physical)
		} else if c.logic >= 0 {
			first = fmt.Sprintf("%-7d %d", c.chip, c.logic)
		}
		fmt.Fprintf(&b, "| %-5d %-19s | %-13s | %-51s |\n| %-25s | %-13s | %-51s |\n", c.card, c.name, c.health, "-           41                0     / 0", first, strings.ToUpper(c.pci), memory)
	}
	return b.String()
}

// FuzzTable: what is drawn is read as it was, in every layout and with every number.
func FuzzTable(f *testing.F) {
	f.Add(uint8(0), uint16(3), uint8(0), uint8(5), uint8(0xc1), uint32(6154), uint32(65536), uint8(2))
	f.Add(uint8(3), uint16(32896), uint8(1), uint8(63), uint8(0), uint32(0), uint32(1), uint8(4))
	f.Fuzz(func(t *testing.T, layout uint8, card uint16, chip, id, bus uint8, used, memory uint32, health uint8) {
		c := smiChip{card: int(card), chip: int(chip % 4), physical: -1, logic: -1, name: "910B4", health: []string{"OK", "Warning", "Alarm", "Critical", "UNKNOWN"}[health%5],
			pci: fmt.Sprintf("0000:%02x:00.0", bus), used: int64(used%(1<<20)) << 20, memory: int64(memory%(1<<20)+1) << 20}
		second, wide := "Chip", layout%4 == 3
		switch layout % 4 {
		case 1:
			second, c.physical = "Chip  Phy-ID", int(id)
		case 2:
			second, c.logic = "Chip    Device", int(id)
		case 3:
			c.chip, c.power = 0, 200_000
		}
		text := drawn(second, wide, []smiChip{c, c})
		if chips, _ := parseInfo(text); len(chips) != 2 || chips[0] != c || chips[1] != c {
			t.Errorf("%+v, want twice %+v, of\n%s", chips, c, text)
		}
	})
}
