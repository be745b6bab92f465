package oracle

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
	"github.com/NVIDIA/nvidia-container-toolkit/pkg/nvcdi"
	"tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/devices/nvidia/nvidiatest"
)

// The generator reads some files at their real paths, whatever root it is given: /proc/driver/nvidia-caps and sysfs. It runs in a
// process with a mount namespace of its own, where the machine's are in their places.
const (
	rootVariable    = "ORACLE_ROOT"
	machineVariable = "ORACLE_MACHINE"
)

func TestMain(m *testing.M) {
	if root := os.Getenv(rootVariable); root != "" {
		if err := generate(root, os.Getenv(machineVariable)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// theirs runs the generator over a machine.
func theirs(t *testing.T, name, root string) *specs.Spec {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
			t.Fatal("must run here: mounts need root")
		}
		t.Skip("mounts need root")
	}
	script := `mount --bind "$1/proc/driver" /proc/driver && mount --bind "$1/sys" /sys && exec "$2"`
	cmd := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", root, "/proc/self/exe")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args[len(cmd.Args)-1] = exe
	cmd.Env = append(os.Environ(), rootVariable+"="+root, machineVariable+"="+name)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the generator: %v\n%s", err, stderr.String())
	}
	var spec specs.Spec
	if err := json.Unmarshal(out, &spec); err != nil {
		t.Fatal(err)
	}
	return &spec
}

// generate writes the CDI spec that NVIDIA's library makes of a machine.
func generate(root, name string) error {
	lib, err := nvcdi.New(nvcdi.WithNvmlLib(library(machines()[name])), nvcdi.WithDriverRoot(root), nvcdi.WithDevRoot(root), nvcdi.WithMode(nvcdi.ModeNvml),
		nvcdi.WithFeatureFlags(nvcdi.FeatureDisableNvsandboxUtils))
	if err != nil {
		return err
	}
	spec, err := lib.GetSpec("all")
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(spec.Raw())
}

// library is NVIDIA's mock of NVML for a machine, with what it leaves out.
func library(m nvidiatest.Machine) *server.Server {
	s := dgxh100.New()
	s.DriverVersion = m.Driver
	s.Devices = s.Devices[:len(m.GPUs)]
	byUUID := map[string]nvml.Device{}
	for i, g := range m.GPUs {
		d := s.Devices[i].(*server.Device)
		d.PciBusID, d.UUID, d.Minor = g.PCI, g.UUID, g.Minor
		d.IsMigDeviceHandleFunc = func() (bool, nvml.Return) { return false, nvml.SUCCESS }
		d.GetPciInfoFunc = func() (nvml.PciInfo, nvml.Return) { return pciInfo(g.PCI), nvml.SUCCESS }
		d.GetMaxMigDeviceCountFunc = func() (int, nvml.Return) { return len(g.MIG), nvml.SUCCESS }
		byUUID[g.UUID] = d
		if len(g.MIG) == 0 {
			continue
		}
		d.MigMode = 1
		gi := instances(d)
		d.GetGpuInstanceByIdFunc = func(int) (nvml.GpuInstance, nvml.Return) { return gi, nvml.SUCCESS }
		var migs []nvml.Device
		for j, instance := range g.MIG {
			mig := partition(d, j, instance)
			migs = append(migs, mig)
			uuid, _ := mig.GetUUID()
			byUUID[uuid] = mig
		}
		d.GetMigDeviceHandleByIndexFunc = func(j int) (nvml.Device, nvml.Return) { return migs[j], nvml.SUCCESS }
	}
	s.DeviceGetHandleByUUIDFunc = func(uuid string) (nvml.Device, nvml.Return) {
		if d, ok := byUUID[uuid]; ok {
			return d, nvml.SUCCESS
		}
		return nil, nvml.ERROR_NOT_FOUND
	}
	return s
}

// pciInfo has the address as NVML writes it.
func pciInfo(address string) nvml.PciInfo {
	var p nvml.PciInfo
	for i, c := range "0000" + strings.ToUpper(address) {
		p.BusId[i] = int8(c)
	}
	return p
}

