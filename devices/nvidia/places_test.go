package nvidia_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/nvidia"
	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
	"hostrun.dev/hostrun/finding"
)

// one is a machine with one GPU, whose driver's libraries lie in a directory.
func one(dir string) nvidiatest.Machine {
	return nvidiatest.Machine{Driver: "550.54.15", GPUs: nvidiatest.DGX()[:1], LibDir: dir, Files: map[string]string{}}
}

// TestLibrariesInUnusualPlaces: of these only the first two were found, by a list that can't be complete. The programs lie beside the libraries.
func TestLibrariesInUnusualPlaces(t *testing.T) {
	for name, c := range map[string]struct{ dir, programs, files string }{
		"Debian":                     {"usr/lib/x86_64-linux-gnu/nvidia/current", "usr/lib/nvidia/current", ""},
		"Google's":                   {"home/kubernetes/bin/nvidia/lib64", "home/kubernetes/bin/nvidia/bin", ""},
		"Ubuntu of old":              {"usr/lib/nvidia-550", "usr/lib/nvidia-550/bin", ""},
		"Debian, with a second one":  {"usr/lib/x86_64-linux-gnu/nvidia/tesla-550", "usr/bin", ""},
		"Flatcar":                    {"opt/nvidia/550.54.15/lib64", "opt/nvidia/550.54.15/bin", ""},
		"below its own usr":          {"opt/nvidia/current/usr/lib64", "opt/nvidia/current/usr/bin", ""},
		"Bottlerocket":               {"usr/lib/nvidia/tesla", "usr/libexec/nvidia/tesla/bin", ""},
		"Talos":                      {"usr/local/glibc/usr/lib", "usr/local/bin", ""},
		"what ld.so.conf says":       {"srv/drivers/lib", "srv/drivers/bin", "etc/ld.so.conf=include ld.so.conf.d/*.conf\n;etc/ld.so.conf.d/nv.conf=# the driver\n/srv/drivers/lib\n"},
		"what it says with a slash":  {"srv/drivers/lib", "srv/drivers/lib", "etc/ld.so.conf=/srv/drivers/lib/\n"},
		"what it says of no driver":  {"srv/drivers/lib", "", "etc/ld.so.conf=/srv/other/lib\n"},
		"in nobody's place":          {"srv/lib", "", ""},
		"another's, in an odd place": {"usr/lib/nvidia-535", "", "user=535.54.03"},
	} {
		t.Run(name, func(t *testing.T) {
			m := one(c.dir)
			for f := range strings.SplitSeq(c.files, ";") {
				if p, body, ok := strings.Cut(f, "="); ok && p != "user" {
					m.Files[p] = body
				} else if ok {
					m.User = body
				}
			}
			root := m.Make(t)
			if c.programs != "" && c.programs != "usr/bin" {
				move(t, filepath.Join(root, "usr/bin"), filepath.Join(root, c.programs))
			}
			s := nvidia.New(root)
			got, found := edits(t, s, devices.Ask{}, devices.Container{}, 0)
			switch {
			case m.User != "": // the library of another release is found, so that this is what is told
				if f := fitOf(t, s); len(f) == 0 || f[0].ID != finding.GPUMismatch || !strings.Contains(f[0].Got, "/usr/lib/nvidia-535/libcuda.so.535.54.03") {
					t.Errorf("%+v", f)
				}
				return
			case c.programs == "":
				if len(found) != 1 || found[0].ID != finding.GPULibraries || !strings.Contains(found[0].Got, "/etc/ld.so.conf") {
					t.Errorf("%+v", found)
				}
				return
			}
			want := map[string]string{"/usr/lib/x86_64-linux-gnu/libcuda.so.1": "/" + c.dir + "/libcuda.so.550.54.15", "/usr/bin/nvidia-smi": "/" + c.programs + "/nvidia-smi"}
			for at, from := range want {
				if sources(got)[at] != from {
					t.Errorf("%s is %q, want %s", at, sources(got)[at], from)
				}
			}
			if len(found) > 0 {
				t.Errorf("%+v", found)
			}
		})
	}
}

