package nvidia_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/nvidia"
	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
	"hostrun.dev/hostrun/devices/nvidia/nvml"
	"hostrun.dev/hostrun/finding"
)

var update = flag.Bool("update", false, "rewrite the expected outputs in testdata")

func golden(t *testing.T, name string, v any) {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-update rewrites it):\n%s", file, diff)
	}
}

// The machines of the tests.
func machines() map[string]nvidiatest.Machine {
	mig := nvidiatest.H100()
	mig.GPUs = mig.GPUs[:2]
	mig.GPUs[1].MIG = []nvidiatest.Instance{{GI: 9, CI: 0, GIMinor: 210, CIMinor: 211}, {GI: 2, CI: 0, GIMinor: 21, CIMinor: 22}, {GI: 2, CI: 1, GIMinor: 21, CIMinor: 23}}
	noUVM := nvidiatest.H100()
	noUVM.GPUs, noUVM.NoUVM = noUVM.GPUs[:1], true
	updated := nvidiatest.H100()
	updated.GPUs, updated.User = updated.GPUs[:1], "550.90.07"
	frontend := nvidiatest.Machine{Driver: "535.161.08", Open: true, Frontend: true, LibDir: "usr/lib64",
		GPUs: []nvidiatest.GPU{{PCI: "0000:01:00.0", Minor: 0, Model: "NVIDIA GeForce RTX 4090", NUMA: -1, CPUs: "0-31"}}}
	return map[string]nvidiatest.Machine{
		"h100": nvidiatest.H100(), "mig": mig, "nouvm": noUVM, "updated": updated, "frontend": frontend,
		"nodriver": {Bare: []string{"0000:41:00.0", "0000:81:00.0"}, BareOf: "nouveau"},
		"vfio":     {Driver: "550.54.15", GPUs: nvidiatest.DGX()[:1], Bare: []string{"0000:e1:00.0"}, BareOf: "vfio-pci"},
		"wsl":      {Nodes: map[string]nvidiatest.Numbers{"dev/dxg": {Major: 10, Minor: 125}}, Files: map[string]string{"usr/lib/wsl/lib/libcuda.so.1": "x"}},
		"jetson":   {Files: map[string]string{"etc/nv_tegra_release": "# R36 (release), REVISION: 4.3\n"}},
	}
}

// shown is an inventory without what differs from one temporary directory to the next.
func shown(inv devices.Inventory) devices.Inventory {
	if inv.Fingerprint != "" {
		inv.Fingerprint = "..."
	}
	return inv
}

func TestInventoryOfMachines(t *testing.T) {
	for name, m := range machines() {
		t.Run(name, func(t *testing.T) {
			inv, err := nvidia.New(m.Make(t)).Inventory(context.Background(), devices.Needs{})
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "inventory-"+name, shown(inv))
		})
	}
}

func TestNoHardwareIsErrAbsent(t *testing.T) {
	for name, root := range map[string]string{"empty": t.TempDir(), "bus of others": nvidiatest.Machine{Files: map[string]string{
		"sys/bus/pci/devices/0000:00:02.0/vendor": "0x8086\n", "sys/bus/pci/devices/0000:00:02.0/class": "0x030000\n"}}.Make(t)} {
		if inv, err := nvidia.New(root).Inventory(context.Background(), devices.Needs{}); !errors.Is(err, devices.ErrAbsent) {
			t.Errorf("%s: %+v, %v", name, inv, err)
		}
	}
}

// answers is an Asker that counts, with what NVML says of the machine's GPUs.
type answers struct {
	system  nvml.System
	gpus    map[string]nvml.GPU
	asked   [][]string
	library string
}

func (a *answers) ask(_ context.Context, library string, addresses []string) nvml.Answer {
	a.asked, a.library = append(a.asked, addresses), library
	answer := nvml.Answer{System: a.system}
	for _, address := range addresses {
		g := a.gpus[address]
		g.PCI = address
		answer.GPUs = append(answer.GPUs, g)
	}
	return answer
}

func ptr[T any](v T) *T { return &v }

