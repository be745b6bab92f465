package nvidia_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/nvidia"
	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
	"hostrun.dev/hostrun/devices/nvidia/nvml"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

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
	roots := map[string]string{}
	for _, test := range tests {
		if roots[test.machine] == "" {
			roots[test.machine] = all[test.machine].Make(t)
		}
		t.Run(test.name, func(t *testing.T) {
			s := nvidia.New(roots[test.machine])
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
		{"graphics without its node", "h100", devices.Ask{Capabilities: []string{"graphics"}}, debian(nil), nil, finding.GPUNodeMissing, finding.Error, "/dev/nvidia-modeset"},
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
	roots := map[string]string{}
	for _, test := range tests {
		if roots[test.machine] == "" {
			roots[test.machine] = all[test.machine].Make(t)
		}
		t.Run(test.name, func(t *testing.T) {
			s := nvidia.New(roots[test.machine])
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

// TestEditsOnTheHostsOwnRoot: its files are in place already, and nothing can be made in its directories: "error mounting ... to rootfs at
// /usr/lib/x86_64-linux-gnu/libcuda.so: read-only file system".
func TestEditsOnTheHostsOwnRoot(t *testing.T) {
	m := nvidiatest.H100()
	m.Files = map[string]string{"lib64/ld-linux-x86-64.so.2": debianLoader}
	root := m.Make(t)
	got, found := edits(t, nvidia.New(root), devices.Ask{Capabilities: []string{"compute", "utility", "video"}}, devices.Container{View: rootfs.Dir(root)}, 0)
	for _, at := range destinations(got) {
		if strings.HasPrefix(at, "/usr/") || strings.HasPrefix(at, "/lib") || strings.HasPrefix(at, "/etc/") {
			t.Errorf("%s is mounted on the host's own root", at)
		}
	}
	if len(found) != 0 || len(got.DeviceNodes) != 4 {
		t.Errorf("%+v, %d nodes", found, len(got.DeviceNodes))
	}
}

// TestDriverThatTheHostsLoaderDoesNotFind: on the machine's own root the libraries of a driver whose directory its loader does not look into
// were given up in silence, check found that all fits, and the start ended with "libcuda.so.1: cannot open shared object file".
func TestDriverThatTheHostsLoaderDoesNotFind(t *testing.T) {
	for _, dir := range []string{"opt/nvidia/current/lib64", "run/nvidia/driver/usr/lib/x86_64-linux-gnu"} {
		m := one(dir)
		m.Files["lib64/ld-linux-x86-64.so.2"] = debianLoader
		root := m.Make(t)
		// Left behind by the installer of another release.
		if err := os.MkdirAll(filepath.Join(root, "usr/lib/x86_64-linux-gnu"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("libcuda.so.535.54.03", filepath.Join(root, "usr/lib/x86_64-linux-gnu/libcuda.so.1")); err != nil {
			t.Fatal(err)
		}
		view := rootfs.Dir(root).Only("/usr", "/lib64", "/opt")
		got, found := edits(t, nvidia.New(root), devices.Ask{}, devices.Container{View: view, Host: true}, 0)
		if at := sources(got)["/run/hostrun/nvidia/libcuda.so.1"]; at != "/"+dir+"/libcuda.so.550.54.15" || len(finding.Errors(found)) != 0 {
			t.Errorf("%s: %q, %+v", dir, at, found)
		}
		if list := got.PrependEnv["LD_LIBRARY_PATH"]; !slices.Equal(list, []string{"/run/hostrun/nvidia"}) || !slices.Contains(got.Probe.Load, "libcuda.so.1") {
			t.Errorf("%s: LD_LIBRARY_PATH %q, tried %q", dir, list, got.Probe.Load)
		}
		for _, at := range destinations(got) {
			if strings.HasPrefix(at, "/usr/") || strings.HasPrefix(at, "/lib") {
				t.Errorf("%s is mounted on the host's own root", at)
			}
		}
		// In an image it is bound where the image's loader looks.
		got, _ = edits(t, nvidia.New(root), devices.Ask{}, devices.Container{View: image(t, debian(nil))}, 0)
		if len(got.PrependEnv) != 0 || sources(got)["/usr/lib/x86_64-linux-gnu/libcuda.so.1"] == "" {
			t.Errorf("%s, in an image: %v", dir, got.PrependEnv)
		}
	}
}

// TestAllCapabilitiesOfAServer: many images ask for all, and a server without nvidia-modeset gives what it has.
func TestAllCapabilitiesOfAServer(t *testing.T) {
	c := devices.Container{Env: []string{"NVIDIA_DRIVER_CAPABILITIES=all"}}
	got, found := edits(t, nvidia.New(nvidiatest.H100().Make(t)), devices.Ask{}, c, 0)
	if len(found) > 0 || !slices.Contains(destinations(got), "/usr/lib/x86_64-linux-gnu/libEGL_nvidia.so.0") {
		t.Errorf("%+v", found)
	}
}

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
