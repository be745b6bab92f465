package nvidia

import (
	"encoding/json"
	"strings"
	"testing"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// of makes an inventory of a driver and a device of a GPU.
func of(t *testing.T, d Driver, gpus ...GPU) (devices.Inventory, []devices.Device) {
	t.Helper()
	inv := devices.Inventory{Kind: Kind, Driver: d.Version, Facts: raw(t, d)}
	for i, g := range gpus {
		inv.Devices = append(inv.Devices, devices.Device{Name: "0000:01:00.0", Index: i, Model: "NVIDIA Test", Facts: raw(t, g)})
	}
	return inv, inv.Devices
}

func raw(t *testing.T, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func driver(version, cuda string) Driver {
	return Driver{Version: version, User: version, CUDA: cuda, Libcuda: "/usr/lib64/libcuda.so." + version, NVML: "ok"}
}

func on(b bool) *bool { return &b }

func TestFit(t *testing.T) {
	h100 := GPU{Brand: "nvidia", Capability: "9.0", Fabric: "completed", Persistence: on(true)}
	rtx := GPU{Brand: "geforcertx", Capability: "12.0"}
	compat := &Compat{Directory: "/usr/local/cuda/compat", Version: "580.65.06", CUDA: "13.0", Drivers: []int{535, 550, 570}}
	withCompat := driver("550.54.15", "12.4")
	withCompat.Compat = compat
	updated := driver("550.54.15", "12.4")
	updated.User, updated.Libcuda = "550.90.07", "/usr/lib64/libcuda.so.550.90.07"
	switches := driver("550.54.15", "12.4")
	switches.Switches = 4
	managed := switches
	managed.FabricManager = true
	archs := []string{"sm_50", "sm_80", "sm_86", "sm_90"}
	tests := []struct {
		name     string
		driver   Driver
		gpu      GPU
		wants    Wants
		id       string // "" for none
		severity finding.Severity
		says     []string
	}{
		{"nothing is wanted", driver("550.54.15", "12.4"), h100, Wants{}, "", "", nil},
		{"older CUDA", driver("550.54.15", "12.4"), h100, Wants{TorchCUDA: "11.8", Torch: "2.1"}, "", "", nil},
		{"the same CUDA", driver("550.54.15", "12.4"), h100, Wants{TorchCUDA: "12.4"}, "", "", nil},
		{"toolkit of a patch release", driver("550.54.15", "12.4"), h100, Wants{ToolkitVersion: "12.4.131"}, "", "", nil},
		{"newer minor, machine code", driver("550.54.15", "12.4"), h100, Wants{TorchCUDA: "12.8", Archs: archs}, finding.CUDAMinor, finding.Info, []string{"torch"}},
		{"newer minor, architectures unknown", driver("550.54.15", "12.4"), h100, Wants{TorchCUDA: "12.8", Torch: "2.7.1+cu128", TorchFile: "/opt/torch/version.py"}, finding.CUDAMinor, finding.Warning,
			[]string{"unsupported toolchain", "12.8", "12.4", "550.54.15", "/opt/torch/version.py", "branch 570"}},
		{"newer major of torch", driver("550.54.15", "12.4"), h100, Wants{TorchCUDA: "13.0", Torch: "2.9.0+cu130", TorchFile: "version.py"}, finding.CUDADriverOld, finding.Error,
			[]string{"The NVIDIA driver on your system is too old (found version 12040).", "cu130", "branch 580", "550.54.15"}},
		{"newer major of the toolkit", driver("470.57.02", "11.4"), h100, Wants{ToolkitVersion: "12.4", ToolkitFile: "/usr/local/cuda/version.json"}, finding.CUDADriverOld, finding.Error,
			[]string{"CUDA driver version is insufficient for CUDA runtime version", "/usr/local/cuda/version.json", "branch 550"}},
		{"torch counts more than the toolkit", driver("550.54.15", "12.4"), h100, Wants{ToolkitVersion: "13.0", TorchCUDA: "12.1"}, "", "", nil},
		{"forward compatibility of the machine", withCompat, h100, Wants{TorchCUDA: "13.0"}, finding.CUDACompat, finding.Info, []string{"580.65.06"}},
		{"forward compatibility that is not wanted", withCompat, h100, Wants{TorchCUDA: "13.0", NoCompat: true}, finding.CUDADriverOld, finding.Error, []string{"cuda-compat"}},
		{"forward compatibility of the image", driver("550.54.15", "12.4"), h100, Wants{TorchCUDA: "13.0", Compat: compat}, finding.CUDACompat, finding.Info, []string{"580.65.06"}},
		{"forward compatibility on a GeForce", withCompat, rtx, Wants{TorchCUDA: "13.0"}, finding.CUDADriverOld, finding.Error, []string{"error 804"}},
		{"forward compatibility of other branches", driver("560.35.03", "12.6"), h100, Wants{TorchCUDA: "13.0", Compat: compat}, finding.CUDADriverOld, finding.Error, []string{"does not list driver branch 560"}},
		{"forward compatibility that is older", driver("590.44.01", "13.1"), h100, Wants{TorchCUDA: "14.0", Compat: compat}, finding.CUDADriverOld, finding.Error, []string{"not newer"}},

		{"a driver newer than the table of branches", driver("640.10", ""), h100, Wants{TorchCUDA: "14.1"}, "", "", nil},
		{"a CUDA newer than the table", driver("615.71.09", "13.4"), h100, Wants{TorchCUDA: "14.0"}, finding.CUDADriverOld, finding.Error, []string{"to a branch newer than 615"}},
		{"before minor-version compatibility", driver("418.40.04", "10.1"), GPU{Capability: "7.0"}, Wants{TorchCUDA: "10.2"}, finding.CUDADriverOld, finding.Error, []string{"branch 440 or newer"}},

		{"two releases", updated, h100, Wants{}, finding.GPUMismatch, finding.Error, []string{"Driver/library version mismatch", "550.54.15", "550.90.07", "/usr/lib64/libcuda.so.550.90.07", "reboot"}},

		{"no code for the GPU", driver("570.86.10", "12.8"), rtx, Wants{Torch: "2.6.0", TorchCUDA: "12.4", TorchFile: "version.py", Archs: archs}, finding.CUDANoKernel, finding.Error,
			[]string{"no kernel image is available for execution on the device", "sm_120", "sm_90", "torch 2.6.0, version.py"}},
		{"older minor of the same major", driver("570.86.10", "12.8"), GPU{Capability: "8.9"}, Wants{Archs: archs}, "", "", nil},
		{"newer minor of the same major", driver("570.86.10", "12.8"), GPU{Capability: "8.0"}, Wants{Archs: []string{"sm_86"}}, finding.CUDANoKernel, finding.Error, []string{"sm_80"}},
		{"architecture-specific code", driver("570.86.10", "12.8"), GPU{Capability: "9.0"}, Wants{Archs: []string{"sm_90a"}}, "", "", nil},
		{"architecture-specific code of another", driver("570.86.10", "12.8"), GPU{Capability: "10.3"}, Wants{Archs: []string{"sm_100a"}}, finding.CUDANoKernel, finding.Error, nil},
		{"family-specific code", driver("570.86.10", "12.8"), GPU{Capability: "10.3"}, Wants{Archs: []string{"sm_100f"}}, "", "", nil},
		{"PTX", driver("570.86.10", "12.8"), rtx, Wants{TorchCUDA: "12.4", Archs: archs, PTX: []string{"compute_90"}}, finding.CUDANoKernel, finding.Warning, []string{"first use"}},
		{"PTX of a later GPU", driver("570.86.10", "12.8"), GPU{Capability: "7.5"}, Wants{Archs: []string{"sm_80"}, PTX: []string{"compute_90"}}, finding.CUDANoKernel, finding.Error, []string{"no kernel image"}},
		{"architecture-specific PTX", driver("570.86.10", "12.8"), rtx, Wants{Archs: archs, PTX: []string{"compute_90a"}}, finding.CUDANoKernel, finding.Error, nil},
		{"capability unknown", driver("570.86.10", "12.8"), GPU{}, Wants{Archs: archs}, "", "", nil},
		{"architectures that nobody can read", driver("570.86.10", "12.8"), h100, Wants{Archs: []string{"sm_", "x", "sm_9x"}}, finding.CUDANoKernel, finding.Error, nil},

		{"fabric not ready", managed, GPU{Fabric: "in progress"}, Wants{}, finding.GPUFabric, finding.Error, []string{"802", "in progress", "550.54.15"}},
		{"fabric failed", managed, GPU{FabricStatus: "ERROR_UNKNOWN", Fabric: "completed"}, Wants{}, finding.GPUFabric, finding.Error, []string{"ERROR_UNKNOWN"}},
		{"fabric manager away", switches, GPU{}, Wants{}, finding.GPUFabric, finding.Error, []string{"4 NVLink switches", "does not run"}},
		{"fabric manager there", managed, GPU{}, Wants{}, "", "", nil},
		{"fabric completed", switches, h100, Wants{}, "", "", nil},

		{"persistence off", driver("550.54.15", "12.4"), GPU{Persistence: on(false)}, Wants{}, finding.GPUPersistence, finding.Warning, []string{"nvidia-persistenced"}},

		{"stubs", driver("550.54.15", "12.4"), h100, Wants{Env: []string{"LD_LIBRARY_PATH=/usr/local/cuda/lib64:/usr/local/cuda/lib64/stubs/"}}, finding.CUDAStub, finding.Error, []string{"stub library", "/usr/local/cuda/lib64/stubs"}},
		{"stubs of the image, bound over", driver("550.54.15", "12.4"), h100, Wants{Env: []string{"LD_LIBRARY_PATH=/usr/local/cuda/lib64/stubs/"}, Bound: []string{"/usr/local/cuda/lib64/stubs/libcuda.so"}}, "", "", nil},
		{"stubs that are not there", driver("550.54.15", "12.4"), h100, Wants{Env: []string{"LD_LIBRARY_PATH=/usr/local/cuda/lib64/stubs/"}, Absent: []string{"/usr/local/cuda/lib64/stubs"}}, "", "", nil},
		{"an image that says its CUDA alone", driver("470.57.02", "11.4"), h100, Wants{Env: []string{"CUDA_VERSION=12.4.1"}}, finding.CUDADriverOld, finding.Error, []string{"the image is built for CUDA 12.4 (CUDA_VERSION)"}},
		{"an image whose CUDA torch does not use", driver("535.161.08", "12.2"), h100, Wants{TorchCUDA: "12.1", Env: []string{"CUDA_VERSION=13.0.0"}}, "", "", nil},
		{"an image that requires and says its CUDA", driver("535.161.08", "12.2"), GPU{Brand: "tesla"}, Wants{Env: []string{"CUDA_VERSION=12.4.1", "NVIDIA_REQUIRE_CUDA=cuda>=12.4 brand=tesla,driver>=535"}}, "", "", nil},
		{"no stubs", driver("550.54.15", "12.4"), h100, Wants{Env: []string{"LD_LIBRARY_PATH=/usr/local/cuda/lib64:stubs"}}, "", "", nil},

		{"requirement holds", driver("550.54.15", "12.4"), h100, Wants{Env: []string{"NVIDIA_REQUIRE_CUDA=cuda>=12.4 brand=tesla,driver>=470,driver<471"}}, "", "", nil},
		{"requirement fails", driver("535.161.08", "12.2"), h100, Wants{Env: []string{"NVIDIA_REQUIRE_CUDA=cuda>=12.4 brand=tesla,driver>=470,driver<471"}}, finding.CUDARequire, finding.Error,
			[]string{"unsatisfied condition: cuda>=12.4", "cuda 12.2", "535.161.08", "brand nvidia"}},
		{"an alternative holds", driver("535.161.08", "12.2"), GPU{Brand: "tesla"}, Wants{Env: []string{"NVIDIA_REQUIRE_CUDA=cuda>=12.4 brand=tesla,driver>=535,driver<536"}}, "", "", nil},
		{"requirement switched off", driver("535.161.08", "12.2"), h100, Wants{Env: []string{"NVIDIA_REQUIRE_CUDA=cuda>=12.4", "NVIDIA_DISABLE_REQUIRE=true"}}, "", "", nil},
		{"requirement of forward compatibility", withCompat, h100, Wants{Env: []string{"NVIDIA_REQUIRE_CUDA=cuda>=13.0"}}, "", "", nil},
		{"a second requirement", driver("550.54.15", "12.4"), h100, Wants{Env: []string{"NVIDIA_REQUIRE_CUDA=cuda>=12.4", "NVIDIA_REQUIRE_ARCH=arch>=10.0"}}, finding.CUDARequire, finding.Error, []string{"arch>=10.0", "NVIDIA_REQUIRE_ARCH"}},
		{"requirement of a Jetson", driver("550.54.15", "12.4"), h100, Wants{Env: []string{"NVIDIA_REQUIRE_JETPACK=csv-mounts=all"}}, "", "", nil},
		{"requirement that can't be read", driver("550.54.15", "12.4"), h100, Wants{Env: []string{"NVIDIA_REQUIRE_CUDA=cuda"}}, finding.CUDARequire, finding.Warning, []string{"no comparison"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inv, chosen := of(t, test.driver, test.gpu)
			test.wants.File, test.wants.Line = "p.yaml", 3
			got := Fit(inv, chosen, test.wants)
			if test.id == "" {
				if len(got) > 0 {
					t.Errorf("got %+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].ID != test.id || got[0].Severity != test.severity || got[0].File != "p.yaml" || got[0].Line != 3 {
				t.Fatalf("got %+v, want one %s %s", got, test.id, test.severity)
			}
			text := strings.Join([]string{got[0].Message, got[0].Got, got[0].Want, got[0].Remedy}, "\n")
			for _, s := range test.says {
				if !strings.Contains(text, s) {
					t.Errorf("%q is not in:\n%s", s, text)
				}
			}
			if got[0].Remedy == "" {
				t.Error("no remedy")
			}
		})
	}
}

// PTX that a newer compiler wrote is of no use to an older driver.
func TestFitPTXNeedsTheDriversCompiler(t *testing.T) {
	inv, chosen := of(t, driver("550.54.15", "12.4"), GPU{Capability: "12.0"})
	got := Fit(inv, chosen, Wants{TorchCUDA: "12.8", Archs: []string{"sm_90"}, PTX: []string{"compute_90"}})
	if len(got) != 2 || got[0].ID != finding.CUDANoKernel || got[0].Severity != finding.Error || !strings.Contains(got[0].Message, "unsupported toolchain") || got[1].ID != finding.CUDAMinor {
		t.Errorf("%+v", got)
	}
}

// TestSeveralMIGDevices: a job was given three, computed on the first, and nobody said so.
func TestSeveralMIGDevices(t *testing.T) {
	inv, _ := of(t, driver("550.54.15", "12.4"), GPU{}, GPU{}, GPU{}, GPU{})
	for i := range inv.Devices[:3] {
		inv.Devices[i].Name, inv.Devices[i].Parent, inv.Devices[i].Profile, inv.Devices[i].Index = []string{"0000:01:00.0-gi1-ci0", "0000:01:00.0-gi2-ci0", "0000:02:00.0-gi1-ci0"}[i], "0000:01:00.0", "1g.10gb", -1
	}
	for _, c := range []struct {
		chosen []devices.Device
		got    string
	}{
		{inv.Devices[:1], ""}, {inv.Devices[3:], ""},
		{inv.Devices[:3], "3 MIG devices (1g.10gb 0000:01:00.0-gi1-ci0, 1g.10gb 0000:01:00.0-gi2-ci0, 1g.10gb 0000:02:00.0-gi1-ci0)"},
		{inv.Devices[2:], "1 MIG device (1g.10gb 0000:02:00.0-gi1-ci0) and 1 whole GPU"},
	} {
		found := Fit(inv, c.chosen, Wants{File: "p.yaml", Line: 3})
		switch {
		case c.got == "" && len(found) > 0:
			t.Errorf("%+v", found)
		case c.got != "" && (len(found) != 1 || found[0].ID != finding.GPUParts || found[0].Severity != finding.Warning || found[0].Got != c.got || !strings.Contains(found[0].Remedy, "CUDA_VISIBLE_DEVICES=MIG-UUID") || found[0].Line != 3):
			t.Errorf("want %s: %+v", c.got, found)
		}
	}
}

// TestBranches: a driver that came after the table was taken to offer the CUDA of the table's last row.
func TestBranches(t *testing.T) {
	for version, want := range map[string]string{"550.54.15": "12.4", "600.10": "13.2", "610.43.02": "13.3", "615.71.09": "13.4", "616.10": "", "700.1": "", "340.108": ""} {
		if got := cudaOf(version); got != want {
			t.Errorf("%s: %q, want %q", version, got, want)
		}
	}
}

// Each GPU is judged: the second one here is too old.
func TestFitEachGPU(t *testing.T) {
	inv, chosen := of(t, driver("550.54.15", "12.4"), GPU{Capability: "9.0"}, GPU{Capability: "6.1"})
	got := Fit(inv, chosen, Wants{Archs: []string{"sm_80", "sm_90"}})
	if len(got) != 1 || !strings.HasPrefix(got[0].Subject, "GPU 1") {
		t.Errorf("%+v", got)
	}
	if got := Fit(inv, nil, Wants{TorchCUDA: "99.0"}); got != nil {
		t.Errorf("without a GPU: %+v", got)
	}
}

// What a record that somebody has edited holds must not end the program.
func TestFitOfDamagedFacts(t *testing.T) {
	inv := devices.Inventory{Kind: Kind, Facts: json.RawMessage(`[]`)}
	if got := Fit(inv, []devices.Device{{Name: "x", Facts: json.RawMessage(`{"minor":"x"}`)}}, Wants{TorchCUDA: "13.0", Archs: []string{"sm_90"}}); len(got) > 0 {
		t.Errorf("%+v", got)
	}
}

func TestConditions(t *testing.T) {
	d, g := Driver{Version: "550.54.15", CUDA: "12.4"}, GPU{Capability: "9.0", Brand: "nvidia"}
	for text, want := range map[string]bool{
		"cuda>=12.4": true, "cuda>12.4": false, "cuda<12.4": false, "cuda<=12.4": true, "cuda=12.4": true, "cuda==12.4": true, "cuda!=12.4": false,
		"cuda>=9.0": true, "cuda=12": true, "driver>=470.57.02": true, "driver<551": true, "driver=550": true, "driver!=550": false,
		"arch>=8.0": true, "arch>9.0": false, "brand=nvidia": true, "brand=NVIDIA": true, "brand!=tesla": true, "brand=tesla": false, "brand>=tesla": false,
	} {
		c, err := parseCondition(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, known := c.holds(d, g); got != want || !known || c.String() != text {
			t.Errorf("%s: %v, want %v (%s)", text, got, want, c)
		}
	}
	for _, text := range []string{"", "cuda", ">=12", "cuda>=", "cuda>==12", "cuda=>12", "!", "cuda!12"} {
		if c, err := parseCondition(text); err == nil {
			t.Errorf("%q is read as %+v", text, c)
		}
	}
	if !satisfied(nil, d, g) {
		t.Error("no condition at all does not hold")
	}
	unknown, err := parseRequirement("fabric=yes,cuda>=12")
	if err != nil || !satisfied(unknown, d, g) {
		t.Errorf("an unknown name refuses: %v", err)
	}
}