// dgxAnswers is what NVML says of a DGX H100 in order.
func dgxAnswers() *answers {
	a := &answers{system: nvml.System{Driver: "550.54.15", Library: "12.550.54.15", CUDA: "12.4"}, gpus: map[string]nvml.GPU{}}
	for i, g := range nvidiatest.DGX() {
		said := nvml.GPU{Index: ptr(i), Minor: ptr(g.Minor), UUID: g.UUID, Name: g.Model, Brand: "nvidia", Architecture: "hopper", Capability: "9.0",
			Memory: 85520809984, MemoryUsed: 1 << 20, Persistence: ptr(true), ECC: ptr(true), Rows: &nvml.Rows{}, Recovery: "none", Fabric: "completed", MIG: ptr(false)}
		said.Links = []nvml.Link{{Switch: true, Count: 18}}
		a.gpus[g.PCI] = said
	}
	return a
}

func inventory(t *testing.T, s *nvidia.Source, needs devices.Needs) devices.Inventory {
	t.Helper()
	inv, err := s.Inventory(context.Background(), needs)
	if err != nil {
		t.Fatal(err)
	}
	return inv
}

func TestInventoryWithNVML(t *testing.T) {
	a := dgxAnswers()
	inv := inventory(t, nvidia.New(nvidiatest.H100().Make(t), nvidia.WithAsker(a.ask)), devices.Needs{})
	golden(t, "inventory-h100-nvml", shown(inv))
	if want := "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.550.54.15"; a.library != want {
		t.Errorf("library %q, want %q", a.library, want)
	}
}