// instances are a GPU instance of the smallest profile and its compute instance, for whichever is asked.
func instances(d *server.Device) nvml.GpuInstance {
	profile, _ := d.GetGpuInstanceProfileInfo(nvml.GPU_INSTANCE_PROFILE_1_SLICE)
	gi, _ := d.CreateGpuInstance(&profile)
	compute, _ := gi.GetComputeInstanceProfileInfo(nvml.COMPUTE_INSTANCE_PROFILE_1_SLICE, 0)
	ci, _ := gi.CreateComputeInstance(&compute)
	gi.(*server.GpuInstance).GetComputeInstanceByIdFunc = func(int) (nvml.ComputeInstance, nvml.Return) { return ci, nvml.SUCCESS }
	return gi
}

func partition(parent *server.Device, index int, i nvidiatest.Instance) *mock.Device {
	return &mock.Device{
		IsMigDeviceHandleFunc:                  func() (bool, nvml.Return) { return true, nvml.SUCCESS },
		GetUUIDFunc:                            func() (string, nvml.Return) { return fmt.Sprintf("MIG-%s-%d", parent.UUID[4:], index), nvml.SUCCESS },
		GetIndexFunc:                           func() (int, nvml.Return) { return index, nvml.SUCCESS },
		GetGpuInstanceIdFunc:                   func() (int, nvml.Return) { return i.GI, nvml.SUCCESS },
		GetComputeInstanceIdFunc:               func() (int, nvml.Return) { return i.CI, nvml.SUCCESS },
		GetDeviceHandleFromMigDeviceHandleFunc: func() (nvml.Device, nvml.Return) { return parent, nvml.SUCCESS },
		GetMemoryInfoFunc:                      func() (nvml.Memory, nvml.Return) { return nvml.Memory{Total: 9856 << 20}, nvml.SUCCESS },
		GetAttributesFunc: func() (nvml.DeviceAttributes, nvml.Return) {
			return nvml.DeviceAttributes{GpuInstanceSliceCount: 1, ComputeInstanceSliceCount: 1, MemorySizeMB: 9856}, nvml.SUCCESS
		},
	}
}

// machines are those of which both are asked.
func machines() map[string]nvidiatest.Machine {
	mig := nvidiatest.H100()
	mig.GPUs = mig.GPUs[:2]
	mig.GPUs[1].MIG = []nvidiatest.Instance{{GI: 9, CI: 0, GIMinor: 210, CIMinor: 211}, {GI: 10, CI: 0, GIMinor: 219, CIMinor: 220}}
	graphics := nvidiatest.H100()
	graphics.GPUs, graphics.Graphics = graphics.GPUs[:2], true
	redhat := nvidiatest.Machine{Driver: "570.86.10", Open: true, LibDir: "usr/lib64", GPUs: nvidiatest.DGX()[3:4]}
	redhat.GPUs[0].Minor = 0
	noUVM := nvidiatest.H100()
	noUVM.GPUs, noUVM.NoUVM = noUVM.GPUs[:1], true
	odd := nvidiatest.H100() // minors that are not the indices
	odd.GPUs = odd.GPUs[:2]
	odd.GPUs[0].Minor, odd.GPUs[1].Minor = 1, 0
	sockets := nvidiatest.H100()
	sockets.GPUs = sockets.GPUs[:1]
	sockets.Files = map[string]string{"run/nvidia-persistenced/socket": "", "run/nvidia-fabricmanager/socket": "", "tmp/nvidia-mps/control": ""}
	return map[string]nvidiatest.Machine{"h100": nvidiatest.H100(), "mig": mig, "graphics": graphics, "redhat": redhat, "nouvm": noUVM, "odd minors": odd, "sockets": sockets}
}

// under takes the root away from a path.
func under(root, p string) string { return "/" + strings.TrimPrefix(strings.TrimPrefix(p, root), "/") }
