package ascend

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// An smiChip is one chip of npu-smi's tables (hicann/driver, src/custom/dev_prod/user/npucli/src/npu_info_print.c). npu-smi's "NPU"
// is a card, not the number of a davinci node.
type smiChip struct {
	card, chip int
	physical   int    // Phy-ID, -1 where the layout has none
	logic      int    // Device: the number among this machine's chips; -1 where the layout has none
	name       string // "910B4"
	health     string // OK, Warning, Alarm, Critical, UNKNOWN
	pci        string // as sysfs writes it, "" for NA
	memory     int64  // bytes: of the HBM where there is one
	used       int64  // bytes of it
	power      uint32 // mW; 0 when not told
	cores      int    // how busy its AI cores are, per cent; -1 when not told
}

// An smiProcess is a line of the table of processes.
type smiProcess struct {
	card, chip int // chip is -1 where the layout has none (950)
	pid        int
	name       string
}

// maxRows bounds a table: 64 chips are the driver's own limit, and each may print some dozens of processes.
const maxRows = 4096

var (
	usage     = pattern.New(`(\d+)\s*/\s*(\d+)`)
	smiNumber = pattern.New(`^\d{1,9}$`)
)

// cells splits a line of a table; nil for one that is none.
func cells(line string) []string {
	line = strings.TrimSpace(line)
	if len(line) < 2 || line[0] != '|' || line[len(line)-1] != '|' {
		return nil
	}
	all := strings.Split(line[1:len(line)-1], "|")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return all
}

// An infoTable reads the table of `npu-smi info` by its headings: columns have moved from one release to the next.
type infoTable struct {
	chips     []smiChip
	processes []smiProcess
	second    []string // words of the second heading's first cell: Chip, Phy-ID or Device
	wide      bool     // 950: card and name have cells of their own
	in        int      // 0 before the headings, 1 in the table of chips, 2 in that of processes
	open      *smiChip // whose first line has been read
}

// parseInfo reads what `npu-smi info` prints. What it does not understand it passes over.
func parseInfo(out string) ([]smiChip, []smiProcess) {
	var t infoTable
	for line := range strings.Lines(out) {
		if c := cells(line); c != nil && len(t.chips)+len(t.processes) < maxRows {
			t.row(c)
		}
	}
	return t.chips, t.processes
}

func (t *infoTable) row(c []string) {
	joined := strings.Join(c, "|")
	switch {
	case strings.Contains(joined, "Process id"):
		t.in, t.open = 2, nil
	case strings.Contains(joined, "Health") && strings.HasPrefix(c[0], "NPU"):
		t.wide = len(c) == 4
	case strings.Contains(joined, "Bus-Id"):
		t.in, t.second = 1, strings.Fields(c[0])
	case t.in == 1 && t.isSecond(c):
		t.secondLine(c)
	case t.in == 1:
		t.first(c)
	case t.in == 2:
		t.process(c)
	}
}

// isSecond tells a chip's second line by what it has, not by its turn: npu-smi leaves out either line where it can't ask the chip
// (npu_info_print.c: print_card_total_info_with_HBM_first and _second return before they print).
func (t *infoTable) isSecond(c []string) bool {
	switch {
	case t.wide:
		return c[0] == ""
	case len(c) < 2:
		return false
	}
	return canonical(c[1]) != "" || c[1] == "NA" || t.open != nil && len(numbers(c[0])) > 0 && states[c[1]] == ""
}

// first reads "| 0     910B4 | OK | 105.5 39 0 / 0 |".
func (t *infoTable) first(c []string) {
	t.open = nil // of a chip whose second line is not there
	if t.wide && len(c) >= 3 {
		c = append([]string{c[0] + " " + c[1]}, c[2:]...)
	}
	fields := strings.Fields(c[0])
	if len(c) < 2 || len(fields) < 2 || !smiNumber.MatchString(fields[0]) {
		return
	}
	card, _ := strconv.Atoi(fields[0])
	t.open = &smiChip{card: card, name: strings.Join(fields[1:], " "), health: c[1], physical: -1, logic: -1, cores: -1}
	if watts, err := strconv.ParseFloat(firstWord(c[len(c)-1]), 64); err == nil && watts > 0 && watts < 1e6 {
		t.open.power = uint32(watts * 1000)
	}
}

