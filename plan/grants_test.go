package plan_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	cdi "tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// withAccelerators has two of eight: nodes, a driver's directory and file, and every sort of change to the environment.
func withAccelerators() plan.Facts {
	f := simple()
	mode, root, group := os.FileMode(0o660), uint32(0), uint32(1000)
	f.Profile.Devices = []profiles.Device{{Source: "/dev/accctl", Target: "/dev/accctl", Key: "devices[0]"}}
	f.Profile.GPUs = []profiles.Accelerator{{Count: 2, Key: "gpus"}}
	f.Profile.Lines["gpus"] = at(4)
	f.Profile.Environment = []profiles.EnvVar{{Name: "LD_LIBRARY_PATH", Value: "/opt/mine"}, {Name: "NVIDIA_VISIBLE_DEVICES", Value: "all"}}
	f.Image.Env = append(f.Image.Env, "ACC_OLD=1", "CUDA_VISIBLE_DEVICES=3", "PYTHONPATH=/app")
	f.Nodes = []devices.Node{{Path: "/dev/accctl", Destination: "/dev/accctl", Type: "c", Major: 9, Minor: 9, Mode: 0o600}}
	f.Engine.CPUs, f.Host.CPUs = "0-31", 32
	f.Grants = []devices.Grant{{
		Ask: devices.Ask{Kind: "example.com/acc", Count: 2, Key: "gpus"},
		Chosen: []devices.Device{
			{Kind: "example.com/acc", Name: "ACC-5", Index: 5, PCI: "0000:c2:00.0", NUMA: 1, CPUs: "8-15,24-31", Nodes: []string{"/dev/acc5"}},
			{Kind: "example.com/acc", Name: "ACC-4", Index: 4, PCI: "0000:c1:00.0", NUMA: 1, CPUs: "8-15,24-31", Nodes: []string{"/dev/acc4"}},
		},
		Edits: devices.Edits{
			ContainerEdits: cdi.ContainerEdits{
				Env: []string{"ACC_DRIVER=1.0"},
				DeviceNodes: []*cdi.DeviceNode{
					{Path: "/dev/acc4", Type: "c", Major: 241, Minor: 4, FileMode: &mode, UID: &root, GID: &group, Permissions: "rwm"},
					{Path: "/dev/acc5", HostPath: "/dev/vendor/acc5", Type: "c", Major: 241, Minor: 5, FileMode: &mode, UID: &root, GID: &group},
					{Path: "/dev/accctl", Type: "c", Major: 241, Minor: 255, Permissions: "r"},
				},
				Mounts: []*cdi.Mount{
					{HostPath: "/usr/local/acc", ContainerPath: "/usr/local/acc", Options: []string{"rbind", "ro", "nosuid", "nodev"}},
					{HostPath: "/usr/lib/libacc.so.1.0", ContainerPath: "/usr/lib/x86_64-linux-gnu/libacc.so.1", Options: []string{"bind", "ro", "rprivate"}},
				},
				AdditionalGIDs: []uint32{1000},
			},
			PrependEnv: map[string][]string{"LD_LIBRARY_PATH": {"/usr/local/acc/lib64"}, "PYTHONPATH": {"/usr/local/acc/py", "/app"}},
			DropEnv:    []string{"ACC_OLD"},
			Origins:    map[string]string{"/usr/local/acc": "driver 1.0", "/dev/acc4": "acc 4"},
		},
	}}
	return f
}