// TestLibrariesOf32Bits: a machine that has the driver's 32-bit libraries alone gave a container its GPU and no libcuda, without a word.
func TestLibrariesOf32Bits(t *testing.T) {
	m := one("usr/lib64")
	m.NoFiles = true
	for name, class := range map[string]byte{"32 bits": 1, "64 bits": 2, "nothing": 0} {
		body := nvidiatest.Library("libcuda.so.1")
		body[4] = class
		if class == 0 {
			body = nil
		}
		m.Files["usr/lib/libcuda.so.550.54.15"] = string(body)
		_, found := edits(t, nvidia.New(m.Make(t)), devices.Ask{}, devices.Container{}, 0)
		if refused := slices.ContainsFunc(found, func(f finding.Finding) bool {
			return f.ID == finding.GPULibraries && f.Severity == finding.Error && f.Subject == "libcuda.so.550.54.15"
		}); refused != (class != 2) {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

// move moves all files of a directory.
func move(t *testing.T, from, to string) {
	t.Helper()
	all, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if err := os.Rename(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

func fitOf(t *testing.T, s *nvidia.Source) []finding.Finding {
	t.Helper()
	inv := inventory(t, s, devices.Needs{})
	return nvidia.Fit(inv, inv.Devices[:1], nvidia.Wants{})
}

// TestNixOS: every path leads through links into a store, the firmware's, too.
func TestNixOS(t *testing.T) {
	m := one("nix/store/abc-nvidia-x11-550.54.15/lib")
	m.Files["nix/store/fw/nvidia/550.54.15/gsp_ga10x.bin"] = "firmware\n"
	m.Links = map[string]string{"run/opengl-driver": "/nix/store/gl", "nix/store/gl/lib/libcuda.so.1": "/nix/store/abc-nvidia-x11-550.54.15/lib/libcuda.so.1",
		"run/current-system": "/nix/store/sys", "nix/store/sys/firmware": "/nix/store/fw", "nix/store/sys/sw/bin/nvidia-smi": "/nix/store/abc-nvidia-x11-550.54.15/bin/nvidia-smi"}
	root := m.Make(t)
	move(t, filepath.Join(root, "usr/bin"), filepath.Join(root, "nix/store/abc-nvidia-x11-550.54.15/bin"))
	if err := os.RemoveAll(filepath.Join(root, "usr/lib/firmware")); err != nil {
		t.Fatal(err)
	}
	got, found := edits(t, nvidia.New(root), devices.Ask{}, devices.Container{}, 0)
	for at, from := range map[string]string{"/usr/lib/x86_64-linux-gnu/libcuda.so.1": "abc-nvidia-x11-550.54.15/lib/libcuda.so.550.54.15",
		"/usr/bin/nvidia-smi": "abc-nvidia-x11-550.54.15/bin/nvidia-smi", "/lib/firmware/nvidia/550.54.15/gsp_ga10x.bin": "fw/nvidia/550.54.15/gsp_ga10x.bin"} {
		if sources(got)[at] != "/nix/store/"+from {
			t.Errorf("%s is %q", at, sources(got)[at])
		}
	}
	if len(found) > 0 {
		t.Errorf("%+v", found)
	}
}

// TestNodesOfADriverContainer: NVIDIA's driver container makes the nodes in its own /dev, and the machine may have none.
func TestNodesOfADriverContainer(t *testing.T) {
	root := one("run/nvidia/driver/usr/lib64").Make(t)
	move(t, filepath.Join(root, "usr/bin"), filepath.Join(root, "run/nvidia/driver/usr/bin"))
	move(t, filepath.Join(root, "dev"), filepath.Join(root, "run/nvidia/driver/dev"))
	if err := os.MkdirAll(filepath.Join(root, "run/nvidia/driver/run/nvidia-persistenced/socket"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := nvidia.New(root)
	if d := inventory(t, s, devices.Needs{}).Devices[0]; d.Health.State != "unknown" {
		t.Errorf("%+v", d.Health)
	}
	got, found := edits(t, s, devices.Ask{}, devices.Container{}, 0)
	if at := sources(got)["/run/nvidia-persistenced/socket"]; len(found) > 0 || at != "/run/nvidia/driver/run/nvidia-persistenced/socket" {
		t.Errorf("socket of nvidia-persistenced: %q; %+v", at, found)
	}
	if !slices.Contains(got.Probe.Open, "/dev/nvidia0") {
		t.Errorf("a GPU that is kept ready is not opened: %+v", got.Probe)
	}
	var nodes []string
	for _, n := range got.DeviceNodes {
		nodes = append(nodes, fmt.Sprintf("%s from %s %d:%d", n.Path, n.HostPath, n.Major, n.Minor))
	}
	want := []string{"/dev/nvidia0 from /run/nvidia/driver/dev/nvidia0 195:0", "/dev/nvidiactl from /run/nvidia/driver/dev/nvidiactl 195:255",
		"/dev/nvidia-uvm from /run/nvidia/driver/dev/nvidia-uvm 510:0", "/dev/nvidia-uvm-tools from /run/nvidia/driver/dev/nvidia-uvm-tools 510:1"}
	if !slices.Equal(nodes, want) {
		t.Errorf("%q", nodes)
	}
}

// TestJetsonWithADisplayDriver: JetPack 6 has /proc/driver/nvidia and its nodes for the display. It was taken for a machine with a GPU of no memory.
func TestJetsonWithADisplayDriver(t *testing.T) {
	m := nvidiatest.Machine{Driver: "540.4.0", Open: true, NoUVM: true, NoFiles: true, Files: map[string]string{"etc/nv_tegra_release": "# R36 (release), REVISION: 4.0\n",
		"proc/driver/nvidia/gpus/0000:00:00.0/information": "Model: \t\t Unknown\nGPU UUID: \t GPU-????????-????-????-????-????????????\nBus Type: \t Unknown\nDevice Minor: \t 0\n"},
		Nodes: map[string]nvidiatest.Numbers{"dev/nvidia0": {Major: nvidiatest.Major}}}
	inv := inventory(t, nvidia.New(m.Make(t)), devices.Needs{})
	if len(inv.Devices) != 0 || len(inv.Findings) != 1 || inv.Findings[0].ID != finding.GPUElsewhere || !strings.Contains(inv.Findings[0].Message, "Jetson") {
		t.Errorf("%+v", inv)
	}
	m.GPUs = nvidiatest.DGX()[:1] // a card in its slot is one
	m.NoUVM, m.NoFiles, m.Nodes = false, false, nil
	inv = inventory(t, nvidia.New(m.Make(t)), devices.Needs{})
	if i := slices.IndexFunc(inv.Devices, func(d devices.Device) bool { return d.Name == "0000:1b:00.0" }); i < 0 || inv.Devices[i].Health.State == "bad" {
		t.Errorf("%+v", inv.Devices)
	}
}

// TestStaleNumbers: a node that has the number of another GPU, or of a partition before the driver was loaded anew, was given as it stood.
func TestStaleNumbers(t *testing.T) {
	m := nvidiatest.H100()
	m.GPUs = m.GPUs[:3]
	m.GPUs[2].MIG = []nvidiatest.Instance{{GI: 9, CI: 0, GIMinor: 210, CIMinor: 211}}
	for node, c := range map[string]struct {
		n    nvidiatest.Numbers
		pick int
		got  string
	}{
		"dev/nvidia0":                     {nvidiatest.Numbers{Major: nvidiatest.Major, Minor: 1}, 0, "it has the numbers 195:1, and the driver's are 195:0"},
		"dev/nvidiactl":                   {nvidiatest.Numbers{Major: nvidiatest.Major, Minor: 1}, 0, "it has the numbers 195:1, and the driver's are 195:255"},
		"dev/nvidia-caps/nvidia-cap210":   {nvidiatest.Numbers{Major: 236, Minor: 210}, 3, "it has the numbers 236:210, and the driver's are 237:210"},
		"dev/nvidia-caps/nvidia-cap211":   {nvidiatest.Numbers{Major: nvidiatest.CapsMajor, Minor: 212}, 3, "it has the numbers 237:212, and the driver's are 237:211"},
		"dev/nvidia-caps/not-a-partition": {nvidiatest.Numbers{Major: 1, Minor: 3}, 3, ""},
	} {
		root := m.Make(t)
		_ = os.Remove(filepath.Join(root, node))
		nvidiatest.Machine{Nodes: map[string]nvidiatest.Numbers{node: c.n}}.Write(t, root)
		_, found := edits(t, nvidia.New(root), devices.Ask{}, devices.Container{}, c.pick)
		if c.got == "" && len(found) == 0 {
			continue
		}
		if len(found) != 1 || found[0].ID != finding.GPUNodeMissing || found[0].Severity != finding.Error || found[0].Got != c.got || !strings.Contains(found[0].Remedy, "rm /"+node) {
			t.Errorf("%s: %+v", node, found)
		}
	}
}

// TestGPUWithoutANodeGoesLast: one of two GPUs has its node, and a job that asks for one got the other, and was refused.
func TestGPUWithoutANodeGoesLast(t *testing.T) {
	m := nvidiatest.H100()
	m.GPUs = m.GPUs[:2]
	root := m.Make(t)
	if err := os.Remove(filepath.Join(root, "dev/nvidia0")); err != nil {
		t.Fatal(err)
	}
	inv := inventory(t, nvidia.New(root), devices.Needs{})
	if h := inv.Devices[0].Health; h.State != "warn" || !strings.Contains(fmt.Sprint(h.Reasons), "its node /dev/nvidia0 does not exist (nvidia-modprobe -u -c=0 makes it)") {
		t.Errorf("%+v", h)
	}
	chosen, found := devices.Choose(inv, []devices.Ask{{Kind: inv.Kind, Count: 1}}, devices.State{})
	if len(found) > 0 || len(chosen[0]) != 1 || chosen[0][0].Name != "0000:43:00.0" {
		t.Errorf("%+v, %+v", chosen, found)
	}
}

// TestUnasked: without NVML the inventory says so, for who asks for what only it knows.
func TestUnasked(t *testing.T) {
	root := nvidiatest.H100().Make(t)
	if inv := inventory(t, nvidia.New(root), devices.Needs{}); !strings.Contains(inv.Unasked, "NVML was not asked") {
		t.Errorf("%q", inv.Unasked)
	}
	if inv := inventory(t, nvidia.New(root, nvidia.WithAsker(dgxAnswers().ask)), devices.Needs{}); inv.Unasked != "" {
		t.Errorf("%q", inv.Unasked)
	}
}
