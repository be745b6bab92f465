package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/abi/frameworks"
	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
	"hostrun.dev/hostrun/plan"
)

// onGPUMachine runs a command line on a machine like m, and without containerd.
func onGPUMachine(t *testing.T, m nvidiatest.Machine, words ...string) (status int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	words = append([]string{"--state-dir", filepath.Join(dir, "state"), "--data-dir", filepath.Join(dir, "data"), "--cache-dir", filepath.Join(dir, "cache"),
		"--system-address", filepath.Join(dir, "none.sock")}, words...)
	var out, errs bytes.Buffer
	status = run(t.Context(), words, strings.NewReader(""), &out, &errs, deps{env: map[string]string{}, dir: dir, root: m.Make(t)})
	return status, out.String(), errs.String()
}

// TestDevicesOfNVIDIA: hostrun's own sources are wired, partitions follow their GPU, and a GPU without a driver is shown as what it is.
func TestDevicesOfNVIDIA(t *testing.T) {
	m := nvidiatest.H100()
	m.GPUs = m.GPUs[:2]
	m.GPUs[1].MIG = []nvidiatest.Instance{{GI: 9, CI: 0, GIMinor: 210, CIMinor: 211}}
	m.Bare, m.BareOf = []string{"0000:e1:00.0"}, "vfio-pci"
	status, out, errs := onGPUMachine(t, m, "devices", "nvidia.com/gpu")
	var rows []string
	for line := range strings.Lines(out) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	want := []string{"DEVICE MODEL MEMORY PCI NUMA HEALTH HOLDER WAITERS", "GPU 0 NVIDIA H100 80GB HBM3 - 0000:1b:00.0 0 unknown - -", "GPU 1 NVIDIA H100 80GB HBM3 - 0000:43:00.0 0 unknown - -",
		"0000:43:00.0-gi9-ci0 NVIDIA H100 80GB HBM3 - 0000:43:00.0 0 unknown - -", "GPU 0000:e1:00.0 NVIDIA device 10de:2330 - 0000:e1:00.0 - bad - -"}
	if status != 0 || !slices.Equal(rows, want) {
		t.Errorf("status %d\n%q\nwant\n%q\n%s", status, rows, want, errs)
	}
}

// TestExportCDIOfNVIDIA: what other tools read describes the nodes and the libraries, without a hook.
func TestExportCDIOfNVIDIA(t *testing.T) {
	m := nvidiatest.H100()
	m.GPUs = m.GPUs[:2]
	status, out, errs := onGPUMachine(t, m, "export", "cdi")
	var spec struct {
		Kind    string
		Devices []struct {
			ContainerEdits struct{ DeviceNodes []struct{ Path string } }
		}
		ContainerEdits struct {
			Hooks  []any
			Mounts []struct{ ContainerPath string }
		}
	}
	if err := json.Unmarshal([]byte(out), &spec); err != nil || status != 0 {
		t.Fatalf("status %d, %v\n%s%s", status, err, out, errs)
	}
	for _, want := range []string{"/dev/nvidia0", "/dev/nvidia1", "/dev/nvidia-uvm", "/usr/lib/x86_64-linux-gnu/libcuda.so.1", "/usr/bin/nvidia-smi",
		"/usr/lib64/libcuda.so.1"} { // whose loader looks nowhere else: an image of RHEL's found no libcuda
		if !strings.Contains(out, `"`+want+`"`) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
	if spec.Kind != "nvidia.com/gpu" || len(spec.Devices) < 2 || len(spec.ContainerEdits.Hooks) > 0 || len(spec.ContainerEdits.Mounts) == 0 {
		t.Errorf("%+v", spec)
	}
}

// TestInformed: the GPUs' source learns what torch was built with, unless the profile says so itself; the ask that is kept stays as it was.
func TestInformed(t *testing.T) {
	facts := &plan.Facts{}
	facts.Image.Frameworks = map[string]frameworks.Facts{"/usr/bin/python3": {Torch: &frameworks.Torch{Version: "2.9.0", CUDA: "13.0"}}}
	own := map[string]string{"gds": "true"}
	got := informed(devices.Ask{Kind: devices.KindGPU, Options: own}, facts)
	if got.Options["cuda"] != "13.0" || got.Options["gds"] != "true" || len(own) != 1 {
		t.Errorf("%v, and the profile's own %v", got.Options, own)
	}
	for _, a := range []devices.Ask{{Kind: devices.KindGPU, Options: map[string]string{"cuda": "12.4"}}, {Kind: devices.KindNPU}} {
		if got := informed(a, facts); got.Options["cuda"] != a.Options["cuda"] {
			t.Errorf("%+v", got)
		}
	}
	if got := informed(devices.Ask{Kind: devices.KindGPU}, &plan.Facts{}); got.Options != nil {
		t.Errorf("without torch: %+v", got)
	}
}
