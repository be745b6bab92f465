//go:build cgo

package main

import (
	"errors"
	"slices"
	"strings"
	"testing"

	lib "github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxa100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxb200"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh100"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/dgxh200"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"

	"hostrun.dev/hostrun/devices/nvidia/nvml"
)

// complete gives the mock what it lacks and a GPU of any kind answers: "not supported".
func complete(d *server.Device) {
	no := lib.ERROR_NOT_SUPPORTED
	d.GetPersistenceModeFunc = func() (lib.EnableState, lib.Return) { return lib.FEATURE_DISABLED, lib.SUCCESS }
	d.GetUtilizationRatesFunc = func() (lib.Utilization, lib.Return) { return lib.Utilization{Gpu: 7}, lib.SUCCESS }
	d.GetPowerUsageFunc = func() (uint32, lib.Return) { return 70000, lib.SUCCESS }
	d.GetTotalEnergyConsumptionFunc = func() (uint64, lib.Return) { return 123456, lib.SUCCESS }
	d.GetEnforcedPowerLimitFunc = func() (uint32, lib.Return) { return 700000, lib.SUCCESS }
	d.GetComputeModeFunc = func() (lib.ComputeMode, lib.Return) { return lib.COMPUTEMODE_DEFAULT, lib.SUCCESS }
	d.GetMemoryInfo_v2Func = func() (lib.Memory_v2, lib.Return) { return lib.Memory_v2{}, no }
	d.GetEccModeFunc = func() (lib.EnableState, lib.EnableState, lib.Return) {
		return lib.FEATURE_ENABLED, lib.FEATURE_ENABLED, lib.SUCCESS
	}
	d.GetTotalEccErrorsFunc = func(lib.MemoryErrorType, lib.EccCounterType) (uint64, lib.Return) { return 0, lib.SUCCESS }
	d.GetRemappedRowsFunc = func() (int, int, bool, bool, lib.Return) { return 0, 0, false, false, no }
	d.GetRetiredPagesPendingStatusFunc = func() (lib.EnableState, lib.Return) { return lib.FEATURE_DISABLED, no }
	d.GetFieldValuesFunc = func([]lib.FieldValue) lib.Return { return no }
	d.GetGpuFabricInfoFunc = func() (lib.GpuFabricInfo, lib.Return) { return lib.GpuFabricInfo{}, no }
	d.GetNvLinkStateFunc = func(int) (lib.EnableState, lib.Return) { return lib.FEATURE_DISABLED, no }
	d.GetComputeRunningProcessesFunc = func() ([]lib.ProcessInfo, lib.Return) { return nil, lib.SUCCESS }
}

// asked runs the child's logic, and returns what it says of the GPUs.
func asked(t *testing.T, l lib.Interface, addresses ...string) (nvml.System, []nvml.GPU) {
	t.Helper()
	var system nvml.System
	var gpus []nvml.GPU
	last := nvml.Message{}
	ask(l, addresses, func(m nvml.Message) {
		switch last = m; {
		case m.System != nil:
			system = *m.System
		case m.GPU != nil:
			gpus = append(gpus, *m.GPU)
		}
	})
	if !last.Done && system.Error == "" {
		t.Error("the last message is not Done")
	}
	return system, gpus
}

func device(s *server.Server, i int) *server.Device { return s.Devices[i].(*server.Device) }

func addresses(s *server.Server) []string {
	var all []string
	for i := range s.Devices {
		complete(device(s, i))
		all = append(all, device(s, i).PciBusID)
	}
	return all
}

func TestMachinesOfNVIDIA(t *testing.T) {
	for name, c := range map[string]struct {
		server             *server.Server
		capability, driver string
	}{
		"dgxa100": {dgxa100.New(), "8.0", "550.54.15"}, "dgxh100": {dgxh100.New(), "9.0", "550.54.15"},
		"dgxh200": {dgxh200.New(), "9.0", ""}, "dgxb200": {dgxb200.New(), "10.0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			system, gpus := asked(t, c.server, addresses(c.server)...)
			if system.Error != "" || c.driver != "" && (system.Driver != c.driver || system.CUDA != "12.4") || system.Driver == "" || system.CUDA == "" {
				t.Errorf("%+v", system)
			}
			if len(gpus) != 8 {
				t.Fatalf("%d GPUs", len(gpus))
			}
			for i, g := range gpus {
				d := device(c.server, i)
				if g.Error != "" || g.PCI != d.PciBusID || g.UUID != d.UUID || *g.Minor != i || *g.Index != i || g.Name == "" || g.Brand == "" || g.Architecture == "" ||
					g.Capability != c.capability || g.Memory != d.MemoryInfo.Total || *g.MIG || *g.Persistence || g.ComputeMode != "default" || !*g.ECC || *g.Utilization != 7 {
					t.Errorf("GPU %d: %+v", i, g)
				}
			}
		})
	}
}

