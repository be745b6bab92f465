package nvidia

import (
	"encoding/binary"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
)

func TestParseVersion(t *testing.T) {
	for body, want := range map[string]struct {
		version string
		open    bool
	}{
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\nGCC version:  gcc version 12.2.0\n":     {"550.54.15", false},
		"NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.10  Release Build  (dvs-builder@U22-I3-AE18-09-6)  Wed\n":        {"570.86.10", true},
		"NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  580.65.06  Release Build\n":                                            {"580.65.06", true},
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  390.157  Wed Oct 12 09:19:07 UTC 2022\nGCC version:  gcc version 9.4.0 (Ubuntu)": {"390.157", false},
		"GCC version:  gcc version 12.2.0\n": {"", false}, "": {"", false}, "NVRM version: none": {"", false},
	} {
		if version, open := parseVersion(body); version != want.version || open != want.open {
			t.Errorf("%q: %q %v", body, version, open)
		}
	}
}

func TestParseInformation(t *testing.T) {
	body := "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 0\nGPU UUID: \t GPU-11111111-2222-3333-4444-555555555555\nBus Location: \t 0000:1b:00.0\nDevice Minor: \t 3\nGPU Firmware: \t 550.54.15\nGPU Excluded:\t Yes\n"
	want := procGPU{Address: "0000:1b:00.0", Model: "NVIDIA H100 80GB HBM3", UUID: "GPU-11111111-2222-3333-4444-555555555555", Minor: 3, Firmware: "550.54.15", Excluded: true}
	if diff := cmp.Diff(want, parseInformation("0000:1B:00.0", body)); diff != "" {
		t.Error(diff)
	}
	unready := parseInformation("0000:01:00.0", "Model: \t\t Unknown\nGPU UUID: \t GPU-????????-????-????-????-????????????\nDevice Minor: \t -1\n")
	if diff := cmp.Diff(procGPU{Address: "0000:01:00.0", Model: "Unknown", Minor: -1}, unready); diff != "" {
		t.Error(diff)
	}
}

func TestParseMajors(t *testing.T) {
	got := parseMajors("Character devices:\n  1 mem\n195 nvidia-frontend\n510 nvidia-uvm\n237 nvidia-caps\n\nBlock devices:\n  8 sd\n511 nvidia-uvm\n")
	if diff := cmp.Diff(map[string]int{"mem": 1, "nvidia-frontend": 195, "nvidia-uvm": 510, "nvidia-caps": 237}, got); diff != "" {
		t.Error(diff)
	}
}

func TestWays(t *testing.T) {
	at := func(node int, path string) place {
		return place{name: path, pci: path, node: node, path: strings.Split(path, "/")}
	}
	one := at(0, "pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:00.0/0000:03:00.0")
	tests := []struct {
		other place
		want  string
	}{
		{at(0, "pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:01.0/0000:04:00.0"), "PIX"},
		{at(0, "pci0000:00/0000:00:01.0/0000:01:00.0/0000:02:01.0/0000:04:00.0/0000:05:00.0/0000:06:00.0"), "PXB"},
		{at(0, "pci0000:00/0000:00:02.0/0000:07:00.0"), "PHB"},
		{at(0, "pci0000:80/0000:80:01.0/0000:81:00.0"), "NODE"},
		{at(1, "pci0000:80/0000:80:01.0/0000:81:00.0"), "SYS"},
		{at(-1, "pci0000:80/0000:80:01.0/0000:81:00.0"), "SYS"},
	}
	for _, test := range tests {
		if got, back := way(one, test.other), way(test.other, one); got != test.want || back != test.want {
			t.Errorf("%s: %s, and back %s, want %s", test.other.name, got, back, test.want)
		}
	}
	unknown := place{node: -1}
	if got := way(unknown, unknown); got != "SYS" {
		t.Errorf("nothing known: %s", got)
	}
}

func TestJoinNVLink(t *testing.T) {
	a := place{name: "a", node: -1, pci: "0000:01:00.0", links: map[string]int{"0000:02:00.0": 4, "": 0}}
	b := place{name: "b", node: -1, pci: "0000:02:00.0", links: map[string]int{"0000:01:00.0": 4}}
	c := place{name: "c", node: -1, pci: "0000:03:00.0", links: map[string]int{"": 12}}
	d := place{name: "d", node: -1, pci: "0000:04:00.0", links: map[string]int{"": 18}}
	var got []string
	for _, l := range joined([]place{a, b, c, d}) {
		got = append(got, l.A+l.B+" "+l.Kind+" "+strconv.Itoa(l.Weight))
	}
	want := []string{"ab NV4 400", "ac SYS 10", "ad SYS 10", "bc SYS 10", "bd SYS 10", "cd NV12 1200"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestCompatNote(t *testing.T) {
	n, ok := readNote(strings.NewReader(string(nvidiatest.CompatLibrary("13.0", 535, 550))))
	if !ok || n.CUDA != "13.0" || !slices.Equal(n.Drivers, []int{535, 550}) {
		t.Errorf("%+v %v", n, ok)
	}
	for name, body := range map[string][]byte{
		"no note":       nvidiatest.Library("libcuda.so.1"),
		"no library":    []byte("x"),
		"another owner": nvidiatest.Note("GNU", []byte(`{"CUDA Version":"13.0"}`)),
	} {
		if n, ok := readNote(strings.NewReader(string(body))); ok {
			t.Errorf("%s: %+v", name, n)
		}
	}
	if _, ok := parseNote(nvidiatest.Note("GNU", []byte(`{}`)), binary.LittleEndian, 4); ok {
		t.Error("a note of another owner")
	}
	// Sizes that add up to less than the header, or beyond the end, in 32 bits.
	for _, sizes := range [][2]uint32{{math.MaxUint32, 0}, {0, math.MaxUint32}, {19, math.MaxUint32}, {math.MaxUint32 - 12, 12}} {
		b := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, sizes[0]), sizes[1])
		if _, ok := parseNote(append(b, make([]byte, 64)...), binary.LittleEndian, 8); ok {
			t.Errorf("sizes %v", sizes)
		}
	}
}

