package runtime

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/devices/devicestest"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// TestControlNodeRenumbered: after a reboot the GPU's own node had its fixed number and the one for its memory (/dev/nvidia-uvm) another
// dynamic major, and start gave the container whatever had the old one by then.
func TestControlNodeRenumbered(t *testing.T) {
	dir := t.TempDir()
	devicestest.Mknod(t, dir, "gpu0", 195, 0, 0o666)
	devicestest.Mknod(t, dir, "uvm", 241, 0, 0o666)
	gpu, uvm := filepath.Join(dir, "gpu0"), filepath.Join(dir, "uvm")
	label, err := json.Marshal([]plan.DeviceNumber{{Node: gpu}})
	if err != nil {
		t.Fatal(err)
	}
	r := containers.Container{ID: "c", Labels: map[string]string{plan.LabelNumbers: string(label), labelDevices: "nvidia.com/gpu=0000:c1:00.0"}}
	for major, refused := range map[int64]bool{241: false, 242: true} {
		spec := &specs.Spec{Linux: &specs.Linux{Devices: []specs.LinuxDevice{{Path: gpu, Type: "c", Major: 195}, {Path: uvm, Type: "c", Major: major},
			{Path: filepath.Join(dir, "of the container alone"), Type: "c", Major: 9}}}}
		if err := sameNodes(r, spec); (finding.StatusOf(err) == finding.StatusNoDevice) != refused {
			t.Errorf("major %d: %v", major, err)
		}
	}
}