func TestOneGPUIsLost(t *testing.T) {
	s := dgxh100.New()
	all := addresses(s)
	byAddress := s.DeviceGetHandleByPciBusIdFunc
	s.DeviceGetHandleByPciBusIdFunc = func(address string) (lib.Device, lib.Return) {
		if address == all[3] {
			return nil, lib.ERROR_GPU_IS_LOST
		}
		return byAddress(address)
	}
	_, gpus := asked(t, s, all...)
	for i, g := range gpus {
		if (g.Error != "") != (i == 3) || i == 3 && !strings.Contains(g.Error, "GPU is lost") {
			t.Errorf("GPU %d: %q", i, g.Error)
		}
	}
}

func TestHealthLinksAndProcesses(t *testing.T) {
	s := dgxh100.New()
	all := addresses(s)
	d := device(s, 0)
	d.GetRemappedRowsFunc = func() (int, int, bool, bool, lib.Return) { return 1, 2, true, false, lib.SUCCESS }
	d.GetTotalEccErrorsFunc = func(kind lib.MemoryErrorType, counter lib.EccCounterType) (uint64, lib.Return) {
		if kind != lib.MEMORY_ERROR_TYPE_UNCORRECTED || counter != lib.VOLATILE_ECC {
			return 0, lib.ERROR_INVALID_ARGUMENT
		}
		return 5, lib.SUCCESS
	}
	d.GetFieldValuesFunc = func(v []lib.FieldValue) lib.Return {
		if len(v) != 1 || v[0].FieldId != lib.FI_DEV_GET_GPU_RECOVERY_ACTION {
			return lib.ERROR_INVALID_ARGUMENT
		}
		v[0].Value[0] = 2
		return lib.SUCCESS
	}
	d.GetGpuFabricInfoFunc = func() (lib.GpuFabricInfo, lib.Return) {
		return lib.GpuFabricInfo{State: lib.GPU_FABRIC_STATE_COMPLETED, Status: uint32(lib.ERROR_UNKNOWN)}, lib.SUCCESS
	}
	d.GetNvLinkStateFunc = func(i int) (lib.EnableState, lib.Return) {
		switch {
		case i >= 6:
			return lib.FEATURE_DISABLED, lib.ERROR_INVALID_ARGUMENT
		case i == 2:
			return lib.FEATURE_DISABLED, lib.SUCCESS
		}
		return lib.FEATURE_ENABLED, lib.SUCCESS
	}
	d.GetNvLinkRemoteDeviceTypeFunc = func(i int) (lib.IntNvLinkDeviceType, lib.Return) {
		if i < 2 {
			return lib.NVLINK_DEVICE_TYPE_SWITCH, lib.SUCCESS
		}
		return lib.NVLINK_DEVICE_TYPE_GPU, lib.SUCCESS
	}
	d.GetNvLinkRemotePciInfoFunc = func(int) (lib.PciInfo, lib.Return) {
		var p lib.PciInfo
		for i, c := range "00000000:C3:00.0" {
			p.BusId[i] = int8(c)
		}
		return p, lib.SUCCESS
	}
	d.GetComputeRunningProcessesFunc = func() ([]lib.ProcessInfo, lib.Return) {
		return []lib.ProcessInfo{{Pid: 4711, UsedGpuMemory: 1 << 30, GpuInstanceId: ^uint32(0)}, {Pid: 4712, UsedGpuMemory: ^uint64(0)}}, lib.SUCCESS
	}
	_, gpus := asked(t, s, all[0])
	g := gpus[0]
	if *g.Rows != (nvml.Rows{Correctable: 1, Uncorrectable: 2, Pending: true}) || g.ECCErrors != 5 || g.Recovery != "reboot" || g.Fabric != "completed" || !strings.Contains(g.FabricStatus, "UNKNOWN") {
		t.Errorf("%+v", g)
	}
	if !slices.Equal(g.Links, []nvml.Link{{Switch: true, Count: 2}, {Remote: "0000:c3:00.0", Count: 3}}) {
		t.Errorf("links %+v", g.Links)
	}
	if len(g.Processes) != 2 || g.Processes[0].Memory != 1<<30 || g.Processes[0].GI != nil || g.Processes[1] != (nvml.Process{PID: 4712}) {
		t.Errorf("processes %+v", g.Processes)
	}
}

// migDevice is one of NVIDIA's mocks as a MIG device.
func migDevice(gi, ci int, at lib.DeviceAttributes) *mock.Device {
	return &mock.Device{
		GetGpuInstanceIdFunc:     func() (int, lib.Return) { return gi, lib.SUCCESS },
		GetComputeInstanceIdFunc: func() (int, lib.Return) { return ci, lib.SUCCESS },
		GetUUIDFunc:              func() (string, lib.Return) { return "MIG-1", lib.SUCCESS },
		GetAttributesFunc:        func() (lib.DeviceAttributes, lib.Return) { return at, lib.SUCCESS },
	}
}