func TestCompareVersions(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"12.4", "12.4", 0}, {"12.4", "12.4.0", 0}, {"12.10", "12.9", 1}, {"550.54.15", "550.90.07", -1}, {"9.0", "12.0", -1}, {"580", "550.54.15", 1}} {
		if got := compareVersions(c.a, c.b); got != c.want {
			t.Errorf("%s and %s: %d", c.a, c.b, got)
		}
	}
	for version, want := range map[string]string{"550.54.15": "12.4", "551.1": "12.4", "535.161.08": "12.2", "600.1": "13.2", "304.137": "", "": ""} {
		if got := cudaOf(version); got != want {
			t.Errorf("CUDA of %s: %q", version, got)
		}
	}
}

// What the kernel, a library or an image says may be anything; a reader keeps to its bounds and never ends the program.

func FuzzProc(f *testing.F) {
	f.Add("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue\n")
	f.Add("Model: \t\t H100\nGPU UUID: \t GPU-1\nDevice Minor: \t 3\n")
	f.Add("Character devices:\n195 nvidia\n510 nvidia-uvm\nBlock devices:\n")
	f.Add("DeviceFileMinor: 12\nDeviceFileMode: 292\n")
	f.Add("gpu0/gi1/ci0/access 13\n")
	f.Fuzz(func(t *testing.T, body string) {
		if v, _ := parseVersion(body); v != "" && (!isVersion(v) || branch(v) < 0) {
			t.Errorf("version %q", v)
		}
		if g := parseInformation("0000:01:00.0", body); g.Minor < -1 || strings.Contains(g.UUID, "?") {
			t.Errorf("%+v", g)
		}
		for name, n := range parseMajors(body) {
			if n <= 0 {
				t.Errorf("major %q %d", name, n)
			}
		}
		for name, n := range parseMinors(body) {
			if n < 0 {
				t.Errorf("minor %q %d", name, n)
			}
		}
		if n, ok := parseCap(body); ok && n < 0 {
			t.Errorf("capability %d", n)
		}
	})
}

func FuzzRequirement(f *testing.F) {
	f.Add("cuda>=12.4 brand=tesla,driver>=470,driver<471")
	f.Add("arch!=9.0,cuda==12")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseRequirement(text)
		if err != nil {
			return
		}
		var words []string
		for _, conditions := range all {
			var parts []string
			for _, c := range conditions {
				if c.name == "" || c.value == "" || !slices.Contains(operators, c.op) {
					t.Errorf("%q: %+v", text, c)
				}
				parts = append(parts, c.String())
			}
			words = append(words, strings.Join(parts, ","))
		}
		if got, want := strings.Join(words, " "), strings.Join(strings.Fields(text), " "); got != want {
			t.Errorf("%q is read as %q", want, got)
		}
		_ = satisfied(all, Driver{Version: "550.54.15", CUDA: "12.4"}, GPU{Capability: "9.0", Brand: "tesla"})
	})
}

func FuzzNote(f *testing.F) {
	f.Add(nvidiatest.Note("NVIDIA Corporation", []byte(`{"CUDA Version":"13.0","Driver":[550]}`)), uint64(4))
	f.Add(nvidiatest.Note("NVIDIA Corporation", []byte(`{"Driver":"x"}`)), uint64(8))
	f.Fuzz(func(_ *testing.T, b []byte, align uint64) {
		parseNote(b, binary.LittleEndian, align)
		parseNote(b, binary.BigEndian, align)
		readNote(strings.NewReader(string(b)))
	})
}

func FuzzArch(f *testing.F) {
	f.Add("sm_90a")
	f.Add("compute_120")
	f.Fuzz(func(t *testing.T, s string) {
		if a, ok := parseArch(s); ok && (a.minor < 0 || a.minor > 9 || a.major < 1 || !a.runs(a.major, a.minor) || !a.compiles(a.major, a.minor)) {
			t.Errorf("%q: %+v", s, a)
		}
	})
}