// TestGrantsMakeAnotherContainer: other numbers, another driver, other devices or another way to share them do; another equal
// inventory does not.
func TestGrantsMakeAnotherContainer(t *testing.T) {
	base := build(t, withAccelerators())
	for name, c := range map[string]struct {
		change func(*plan.Facts)
		want   string // of the difference; "" for the same container
	}{
		"numbers": {func(f *plan.Facts) { f.Grants[0].Edits.DeviceNodes[0].Major = 242 }, "linux.devices[/dev/acc4].major: 241 -> 242"},
		"driver":  {func(f *plan.Facts) { f.Grants[0].Edits.Mounts[1].HostPath = "/usr/lib/libacc.so.1.1" }, "mounts[/usr/lib/x86_64-linux-gnu/libacc.so.1].source: /usr/lib/libacc.so.1.0 -> /usr/lib/libacc.so.1.1"},
		"sharing": {func(f *plan.Facts) { f.Grants[0].Ask.Share = -1 }, "*"},
		"devices": {func(f *plan.Facts) { f.Grants[0].Chosen[0].Name = "ACC-6" }, "*"},
		"an inventory": {func(f *plan.Facts) {
			f.Inventories = []devices.Inventory{{Kind: "example.com/acc", Fingerprint: "x"}}
		}, ""},
	} {
		f := withAccelerators()
		c.change(&f)
		got := build(t, f)
		if (got.Hash == base.Hash) != (c.want == "") {
			t.Errorf("%s: the same container: %v", name, got.Hash == base.Hash)
		}
		if lines := plan.Diff(base.Spec, got.Spec); c.want != "" && c.want != "*" && !slices.Contains(lines, c.want) {
			t.Errorf("%s: the difference is %q", name, lines)
		}
	}
}

func TestDeviceNumbers(t *testing.T) {
	var lines []string
	for _, n := range plan.DeviceNumbers(withAccelerators().Grants) {
		lines = append(lines, n.String())
	}
	want := []string{"container 0 = /dev/acc4 (0000:c1:00.0)", "container 1 = /dev/acc5 (0000:c2:00.0)"}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
}

