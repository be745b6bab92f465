package ascend

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// torchNPUTable is the vendor's table (Ascend/pytorch, COMPATIBILITY.en.md): a release of CANN and the torch_npu made for it.
var torchNPUTable = []struct {
	cann     string
	torchNPU []string
}{
	{"6.3.RC2", []string{"2.0.1.rc1", "1.11.0.post1", "1.8.1.post2"}},
	{"6.3.RC3", []string{"1.11.0.post2"}},
	{"7.0.RC1", []string{"2.1.0.rc1", "2.0.1", "1.11.0.post4"}},
	{"7.0.0", []string{"2.1.0", "2.0.1.post1", "1.11.0.post8"}},
	{"8.0.RC1", []string{"2.2.0", "2.1.0.post4", "1.11.0.post11"}},
	{"8.0.RC2", []string{"2.3.1", "2.2.0.post2", "2.1.0.post6", "1.11.0.post14"}},
	{"8.0.RC3", []string{"2.4.0", "2.3.1.post2", "2.1.0.post8"}},
	{"8.0.0", []string{"2.4.0.post2", "2.3.1.post4", "2.1.0.post10"}},
	{"8.1.RC1", []string{"2.5.1", "2.4.0.post4", "2.3.1.post6", "2.1.0.post12"}},
	{"8.2.RC1", []string{"2.6.0", "2.5.1.post1", "2.1.0.post13"}},
	{"8.3.RC1", []string{"2.8.0", "2.7.1", "2.6.0.post3", "2.1.0.post17"}},
	{"8.5.0", []string{"2.9.0", "2.8.0.post2", "2.7.1.post2", "2.6.0.post5"}},
	{"9.0.0", []string{"2.9.0.post2", "2.8.0.post4", "2.7.1.post4"}},
	{"9.1.0", []string{"2.12.0", "2.11.0", "2.10.0.post4", "2.9.0.post6", "2.7.1.post8"}},
}

// pythonTable holds the Pythons, first and last, that torch_npu is released for, by the base version (the same document).
var pythonTable = []struct{ torch, first, last string }{
	{"1.11", "3.7", "3.10"}, {"2.1", "3.8", "3.11"}, {"2.2", "3.8", "3.10"}, {"2.3", "3.8", "3.11"}, {"2.4", "3.8", "3.11"}, {"2.5", "3.9", "3.11"}, {"2.6", "3.9", "3.11"},
	{"2.7", "3.9", "3.13"}, {"2.8", "3.9", "3.13"}, {"2.9", "3.10", "3.13"}, {"2.10", "3.10", "3.13"}, {"2.11", "3.10", "3.14"},
	{"2.12", "3.10", "3.14"}, {"2.13", "3.10", "3.14"},
}

// driverTable holds series of drivers (HDK) that a release of CANN is stated for, for those without a list in their files.
var driverTable = []struct {
	cann    string // release, or a series: "9.0"
	drivers []string
}{
	{"8.0.RC1", []string{"24.1.RC1"}},
	{"8.2.RC1", []string{"25.2.0", "25.0.RC1", "24.1.0", "24.1.RC3", "24.1.RC2"}},
	{"8.5.0", []string{"25.5", "25.3", "25.2", "25.0"}},
	{"8.5.2", []string{"25.0", "25.2", "25.3", "25.5", "26.0.RC1", "26.1.0"}},
	{"9.0", []string{"25.0", "25.2", "25.3", "25.5", "26.0.RC1", "26.1.0"}},
	{"9.1", []string{"25.2", "25.3", "25.5", "26.0", "26.1"}},
}