func TestMIGWithNVML(t *testing.T) {
	a := dgxAnswers()
	g := a.gpus["0000:43:00.0"]
	g.MIG = ptr(true)
	g.Instances = []nvml.Instance{{Index: 0, GI: 2, CI: 0, UUID: "MIG-a", Profile: "2c.3g.40gb", Memory: 40 << 30}, {Index: 1, GI: 2, CI: 1, UUID: "MIG-b", Profile: "1c.3g.40gb", Memory: 40 << 30},
		{Index: 3, GI: 9, CI: 0, UUID: "MIG-c", Profile: "1g.10gb", Memory: 10 << 30}}
	a.gpus["0000:43:00.0"] = g
	inv := inventory(t, nvidia.New(machines()["mig"].Make(t), nvidia.WithAsker(a.ask)), devices.Needs{})
	var got []string
	for _, d := range inv.Devices {
		got = append(got, strings.Join(append([]string{d.Name, d.Parent, d.Profile}, append(d.Aliases, d.Nodes...)...), " "))
	}
	want := []string{
		"0000:1b:00.0   GPU-11111111-2222-3333-4444-000000000000 0 /dev/nvidia0",
		"0000:43:00.0   GPU-11111111-2222-3333-4444-000000000001 1 /dev/nvidia1",
		"0000:43:00.0-gi2-ci0 0000:43:00.0 2c.3g.40gb MIG-a 1:0 /dev/nvidia1 /dev/nvidia-caps/nvidia-cap21 /dev/nvidia-caps/nvidia-cap22",
		"0000:43:00.0-gi2-ci1 0000:43:00.0 1c.3g.40gb MIG-b 1:1 /dev/nvidia1 /dev/nvidia-caps/nvidia-cap21 /dev/nvidia-caps/nvidia-cap23",
		"0000:43:00.0-gi9-ci0 0000:43:00.0 1g.10gb MIG-c 1:3 /dev/nvidia1 /dev/nvidia-caps/nvidia-cap210 /dev/nvidia-caps/nvidia-cap211",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// One dead GPU costs its own line: the others are as they were.
func TestDeadGPUCostsItsOwnLine(t *testing.T) {
	root := nvidiatest.H100().Make(t)
	for name, dead := range map[string]nvml.GPU{
		"lost":          {Error: "ERROR_GPU_IS_LOST: GPU is lost"},
		"hangs":         {Error: "no answer in 10s", Hung: true},
		"needs reset":   {UUID: "GPU-x", Recovery: "reset"},
		"row pending":   {UUID: "GPU-x", Rows: &nvml.Rows{Pending: true}},
		"row failure":   {UUID: "GPU-x", Rows: &nvml.Rows{Failure: true}},
		"pages pending": {UUID: "GPU-x", PagesPending: ptr(true)},
		"fabric":        {UUID: "GPU-x", Fabric: "in progress"},
		"fabric failed": {UUID: "GPU-x", Fabric: "completed", FabricStatus: "ERROR_UNKNOWN"},
		"prohibited":    {UUID: "GPU-x", ComputeMode: "prohibited"},
	} {
		t.Run(name, func(t *testing.T) {
			a := dgxAnswers()
			a.gpus["0000:52:00.0"] = dead
			inv := inventory(t, nvidia.New(root, nvidia.WithAsker(a.ask)), devices.Needs{})
			for i, d := range inv.Devices {
				want := "ok"
				if i == 2 {
					want = "bad"
				}
				if d.Health.State != want || (want == "bad") != (len(d.Health.Reasons) > 0) {
					t.Errorf("%s: %+v, want %s", d.Name, d.Health, want)
				}
			}
			if len(inv.Devices) != 8 || len(inv.Findings) != 1 || inv.Findings[0].ID != finding.GPUUnhealthy || inv.Findings[0].Severity != finding.Warning {
				t.Errorf("%d devices, findings %+v", len(inv.Devices), inv.Findings)
			}
		})
	}
}

// A GPU in MIG mode without instances computes nothing, and must not be picked.
func TestMIGModeWithoutInstances(t *testing.T) {
	a := dgxAnswers()
	g := a.gpus["0000:1b:00.0"]
	g.MIG = ptr(true)
	a.gpus["0000:1b:00.0"] = g
	inv := inventory(t, nvidia.New(machines()["mig"].Make(t), nvidia.WithAsker(a.ask)), devices.Needs{})
	if h := inv.Devices[0].Health; h.State != "bad" || len(h.Reasons) != 1 || !strings.Contains(h.Reasons[0], "MIG mode") || inv.Devices[1].Health.State != "ok" {
		t.Errorf("%+v, and the other %+v", h, inv.Devices[1].Health)
	}
}

func TestHealthWarns(t *testing.T) {
	a := dgxAnswers()
	g := a.gpus["0000:1b:00.0"]
	g.ECCErrors = 3
	a.gpus["0000:1b:00.0"] = g
	inv := inventory(t, nvidia.New(nvidiatest.H100().Make(t), nvidia.WithAsker(a.ask)), devices.Needs{})
	if h := inv.Devices[0].Health; h.State != "warn" || len(inv.Findings) != 0 {
		t.Errorf("%+v, %+v", h, inv.Findings)
	}
}

// A library that can't be asked is no reason to refuse GPUs that the kernel's driver has.
func TestLibraryThatFails(t *testing.T) {
	fails := func(_ context.Context, _ string, addresses []string) nvml.Answer {
		a := nvml.Answer{System: nvml.System{Error: "ERROR_LIBRARY_NOT_FOUND"}}
		for _, address := range addresses {
			a.GPUs = append(a.GPUs, nvml.GPU{PCI: address, Error: "ERROR_LIBRARY_NOT_FOUND"})
		}
		return a
	}
	inv := inventory(t, nvidia.New(nvidiatest.H100().Make(t), nvidia.WithAsker(fails)), devices.Needs{})
	for _, d := range inv.Devices {
		if d.Health.State != "unknown" {
			t.Errorf("%s: %+v", d.Name, d.Health)
		}
	}
	if len(inv.Findings) != 1 || inv.Findings[0].ID != finding.GPUUnasked || inv.Findings[0].Severity != finding.Warning {
		t.Errorf("%+v", inv.Findings)
	}
}

// TestWithoutChild: a program that was not built is no fault of the machine's, and is told as a note.
func TestWithoutChild(t *testing.T) {
	s := nvidia.New(nvidiatest.H100().Make(t), nvidia.WithChild(filepath.Join(t.TempDir(), "hostrun-nvml")))
	if inv := inventory(t, s, devices.Needs{Health: true}); len(inv.Findings) != 1 || inv.Findings[0].ID != finding.GPUUnasked || inv.Findings[0].Severity != finding.Info {
		t.Errorf("%+v", inv.Findings)
	}
}

// A GPU that the driver lists and that is no longer on the bus has fallen off it.
func TestFallenOffTheBus(t *testing.T) {
	root := nvidiatest.H100().Make(t)
	if err := os.Remove(filepath.Join(root, "sys/bus/pci/devices/0000:61:00.0")); err != nil {
		t.Fatal(err)
	}
	inv := inventory(t, nvidia.New(root, nvidia.WithAsker(dgxAnswers().ask)), devices.Needs{})
	if h := inv.Devices[3].Health; h.State != "bad" || !strings.Contains(h.Reasons[0], "fallen off the bus") {
		t.Errorf("%+v", h)
	}
}

func TestUsers(t *testing.T) {
	m := nvidiatest.H100()
	m.Files = map[string]string{
		"proc/100/comm": "python3\n", "proc/100/cgroup": "0::/system.slice/docker-" + strings.Repeat("3f2a", 16) + ".scope\n",
		"proc/101/comm": "nvidia-persiste\n", "proc/101/cgroup": "0::/system.slice/nvidia-persistenced.service\n",
		"proc/102/comm": "train\n", "proc/102/cgroup": "0::/kubepods.slice/kubepods-burstable.slice/cri-containerd-" + strings.Repeat("9c1e", 16) + ".scope\n",
		"proc/103/comm": "julia\n", "proc/103/cgroup": "0::/user.slice/user-1000.slice/session-3.scope\n",
	}
	root := m.Make(t)
	for fd, target := range map[string]string{"100/fd/3": "/dev/nvidiactl", "100/fd/4": "/dev/nvidia0", "100/fd/5": "/dev/nvidia0", "101/fd/3": "/dev/nvidia0", "103/fd/9": "/dev/nvidia1"} {
		p := filepath.Join(root, "proc", fd)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, p); err != nil {
			t.Fatal(err)
		}
	}
	a := dgxAnswers()
	g := a.gpus["0000:43:00.0"]
	g.Processes = []nvml.Process{{PID: 102, Memory: 1 << 30}, {PID: 999}}
	a.gpus["0000:43:00.0"] = g
	inv := inventory(t, nvidia.New(root, nvidia.WithAsker(a.ask)), devices.Needs{Users: true, Health: true})
	want := [][]devices.User{{{PID: 100, Name: "python3 in docker container 3f2a3f2a3f2a"}}, {{PID: 102, Name: "train in Kubernetes container 9c1e9c1e9c1e"}, {PID: 103, Name: "julia"}}, nil}
	for i, users := range want {
		if diff := cmp.Diff(users, inv.Devices[i].Users); diff != "" {
			t.Errorf("GPU %d: %s", i, diff)
		}
	}
}

// A partition's users are those of its own capability, and users of the past are nobody's.
func TestUsersOfPartitions(t *testing.T) {
	m := machines()["mig"]
	m.Files = map[string]string{"proc/100/comm": "python3\n", "proc/102/comm": "old\n"}
	m.Links = map[string]string{"proc/100/fd/3": "/dev/nvidia1", "proc/100/fd/4": "/dev/nvidia-caps/nvidia-cap21", "proc/100/fd/5": "/dev/nvidia-caps/nvidia-cap23"}
	a := dgxAnswers()
	g := a.gpus["0000:1b:00.0"]
	g.Processes = []nvml.Process{{PID: 102}}
	a.gpus["0000:1b:00.0"] = g
	s := nvidia.New(m.Make(t), nvidia.WithAsker(a.ask), nvidia.WithCache(t.TempDir()))
	first := inventory(t, s, devices.Needs{})
	inv := inventory(t, s, devices.Needs{Users: true})
	if was, is := string(first.Devices[0].Facts), string(inv.Devices[0].Facts); !strings.Contains(was, "memory_used") || strings.Contains(is, "memory_used") {
		t.Errorf("what was true a while ago is told as if it were now: %s, then %s", was, is)
	}
	for i, want := range []int{0, 1, 0, 1, 0} {
		if got := inv.Devices[i]; len(got.Users) != want {
			t.Errorf("%s: %+v, want %d", got.Name, got.Users, want)
		}
	}
	if len(a.asked) != 1 {
		t.Errorf("NVML was asked %d times: users are told by the kernel's files", len(a.asked))
	}
}