func TestMIGDevices(t *testing.T) {
	s := dgxh100.New()
	all := addresses(s)
	d := device(s, 2)
	d.MigMode = 1
	d.GetMaxMigDeviceCountFunc = func() (int, lib.Return) { return 7, lib.SUCCESS }
	d.GetMigDeviceHandleByIndexFunc = func(i int) (lib.Device, lib.Return) {
		switch i {
		case 0:
			return migDevice(9, 0, lib.DeviceAttributes{GpuInstanceSliceCount: 1, ComputeInstanceSliceCount: 1, MemorySizeMB: 9856}), lib.SUCCESS
		case 3: // indices have holes
			return migDevice(2, 1, lib.DeviceAttributes{GpuInstanceSliceCount: 3, ComputeInstanceSliceCount: 1, MemorySizeMB: 40320}), lib.SUCCESS
		}
		return nil, lib.ERROR_NOT_FOUND
	}
	d.GetComputeRunningProcessesFunc = func() ([]lib.ProcessInfo, lib.Return) {
		return []lib.ProcessInfo{{Pid: 1, GpuInstanceId: 2}}, lib.SUCCESS
	}
	_, gpus := asked(t, s, all...)
	want := []nvml.Instance{{Index: 0, GI: 9, UUID: "MIG-1", Profile: "1g.10gb", Memory: 9856 << 20}, {Index: 3, GI: 2, CI: 1, UUID: "MIG-1", Profile: "1c.3g.40gb", Memory: 40320 << 20}}
	if g := gpus[2]; !*g.MIG || !slices.Equal(g.Instances, want) || *g.Processes[0].GI != 2 {
		t.Errorf("%+v", g)
	}
}

func TestProfileNames(t *testing.T) {
	const gib = 1 << 30
	for want, c := range map[string]struct {
		gpu, instance uint32
		mb, total     uint64
	}{
		"1g.5gb": {1, 1, 4864, 40536 << 20}, "3g.20gb": {3, 3, 19968, 40536 << 20}, "1g.10gb": {1, 1, 9728, 80 * gib}, "7g.80gb": {7, 7, 80896, 80 * gib},
		"2c.4g.40gb": {4, 2, 40448, 80 * gib}, "1g.18gb": {1, 1, 16384, 141 * gib},
	} {
		at := lib.DeviceAttributes{GpuInstanceSliceCount: c.gpu, ComputeInstanceSliceCount: c.instance, MemorySizeMB: c.mb}
		if got := profile(at, c.total); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// An old library lacks functions. Not one of them is called: that would end the process.
func TestNothingIsCalledThatTheLibraryLacks(t *testing.T) {
	s := dgxh100.New()
	all := addresses(s)
	s.LookupSymbolFunc = func(string) error { return errors.New("undefined symbol") }
	d := device(s, 0)
	called := func() { t.Error("a function is called that the library does not have") }
	d.GetCudaComputeCapabilityFunc = func() (int, int, lib.Return) { called(); return 0, 0, lib.SUCCESS }
	d.GetMemoryInfo_v2Func = func() (lib.Memory_v2, lib.Return) { called(); return lib.Memory_v2{}, lib.SUCCESS }
	d.GetRemappedRowsFunc = func() (int, int, bool, bool, lib.Return) { called(); return 0, 0, false, false, lib.SUCCESS }
	d.GetFieldValuesFunc = func([]lib.FieldValue) lib.Return { called(); return lib.SUCCESS }
	d.GetGpuFabricInfoFunc = func() (lib.GpuFabricInfo, lib.Return) { called(); return lib.GpuFabricInfo{}, lib.SUCCESS }
	d.GetNvLinkStateFunc = func(int) (lib.EnableState, lib.Return) { called(); return 0, lib.SUCCESS }
	d.GetMigModeFunc = func() (int, int, lib.Return) { called(); return 0, 0, lib.SUCCESS }
	d.GetComputeRunningProcessesFunc = func() ([]lib.ProcessInfo, lib.Return) { called(); return nil, lib.SUCCESS }
	if _, gpus := asked(t, s, all[0]); gpus[0].UUID == "" || gpus[0].Memory == 0 || gpus[0].Capability != "" {
		t.Errorf("%+v", gpus[0])
	}
}

// After a failed Init no function may be called at all.
func TestInitFails(t *testing.T) {
	for ret, want := range map[lib.Return]string{lib.ERROR_LIBRARY_NOT_FOUND: "ERROR_LIBRARY_NOT_FOUND", lib.ERROR_DRIVER_NOT_LOADED: "NVIDIA driver is not loaded",
		lib.ERROR_LIB_RM_VERSION_MISMATCH: "Driver/library version mismatch", lib.Return(4242): "NVML error 4242"} {
		l := &mock.Interface{InitFunc: func() lib.Return { return ret }} // each other function of the mock panics
		if system, gpus := asked(t, l, "0000:01:00.0"); !strings.Contains(system.Error, want) || gpus != nil {
			t.Errorf("%+v %+v", system, gpus)
		}
	}
}