// vllmTable is vllm-ascend's own matrix (docs/source/community/versioning_policy.md): Pythons from first to last, CANN, torch_npu.
var vllmTable = []vllmRow{
	{"0.20.2rc1", "3.10", "3.11", "9.0.0", "2.10.0"}, {"0.19.1rc1", "3.10", "3.11", "8.5.1", "2.9.0"}, {"0.18.0", "3.10", "3.11", "8.5.1", "2.9.0.post1"},
	{"0.18.0rc1", "3.10", "3.11", "8.5.1", "2.9.0"}, {"0.17.0rc1", "3.10", "3.11", "8.5.1", "2.9.0"}, {"0.16.0rc1", "3.10", "3.11", "8.5.1", "2.9.0"},
	{"0.15.0rc1", "3.10", "3.11", "8.5.0", "2.9.0"}, {"0.14.0rc1", "3.10", "3.11", "8.5.0", "2.9.0"}, {"0.13.0rc3", "3.10", "3.11", "8.5.1", "2.8.0.post2"},
	{"0.13.0", "3.10", "3.11", "8.5.0", "2.8.0.post2"}, {"0.13.0rc2", "3.10", "3.11", "8.5.0", "2.8.0.post1"}, {"0.13.0rc1", "3.10", "3.11", "8.3.RC2", "2.8.0"},
	{"0.12.0rc1", "3.10", "3.11", "8.3.RC2", "2.8.0"},
	{"0.11.0", "3.9", "3.11", "8.3.RC2", "2.7.1.post1"}, {"0.11.0rc3", "3.9", "3.11", "8.3.RC2", "2.7.1.post1"},
	{"0.11.0rc2", "3.9", "3.11", "8.3.RC2", "2.7.1"}, {"0.11.0rc1", "3.9", "3.11", "8.3.RC1", "2.7.1"}, {"0.11.0rc0", "3.9", "3.11", "8.2.RC1", "2.7.1"},
	{"0.10.2rc1", "3.9", "3.11", "8.2.RC1", "2.7.1"}, {"0.10.1rc1", "3.9", "3.11", "8.2.RC1", "2.7.1"}, {"0.10.0rc1", "3.9", "3.11", "8.2.RC1", "2.7.1"},
	{"0.9.2rc1", "3.9", "3.11", "8.1.RC1", "2.5.1"}, {"0.9.1", "3.9", "3.11", "8.2.RC1", "2.5.1.post1"}, {"0.9.1rc3", "3.9", "3.11", "8.2.RC1", "2.5.1.post1"},
	{"0.9.1rc2", "3.9", "3.11", "8.2.RC1", "2.5.1.post1"}, {"0.9.1rc1", "3.9", "3.11", "8.1.RC1", "2.5.1"}, {"0.9.0rc2", "3.9", "3.11", "8.1.RC1", "2.5.1"},
	{"0.9.0rc1", "3.9", "3.11", "8.1.RC1", "2.5.1"}, {"0.8.5rc1", "3.9", "3.11", "8.1.RC1", "2.5.1"}, {"0.8.4rc2", "3.9", "3.11", "8.0.0", "2.5.1"},
	{"0.7.3", "3.9", "3.11", "8.1.RC1", "2.5.1"}, {"0.7.3.post1", "3.9", "3.11", "8.1.RC1", "2.5.1"},
}

type vllmRow struct{ version, first, last, cann, torchNPU string }

func vllmOf(version string) (vllmRow, bool) {
	for _, row := range vllmTable {
		if row.version == version {
			return row, true
		}
	}
	return vllmRow{}, false
}

func torchNPUOf(cann string) ([]string, bool) {
	for _, row := range torchNPUTable {
		if strings.EqualFold(row.cann, cann) {
			return row.torchNPU, true
		}
	}
	return nil, false
}

// cannOf are the releases of CANN that the table has for a torch_npu.
func cannOf(torchNPU string) []string {
	var all []string
	for _, row := range torchNPUTable {
		if slices.Contains(row.torchNPU, torchNPU) {
			all = append(all, row.cann)
		}
	}
	return all
}

func listedCANN() []string {
	var all []string
	for _, row := range torchNPUTable {
		all = append(all, row.cann)
	}
	return all
}

func pythonsOf(torch string) (first, last string, known bool) {
	for _, row := range pythonTable {
		if inSeries(torch, row.torch) {
			return row.first, row.last, true
		}
	}
	return "", "", false
}

// driversOf returns the longest row that a release of CANN belongs to.
func driversOf(cann string) (series []string, known bool) {
	longest := ""
	for _, row := range driverTable {
		if inSeries(cann, row.cann) && len(row.cann) > len(longest) {
			longest, series = row.cann, row.drivers
		}
	}
	return series, longest != ""
}

// inSeries says whether a version is of a series: 25.2.1 of 25.2, 25.0.rc1.1 of 25.0.RC1.
func inSeries(version, series string) bool {
	version, series = strings.ToUpper(version), strings.ToUpper(series)
	return version == series || strings.HasPrefix(version, series+".")
}

// base is the release of torch in a version of torch or torch_npu: 2.7.1 of 2.7.1.post4, 2.7.1+cpu, 2.7.1rc1 and 2.7.1.dev2025.
func base(version string) string {
	version, _, _ = strings.Cut(version, "+")
	var parts []string
	for part := range strings.SplitSeq(version, ".") {
		digits := strings.IndexFunc(part, func(r rune) bool { return r < '0' || r > '9' })
		if digits == 0 {
			break
		}
		if digits > 0 {
			parts = append(parts, part[:digits])
			break
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ".")
}

// compareVersions compares versions part by part: numbers as numbers, and a release candidate (RC1) before the release. A part that
// is missing is 0.
func compareVersions(a, b string) int {
	as, bs := strings.Split(strings.ToUpper(a), "."), strings.Split(strings.ToUpper(b), ".")
	for i := range max(len(as), len(bs)) {
		if c := comparePart(at(as, i), at(bs, i)); c != 0 {
			return c
		}
	}
	return 0
}

func at(parts []string, i int) string {
	if i < len(parts) && parts[i] != "" {
		return parts[i]
	}
	return "0"
}

func comparePart(a, b string) int {
	ra, rb := rank(a), rank(b)
	if c := cmp.Compare(ra[0], rb[0]); c != 0 {
		return c
	}
	return cmp.Compare(ra[1], rb[1])
}

// rank puts a number above every release candidate: RC2 is -1, 2.
func rank(part string) [2]int {
	if n, err := strconv.Atoi(strings.TrimPrefix(part, "RC")); err == nil && strings.HasPrefix(part, "RC") {
		return [2]int{-1, n}
	}
	n, _ := strconv.Atoi(part)
	return [2]int{n, 0}
}