// secondLine reads "| 0 | 0000:C1:00.0 | 5 0 / 0 6154 / 65536 |", with Phy-ID or Device behind the chip.
func (t *infoTable) secondLine(c []string) {
	if t.open == nil {
		return
	}
	chip := *t.open
	t.open = nil
	if t.wide && len(c) >= 3 {
		c = append([]string{"0"}, c[2:]...)
	}
	if len(c) < 3 {
		return
	}
	ids := numbers(c[0])
	if len(ids) == 0 {
		return
	}
	chip.chip = ids[0]
	if len(ids) > 1 && len(t.second) > 1 {
		switch t.second[1] {
		case "Phy-ID":
			chip.physical = ids[1]
		case "Device":
			chip.logic = ids[1]
		}
	}
	chip.pci = canonical(c[1])
	chip.readMemory(c[len(c)-1])
	if word := firstWord(c[len(c)-1]); smiNumber.MatchString(word) {
		if per, _ := strconv.Atoi(word); per <= 100 {
			chip.cores = per
		}
	}
	t.chips = append(t.chips, chip)
}

func firstWord(cell string) string {
	for word := range strings.FieldsSeq(cell) {
		return word
	}
	return ""
}

// readMemory takes the HBM, which comes second, unless there is none of it.
func (s *smiChip) readMemory(cell string) {
	for _, m := range usage.FindAllStringSubmatch(cell, 2) {
		used, err1 := strconv.ParseInt(m[1], 10, 40)
		total, err2 := strconv.ParseInt(m[2], 10, 40)
		if err1 == nil && err2 == nil && total > 0 {
			s.used, s.memory = used<<20, total<<20
		}
	}
}

// process reads "| 0 0 | 12345 | python | 5000 |"; the line that says that there are none has one cell.
func (t *infoTable) process(c []string) {
	if len(c) < 3 || !smiNumber.MatchString(c[1]) {
		return
	}
	ids := numbers(c[0])
	if len(ids) == 0 {
		return
	}
	p := smiProcess{card: ids[0], chip: -1, name: c[2]}
	if len(ids) > 1 {
		p.chip = ids[1]
	}
	p.pid, _ = strconv.Atoi(c[1])
	t.processes = append(t.processes, p)
}

// An smiMapping is a line of `npu-smi info -m`; numbers that a layout lacks are -1.
type smiMapping struct {
	card, chip, logic, physical int
	name                        string
}

// columns are the headings of `npu-smi info -m` in the order in which layouts combine them.
var columns = []string{"NPU ID", "Slot ID", "Chip ID", "Chip Logic ID", "Chip Phy-ID", "Chip Name"}

// parseSMIMapping reads what `npu-smi info -m` prints, by its headings.
func parseSMIMapping(out string) []smiMapping {
	var heads []string
	var all []smiMapping
	for line := range strings.Lines(out) {
		if strings.Contains(line, "NPU ID") && strings.Contains(line, "Chip Name") {
			heads = nil
			for _, c := range columns {
				if strings.Contains(line, c) {
					heads = append(heads, c)
				}
			}
			continue
		}
		fields := strings.Fields(line)
		if len(heads) == 0 || len(fields) < len(heads) || len(all) >= maxRows {
			continue
		}
		all = append(all, mappingOf(heads, fields))
	}
	return all
}

func mappingOf(heads, fields []string) smiMapping {
	m := smiMapping{card: -1, chip: -1, logic: -1, physical: -1}
	for i, head := range heads {
		n, err := strconv.Atoi(fields[i])
		if err != nil || n < 0 || n > maxIDs {
			n = -1 // "-" of a management controller
		}
		switch head {
		case "NPU ID":
			m.card = n
		case "Chip ID":
			m.chip = n
		case "Chip Logic ID":
			m.logic = n
		case "Chip Phy-ID":
			m.physical = n
		case "Chip Name":
			m.name = strings.Join(fields[i:], " ")
		}
	}
	return m
}

// runNPUSMI gives up when its time is over, even if the process, in the kernel, can't be ended.
func (s *Source) runNPUSMI(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, NPUSMITime)
	defer cancel()
	type result struct {
		out []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		out, err := s.npusmi(ctx, args...)
		done <- result{out, err}
	}()
	select {
	case r := <-done:
		return r.out, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("npu-smi %s did not answer: %w", strings.Join(args, " "), ctx.Err())
	}
}
