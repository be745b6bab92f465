package nvidia_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/nvidia"
	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
	"hostrun.dev/hostrun/devices/nvidia/nvml"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
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
			inv := inventory(t, nvidia.New(nvidiatest.H100().Make(t), nvidia.WithAsker(a.ask)), devices.Needs{})
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
	inv := inventory(t, nvidia.New(root, nvidia.WithAsker(a.ask)), devices.Needs{Users: true})
	want := [][]devices.User{{{PID: 100, Name: "python3 in docker container 3f2a3f2a3f2a"}}, {{PID: 102, Name: "train in Kubernetes container 9c1e9c1e9c1e"}, {PID: 103, Name: "julia"}}, nil}
	for i, users := range want {
		if diff := cmp.Diff(users, inv.Devices[i].Users); diff != "" {
			t.Errorf("GPU %d: %s", i, diff)
		}
	}
}

func edits(t *testing.T, s *nvidia.Source, ask devices.Ask, c devices.Container, pick ...int) (devices.Edits, []finding.Finding) {
	t.Helper()
	inv := inventory(t, s, devices.Needs{})
	var chosen []devices.Device
	for _, i := range pick {
		chosen = append(chosen, inv.Devices[i])
	}
	return s.Edits(inv, chosen, ask, c)
}

// image makes a tree with this machine's loader and what else files name.
func image(t *testing.T, files map[string]string) *rootfs.View {
	t.Helper()
	root := t.TempDir()
	put := func(name string, body []byte) {
		p := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, body, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, body := range files {
		switch {
		case strings.HasPrefix(body, "-> "):
			if err := os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(body[3:], filepath.Join(root, name)); err != nil {
				t.Fatal(err)
			}
		default:
			put(name, []byte(body))
		}
	}
	return rootfs.Dir(root)
}

// loaders are made of the words that a loader is recognised by: its default directories and its release (abi/ld).
var (
	debianLoader = loader("/lib/x86_64-linux-gnu/", "/usr/lib/x86_64-linux-gnu/", "/lib/", "/usr/lib/")
	redhatLoader = loader("/lib64/", "/usr/lib64/")
	archLoader   = loader("/usr/lib/", "/usr/lib64/")
)

func loader(dirs ...string) string {
	return string(nvidiatest.Library("ld-linux-x86-64.so.2")) + "\x00" + strings.Join(dirs, "\x00") + "\x00\x00release version 2.36.\n\x00"
}

func debian(more map[string]string) map[string]string {
	files := map[string]string{"lib": "-> usr/lib", "lib64": "-> usr/lib64", "usr/lib64/ld-linux-x86-64.so.2": debianLoader, "usr/lib/x86_64-linux-gnu/libc.so.6": "x"}
	for name, body := range more {
		files[name] = body
	}
	return files
}

func TestEditsOfMachines(t *testing.T) {
	all := machines()
	graphics := nvidiatest.H100()
	graphics.GPUs, graphics.Graphics = graphics.GPUs[:1], true
	all["graphics"] = graphics
	tests := []struct {
		name, machine string
		ask           devices.Ask
		image         map[string]string
		env           []string
		pick          []int
	}{
		{"debian", "h100", devices.Ask{}, debian(nil), nil, []int{0, 3}},
		{"redhat", "h100", devices.Ask{}, map[string]string{"lib64": "-> usr/lib64", "usr/lib64/ld-linux-x86-64.so.2": redhatLoader}, nil, []int{1}},
		{"arch", "frontend", devices.Ask{}, map[string]string{"lib64": "-> usr/lib", "usr/lib/ld-linux-x86-64.so.2": archLoader}, nil, []int{0}},
		{"all-capabilities", "graphics", devices.Ask{Capabilities: []string{"all"}}, debian(nil), nil, []int{0}},
		{"mig", "mig", devices.Ask{Capabilities: []string{"gpu", "compute"}}, debian(nil), nil, []int{2}},
		{"image-has-driver", "h100", devices.Ask{}, debian(map[string]string{
			"usr/lib/x86_64-linux-gnu/libcuda.so.1": "-> libcuda.so.470.57.02", "usr/local/nvidia/lib64/libnvidia-ml.so.1": "",
			"usr/local/cuda/lib64/stubs/libcuda.so": "stub"}), []string{"LD_LIBRARY_PATH=/usr/local/nvidia/lib64:/usr/local/cuda/lib64/stubs"}, []int{0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := nvidia.New(all[test.machine].Make(t))
			got, found := edits(t, s, test.ask, devices.Container{View: image(t, test.image), Env: test.env}, test.pick...)
			if len(found) > 0 {
				t.Errorf("findings: %+v", found)
			}
			golden(t, "edits-"+test.name, got)
		})
	}
}

func destinations(e devices.Edits) []string {
	var all []string
	for _, m := range e.Mounts {
		all = append(all, m.ContainerPath)
	}
	for _, n := range e.DeviceNodes {
		all = append(all, n.Path)
	}
	return all
}

func TestEditsFindings(t *testing.T) {
	all := machines()
	stale := nvidiatest.H100()
	stale.StaleUVM = true
	all["stale"] = stale
	none := nvidiatest.H100()
	none.NoFiles = true
	all["nofiles"] = none
	musl := map[string]string{"lib/ld-musl-x86_64.so.1": "x"}
	tests := []struct {
		name, machine string
		ask           devices.Ask
		image         map[string]string
		env           []string
		id            string
		severity      finding.Severity
		says          string
	}{
		{"uvm not loaded", "nouvm", devices.Ask{}, debian(nil), nil, finding.GPUUVM, finding.Error, "nvidia-modprobe -u -c=0"},
		{"uvm of an earlier boot", "stale", devices.Ask{}, debian(nil), nil, finding.GPUUVM, finding.Error, "511:0"},
		{"no libraries", "nofiles", devices.Ask{}, debian(nil), nil, finding.GPULibraries, finding.Error, "libcuda.so.550.54.15"},
		{"musl", "h100", devices.Ask{}, musl, nil, finding.GPUImageLibc, finding.Error, "musl"},
		{"no libc", "h100", devices.Ask{}, map[string]string{"app": "x"}, nil, finding.GPUImageLibc, finding.Warning, "no C library"},
		{"unknown capability", "h100", devices.Ask{Capabilities: []string{"compite"}}, debian(nil), nil, finding.GPUOption, finding.Error, "compute"},
		{"unknown capability of the image", "h100", devices.Ask{}, debian(nil), []string{"NVIDIA_DRIVER_CAPABILITIES=compute,utilty"}, finding.GPUOption, finding.Error, `did you mean "utility"?`},
		{"compat32", "h100", devices.Ask{Capabilities: []string{"compute", "utility", "compat32"}}, debian(nil), nil, finding.GPUOption, finding.Info, "32-bit"},
		{"unknown option", "h100", devices.Ask{Options: map[string]string{"gsd": "true"}}, debian(nil), nil, finding.GPUOption, finding.Error, `"gds"`},
		{"gds without its nodes", "h100", devices.Ask{Options: map[string]string{"gds": "true"}}, debian(nil), nil, finding.GPUNodeMissing, finding.Error, "nvidia-gds"},
		{"imex without channels", "h100", devices.Ask{Options: map[string]string{"imex": "true"}}, debian(nil), nil, finding.GPUNodeMissing, finding.Error, "channel0"},
		{"imex of no number", "h100", devices.Ask{Options: map[string]string{"imex": "a"}}, debian(nil), nil, finding.GPUOption, finding.Error, "no IMEX channel"},
		{"mps", "h100", devices.Ask{Options: map[string]string{"mps": "true"}}, debian(nil), nil, finding.GPUNodeMissing, finding.Error, "nvidia-cuda-mps-control"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := nvidia.New(all[test.machine].Make(t))
			test.ask.File, test.ask.Line = "p.yaml", 7
			_, found := edits(t, s, test.ask, devices.Container{View: image(t, test.image), Env: test.env}, 0)
			if len(found) != 1 {
				t.Fatalf("findings: %+v", found)
			}
			f := found[0]
			text := f.Message + f.Got + f.Want + f.Remedy + f.Subject
			if f.ID != test.id || f.Severity != test.severity || !strings.Contains(text, test.says) || f.File != "p.yaml" || f.Line != 7 {
				t.Errorf("got %+v, want %s %s with %q", f, test.id, test.severity, test.says)
			}
		})
	}
}

