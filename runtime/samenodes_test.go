package runtime

import (
	"encoding/json"
	"os"
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

// TestNodesUnderAnotherName: the manager that a 310B has for containers, and a part of a chip, have another name on the host, and a container of
// a 310B could not be started again: the host's own manager has another number.
func TestNodesUnderAnotherName(t *testing.T) {
	dir := t.TempDir()
	for name, minor := range map[string]uint32{"davinci_manager": 0, "davinci_manager_docker": 1, "vdavinci116": 116} {
		devicestest.Mknod(t, dir, name, 237, minor, 0o660)
	}
	label, err := json.Marshal([]plan.DeviceNumber{{Node: filepath.Join(dir, "vdavinci116")}})
	if err != nil {
		t.Fatal(err)
	}
	r := containers.Container{ID: "c", Labels: map[string]string{plan.LabelNumbers: string(label), labelDevices: "ascend.com/npu=vdavinci116"}}
	for _, c := range []struct {
		manager, part int64
		name          string
		refused       bool
	}{{1, 116, "davinci116", false}, {0, 116, "davinci116", false}, {2, 116, "davinci116", true}, {1, 117, "davinci116", true}, {1, 132, "davinci132", false}} {
		spec := &specs.Spec{Linux: &specs.Linux{Devices: []specs.LinuxDevice{{Path: filepath.Join(dir, c.name), Type: "c", Major: 237, Minor: c.part},
			{Path: filepath.Join(dir, "davinci_manager"), Type: "c", Major: 237, Minor: c.manager}}}}
		if err := sameNodes(r, spec); (finding.StatusOf(err) == finding.StatusNoDevice) != c.refused {
			t.Errorf("%+v: %v", c, err)
		}
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Remove(filepath.Join(dir, "vdavinci116")))
	spec := &specs.Spec{Linux: &specs.Linux{Devices: []specs.LinuxDevice{{Path: filepath.Join(dir, "davinci116"), Type: "c", Major: 237, Minor: 116}}}}
	if err := sameNodes(r, spec); finding.StatusOf(err) != finding.StatusNoDevice {
		t.Errorf("a part that is gone: %v", err)
	}
}