// TestPartsAreNumberedByTheirNodes: the parts of an NPU have no index, and the driver counts them behind the whole ones, by their numbers.
func TestPartsAreNumberedByTheirNodes(t *testing.T) {
	d := func(name string, index int) devices.Device {
		return devices.Device{Kind: devices.KindNPU, Name: name, Index: index, Nodes: []string{"/dev/" + name}, PCI: "0000:c1:00.0"}
	}
	var lines []string
	for _, n := range plan.DeviceNumbers([]devices.Grant{{Chosen: []devices.Device{d("vdavinci116", -1), d("vdavinci101", -1)}}, {Chosen: []devices.Device{d("3", 3)}}}) {
		lines = append(lines, n.String())
	}
	if want := []string{"container 0 = /dev/3 (0000:C1:00.0)", "container 1 = /dev/vdavinci101 (0000:C1:00.0)", "container 2 = /dev/vdavinci116 (0000:C1:00.0)"}; !slices.Equal(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
}

// TestNoMoreNodesThanLeased: a whole directory of nodes brought those of NPUs that the container has no lease of, and who opens them takes
// them from others.
func TestNoMoreNodesThanLeased(t *testing.T) {
	node := func(p string, minor int64) devices.Node {
		return devices.Node{Path: p, Destination: p, Type: "c", Major: 236, Minor: minor, Mode: 0o660}
	}
	for _, privileged := range []bool{false, true} {
		f := withAccelerators()
		f.Profile.Privileged = privileged
		chosen := devices.Device{Kind: devices.KindNPU, Name: "4", Index: 4, Nodes: []string{"/dev/davinci4"}}
		f.Grants = []devices.Grant{{Ask: devices.Ask{Kind: devices.KindNPU, Key: "npus"}, Chosen: []devices.Device{chosen}}}
		f.Inventories = []devices.Inventory{{Kind: devices.KindNPU, Devices: []devices.Device{chosen, {Kind: devices.KindNPU, Name: "5", Index: 5, Nodes: []string{"/dev/davinci5"}}}},
			{Kind: devices.KindGPU, Devices: []devices.Device{{Kind: devices.KindGPU, Name: "0", Nodes: []string{"/dev/nvidia0"}}}}}
		f.Nodes = []devices.Node{node("/dev/davinci4", 4), node("/dev/davinci5", 5), node("/dev/nvidia0", 0), node("/dev/fuse", 229)}
		pl, _ := plan.Build(f)
		var got []string
		for _, d := range pl.Spec.Linux.Devices {
			got = append(got, d.Path)
		}
		if want := []string{"/dev/davinci4", "/dev/nvidia0", "/dev/fuse"}; !slices.Equal(got, want) {
			t.Errorf("privileged %v: %q, want %q", privileged, got, want)
		}
		f.Grants[0].Chosen = nil                                                // optional, and none was free
		for _, inventories := range [][]devices.Inventory{f.Inventories, nil} { // none: the profile asks for no accelerator, and nobody has looked
			f.Inventories = inventories
			pl, _ := plan.Build(f)
			if all := pl.Spec.Linux.Devices; len(all) != 2 || all[0].Path != "/dev/nvidia0" || all[1].Path != "/dev/fuse" {
				t.Errorf("without a grant: %+v", all)
			}
		}
	}
}

// TestAsks: what a profile's keys mean as requests.
func TestAsks(t *testing.T) {
	p := profiles.Profile{Lines: map[string]profiles.Position{"devices[1]": {File: "j.yaml", Line: 7}},
		GPUs: []profiles.Accelerator{{Count: 2, Key: "gpus", Options: map[string]string{"gds": "true"}}, {Driver: "cdi", IDs: []string{"nvidia.com/gpu=1", "v.com/net=all"}, Key: "gpus[1]"}},
		NPUs: []profiles.Accelerator{{All: true, Key: "npus"}}, Ascend: profiles.Ascend{Toolkit: "host", RankTable: true},
		Devices: []profiles.Device{{Source: "/dev/fuse"}, {Source: "/dev/davinci1", Key: "devices[1]"}, {Source: "/dev/davinci3"}, {Source: "/dev/davinci_manager"}, {Source: "nvidia.com/gpu=0", CDI: true}}}
	ascend := map[string]string{"toolkit": "host", "rank_table": "true"}
	want := []devices.Ask{
		{Kind: devices.KindGPU, Count: 2, Key: "gpus", Options: map[string]string{"gds": "true"}},
		{Kind: devices.KindGPU, IDs: []string{"1"}, Qualified: true, Key: "gpus[1]"},
		{Kind: "v.com/net", All: true, Qualified: true, Key: "gpus[1]"},
		{Kind: devices.KindNPU, All: true, Key: "npus", Options: ascend},
		{Kind: devices.KindGPU, IDs: []string{"0"}, Qualified: true},
		{Kind: devices.KindNPU, IDs: []string{"/dev/davinci1", "/dev/davinci3"}, Key: "devices[1]", File: "j.yaml", Line: 7, Options: ascend},
	}
	if diff := cmp.Diff(want, plan.Asks(&p)); diff != "" {
		t.Error(diff)
	}
	var raw []string
	for _, d := range plan.RawDevices(&p) {
		raw = append(raw, d.Source)
	}
	if got := strings.Join(raw, " "); got != "/dev/fuse /dev/davinci_manager" {
		t.Errorf("plain nodes: %s", got)
	}
}

// TestGrantWithoutPermissions: a node that a CDI file gives no permissions could be opened.
func TestGrantWithoutPermissions(t *testing.T) {
	f := withAccelerators()
	before := len(build(t, f).Spec.Linux.Resources.Devices)
	f.Grants[0].Edits.DeviceNodes[0].Permissions = "none"
	linux := build(t, f).Spec.Linux
	if len(linux.Resources.Devices) != before-1 || linux.Devices[0].Path != "/dev/acc4" {
		t.Errorf("%d rules, %d before; nodes %v", len(linux.Resources.Devices), before, linux.Devices)
	}
	for _, r := range linux.Resources.Devices {
		if r.Allow && r.Minor != nil && *r.Major == 241 && *r.Minor == 4 {
			t.Errorf("rule %+v", r)
		}
	}
}