// A node that vanishes after the inventory, or whose number changes, is seen: numbers are read when the edits are made.
func TestEditsReadNodesAnew(t *testing.T) {
	root := nvidiatest.H100().Make(t)
	s := nvidia.New(root)
	inv := inventory(t, s, devices.Needs{})
	if err := os.Remove(filepath.Join(root, "dev/nvidia0")); err != nil {
		t.Fatal(err)
	}
	_, found := s.Edits(inv, inv.Devices[:1], devices.Ask{}, devices.Container{})
	if len(found) != 1 || found[0].ID != finding.GPUNodeMissing || found[0].Subject != "/dev/nvidia0" {
		t.Errorf("%+v", found)
	}
	if err := os.WriteFile(filepath.Join(root, "dev/nvidia0"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, found = s.Edits(inv, inv.Devices[:1], devices.Ask{}, devices.Container{}); len(found) != 1 || found[0].ID != finding.GPUNodeMissing {
		t.Errorf("a file in the node's place: %+v", found)
	}
}

// On the host's own root its files are in place already, and nothing can be made in /usr.
func TestEditsOnTheHostsOwnRoot(t *testing.T) {
	m := nvidiatest.H100()
	m.Files = map[string]string{"lib64/ld-linux-x86-64.so.2": debianLoader}
	root := m.Make(t)
	got, found := edits(t, nvidia.New(root), devices.Ask{}, devices.Container{View: rootfs.Dir(root)}, 0)
	for _, at := range destinations(got) {
		if strings.HasPrefix(at, "/usr/") && path(at) != "libcuda.so" {
			t.Errorf("%s is mounted over itself", at)
		}
	}
	if len(found) != 0 || len(got.DeviceNodes) != 4 {
		t.Errorf("%+v, %d nodes", found, len(got.DeviceNodes))
	}
}

func path(p string) string { return filepath.Base(p) }

func TestWholeGPUInMIGMode(t *testing.T) {
	a := dgxAnswers()
	g := a.gpus["0000:43:00.0"]
	g.MIG = ptr(true)
	a.gpus["0000:43:00.0"] = g
	s := nvidia.New(machines()["mig"].Make(t), nvidia.WithAsker(a.ask))
	if _, found := edits(t, s, devices.Ask{}, devices.Container{}, 1); len(found) != 1 || found[0].ID != finding.GPUPartition {
		t.Errorf("%+v", found)
	}
}

// A GPU that is bad and is named all the same stops the start.
func TestEditsOfABadGPU(t *testing.T) {
	a := dgxAnswers()
	a.gpus["0000:1b:00.0"] = nvml.GPU{Error: "ERROR_GPU_IS_LOST: GPU is lost"}
	s := nvidia.New(nvidiatest.H100().Make(t), nvidia.WithAsker(a.ask))
	if _, found := edits(t, s, devices.Ask{}, devices.Container{}, 0); len(found) != 1 || found[0].ID != finding.GPUUnhealthy || found[0].Severity != finding.Error {
		t.Errorf("%+v", found)
	}
}

func TestOptions(t *testing.T) {
	m := nvidiatest.H100()
	m.Nodes = map[string]nvidiatest.Numbers{"dev/nvidia-fs0": {Major: 500}, "dev/nvidia-fs1": {Major: 500, Minor: 1}, "dev/infiniband/uverbs0": {Major: 231, Minor: 192},
		"dev/infiniband/rdma_cm": {Major: 10, Minor: 121}, "dev/gdrdrv": {Major: 505}, "dev/nvidia-caps-imex-channels/channel3": {Major: 506, Minor: 3}}
	m.Files = map[string]string{"etc/cufile.json": "{}", "run/udev/data/x": "", "tmp/nvidia-mps/control": ""}
	ask := devices.Ask{Options: map[string]string{"gds": "true", "rdma": "on", "gdrcopy": "yes", "imex": "3", "mps": "true"}}
	got, found := edits(t, nvidia.New(m.Make(t)), ask, devices.Container{}, 0)
	for _, want := range []string{"/dev/nvidia-fs0", "/dev/nvidia-fs1", "/dev/infiniband/uverbs0", "/dev/infiniband/rdma_cm", "/dev/gdrdrv",
		"/dev/nvidia-caps-imex-channels/channel3", "/etc/cufile.json", "/run/udev", "/tmp/nvidia-mps"} {
		if !slices.Contains(destinations(got), want) || got.Origins[want] == "" {
			t.Errorf("%s is not given, or has no origin", want)
		}
	}
	if len(found) > 0 {
		t.Errorf("%+v", found)
	}
	off, found := edits(t, nvidia.New(m.Make(t)), devices.Ask{Options: map[string]string{"gds": "false", "mps": "off"}}, devices.Container{}, 0)
	if slices.Contains(destinations(off), "/dev/nvidia-fs0") || slices.Contains(destinations(off), "/tmp/nvidia-mps") || len(found) > 0 {
		t.Errorf("off: %v, %+v", destinations(off), found)
	}
}

// A node of a group lets in a user who is not root through the group.
func TestGroupOfANode(t *testing.T) {
	m := nvidiatest.H100()
	m.GPUs, m.Graphics = m.GPUs[:1], true
	root := m.Make(t)
	node := filepath.Join(root, "dev/dri/renderD128")
	if err := errors.Join(os.Chown(node, 0, 105), os.Chmod(node, 0o660)); err != nil {
		t.Fatal(err)
	}
	ask := devices.Ask{Capabilities: []string{"graphics"}}
	for user, want := range map[uint32]int{0: 0, 1000: 1} {
		got, _ := edits(t, nvidia.New(root), ask, devices.Container{User: user}, 0)
		if len(got.AdditionalGIDs) != want {
			t.Errorf("user %d: %v", user, got.AdditionalGIDs)
		}
	}
}

// Where the driver's files lie elsewhere, they are found: a driver container's root, or what the caller says.
func TestDriverRoots(t *testing.T) {
	for _, dir := range []string{"run/nvidia/driver", "srv/driver"} {
		root := nvidiatest.Machine{Driver: "550.54.15", GPUs: nvidiatest.DGX()[:1], LibDir: dir + "/usr/lib/x86_64-linux-gnu"}.Make(t)
		if err := os.MkdirAll(filepath.Join(root, dir, "usr"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(root, "usr/bin"), filepath.Join(root, dir, "usr/bin")); err != nil {
			t.Fatal(err)
		}
		var options []nvidia.Option
		if dir == "srv/driver" {
			options = append(options, nvidia.WithDriverRoot("/"+dir))
		}
		got, found := edits(t, nvidia.New(root, options...), devices.Ask{}, devices.Container{}, 0)
		if len(found) > 0 {
			t.Errorf("%s: %+v", dir, found)
		}
		for _, m := range got.Mounts {
			if !strings.HasPrefix(m.HostPath, "/"+dir+"/") && !strings.HasPrefix(m.HostPath, "/usr/lib/firmware") {
				t.Errorf("%s: source %s", dir, m.HostPath)
			}
		}
	}
}
