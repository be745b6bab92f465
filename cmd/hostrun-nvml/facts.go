//go:build cgo

package main

import (
	"encoding/binary"
	"fmt"

	lib "github.com/NVIDIA/go-nvml/pkg/nvml"

	"hostrun.dev/hostrun/devices/nvidia/nvml"
)

// brands are nvmlBrandType_t in the words of NVIDIA_REQUIRE_CUDA (libnvidia-container, src/nvc_info.c).
var brands = map[lib.BrandType]string{
	lib.BRAND_QUADRO: "quadro", lib.BRAND_TESLA: "tesla", lib.BRAND_NVS: "nvs", lib.BRAND_GRID: "grid", lib.BRAND_GEFORCE: "geforce",
	lib.BRAND_TITAN: "titan", lib.BRAND_NVIDIA_VAPPS: "nvidiavapps", lib.BRAND_NVIDIA_VPC: "nvidiavpc", lib.BRAND_NVIDIA_VCS: "nvidiavcs",
	lib.BRAND_NVIDIA_VWS: "nvidiavws", lib.BRAND_NVIDIA_CLOUD_GAMING: "nvidiacloudgaming", lib.BRAND_QUADRO_RTX: "quadrortx",
	lib.BRAND_NVIDIA_RTX: "nvidiartx", lib.BRAND_NVIDIA: "nvidia", lib.BRAND_GEFORCE_RTX: "geforcertx", lib.BRAND_TITAN_RTX: "titanrtx",
}

var architectures = map[lib.DeviceArchitecture]string{
	lib.DEVICE_ARCH_KEPLER: "kepler", lib.DEVICE_ARCH_MAXWELL: "maxwell", lib.DEVICE_ARCH_PASCAL: "pascal", lib.DEVICE_ARCH_VOLTA: "volta",
	lib.DEVICE_ARCH_TURING: "turing", lib.DEVICE_ARCH_AMPERE: "ampere", lib.DEVICE_ARCH_ADA: "ada", lib.DEVICE_ARCH_HOPPER: "hopper",
	lib.DEVICE_ARCH_BLACKWELL: "blackwell",
}

func (a *asker) identity(d lib.Device, g *nvml.GPU) {
	if n, ret := d.GetIndex(); ret == lib.SUCCESS {
		g.Index = &n
	}
	if n, ret := d.GetMinorNumber(); ret == lib.SUCCESS {
		g.Minor = &n
	}
	if s, ret := d.GetName(); ret == lib.SUCCESS {
		g.Name = s
	}
	if b, ret := d.GetBrand(); ret == lib.SUCCESS {
		g.Brand = brands[b]
	}
	if a.can("nvmlDeviceGetCudaComputeCapability") {
		if major, minor, ret := d.GetCudaComputeCapability(); ret == lib.SUCCESS {
			g.Capability = fmt.Sprintf("%d.%d", major, minor)
		}
	}
	if a.can("nvmlDeviceGetArchitecture") {
		if arch, ret := d.GetArchitecture(); ret == lib.SUCCESS {
			g.Architecture = architectures[arch]
		}
	}
}

// memory prefers the second version: it does not count what the driver has reserved as used.
func (a *asker) memory(d lib.Device, g *nvml.GPU) {
	if a.can("nvmlDeviceGetMemoryInfo_v2") {
		if m, ret := d.GetMemoryInfo_v2(); ret == lib.SUCCESS {
			g.Memory, g.MemoryUsed = m.Total, m.Used
			return
		}
	}
	if m, ret := d.GetMemoryInfo(); ret == lib.SUCCESS {
		g.Memory, g.MemoryUsed = m.Total, m.Used
	}
}

// condition is what may be otherwise a moment later.
func (a *asker) condition(d lib.Device, g *nvml.GPU) {
	if p, ret := d.GetPersistenceMode(); ret == lib.SUCCESS {
		on := p == lib.FEATURE_ENABLED
		g.Persistence = &on
	}
	if u, ret := d.GetUtilizationRates(); ret == lib.SUCCESS {
		per := int(u.Gpu)
		g.Utilization = &per
	}
	if w, ret := d.GetPowerUsage(); ret == lib.SUCCESS {
		g.Power = w
	}
	if a.can("nvmlDeviceGetTotalEnergyConsumption") { // Volta and newer
		if mj, ret := d.GetTotalEnergyConsumption(); ret == lib.SUCCESS {
			g.Energy = mj
		}
	}
	if w, ret := d.GetEnforcedPowerLimit(); ret == lib.SUCCESS {
		g.PowerLimit = w
	}
	if m, ret := d.GetComputeMode(); ret == lib.SUCCESS {
		g.ComputeMode = map[lib.ComputeMode]string{lib.COMPUTEMODE_DEFAULT: "default", lib.COMPUTEMODE_EXCLUSIVE_PROCESS: "exclusive-process",
			lib.COMPUTEMODE_EXCLUSIVE_THREAD: "exclusive-thread", lib.COMPUTEMODE_PROHIBITED: "prohibited"}[m]
	}
}

func (a *asker) faults(d lib.Device, g *nvml.GPU) {
	if now, _, ret := d.GetEccMode(); ret == lib.SUCCESS {
		on := now == lib.FEATURE_ENABLED
		g.ECC = &on
	}
	if n, ret := d.GetTotalEccErrors(lib.MEMORY_ERROR_TYPE_UNCORRECTED, lib.VOLATILE_ECC); ret == lib.SUCCESS {
		g.ECCErrors = n
	}
	if a.can("nvmlDeviceGetRemappedRows") {
		if c, u, pending, failure, ret := d.GetRemappedRows(); ret == lib.SUCCESS {
			g.Rows = &nvml.Rows{Correctable: c, Uncorrectable: u, Pending: pending, Failure: failure}
		}
	}
	if a.can("nvmlDeviceGetRetiredPagesPendingStatus") {
		if p, ret := d.GetRetiredPagesPendingStatus(); ret == lib.SUCCESS {
			pending := p == lib.FEATURE_ENABLED
			g.PagesPending = &pending
		}
	}
	if a.can("nvmlDeviceGetFieldValues") {
		field := []lib.FieldValue{{FieldId: lib.FI_DEV_GET_GPU_RECOVERY_ACTION}}
		if d.GetFieldValues(field) == lib.SUCCESS && lib.Return(field[0].NvmlReturn) == lib.SUCCESS {
			g.Recovery = recovery(lib.DeviceGpuRecoveryAction(binary.NativeEndian.Uint32(field[0].Value[:4])))
		}
	}
}

// recovery is nvmlDeviceGpuRecoveryAction_t, as nvidia-smi prints it.
func recovery(action lib.DeviceGpuRecoveryAction) string {
	switch action {
	case lib.GPU_RECOVERY_ACTION_NONE:
		return "none"
	case lib.GPU_RECOVERY_ACTION_GPU_RESET:
		return "reset"
	case lib.GPU_RECOVERY_ACTION_NODE_REBOOT:
		return "reboot"
	case lib.GPU_RECOVERY_ACTION_DRAIN_P2P:
		return "drain P2P"
	case lib.GPU_RECOVERY_ACTION_DRAIN_AND_RESET:
		return "drain and reset"
	case lib.GPU_RECOVERY_ACTION_RECOVER_IMEX_DOMAIN:
		return "recover IMEX domain"
	case lib.GPU_RECOVERY_ACTION_BUS_RESET:
		return "bus reset"
	case lib.GPU_RECOVERY_ACTION_SYSTEM_REBOOT:
		return "system reboot"
	}
	return fmt.Sprintf("action %d", action)
}

func (a *asker) fabric(d lib.Device, g *nvml.GPU) {
	if !a.can("nvmlDeviceGetGpuFabricInfo") {
		return
	}
	f, ret := d.GetGpuFabricInfo()
	if ret != lib.SUCCESS {
		return
	}
	switch f.State {
	case lib.GPU_FABRIC_STATE_NOT_STARTED:
		g.Fabric = "not started"
	case lib.GPU_FABRIC_STATE_IN_PROGRESS:
		g.Fabric = "in progress"
	case lib.GPU_FABRIC_STATE_COMPLETED:
		g.Fabric = "completed"
		if status := lib.Return(f.Status); status != lib.SUCCESS {
			g.FabricStatus = words(status)
		}
	}
}

func (a *asker) links(d lib.Device, g *nvml.GPU) {
	if !a.can("nvmlDeviceGetNvLinkState") || !a.can("nvmlDeviceGetNvLinkRemotePciInfo") {
		return
	}
	for i := range lib.NVLINK_MAX_LINKS {
		state, ret := d.GetNvLinkState(i)
		if ret == lib.ERROR_INVALID_ARGUMENT || ret == lib.ERROR_NOT_SUPPORTED {
			return // no more links than this
		}
		if ret != lib.SUCCESS || state != lib.FEATURE_ENABLED {
			continue
		}
		count(g, a.otherEnd(d, i))
	}
}

func (a *asker) otherEnd(d lib.Device, link int) nvml.Link {
	if a.can("nvmlDeviceGetNvLinkRemoteDeviceType") {
		if kind, ret := d.GetNvLinkRemoteDeviceType(link); ret == lib.SUCCESS && kind == lib.NVLINK_DEVICE_TYPE_SWITCH {
			return nvml.Link{Switch: true}
		}
	}
	pci, ret := d.GetNvLinkRemotePciInfo(link)
	if ret != lib.SUCCESS {
		return nvml.Link{}
	}
	return nvml.Link{Remote: nvml.Address(text(pci.BusId[:]))}
}

// count adds a link to those with the same other end.
func count(g *nvml.GPU, l nvml.Link) {
	l.Count = 1
	for i, have := range g.Links {
		if have.Remote == l.Remote && have.Switch == l.Switch {
			g.Links[i].Count++
			return
		}
	}
	if l.Switch || l.Remote != "" {
		g.Links = append(g.Links, l)
	}
}

// text is a C string of fixed room.
func text(chars []int8) string {
	var b []byte
	for _, c := range chars {
		if c == 0 {
			break
		}
		b = append(b, byte(c))
	}
	return string(b)
}

func (a *asker) processes(d lib.Device, g *nvml.GPU) {
	if !a.can("nvmlDeviceGetComputeRunningProcesses") {
		return
	}
	all, ret := d.GetComputeRunningProcesses()
	if ret != lib.SUCCESS {
		return
	}
	for _, p := range all {
		found := nvml.Process{PID: int(p.Pid)}
		if p.UsedGpuMemory != ^uint64(0) { // NVML_VALUE_NOT_AVAILABLE
			found.Memory = p.UsedGpuMemory
		}
		if gi := int(p.GpuInstanceId); p.GpuInstanceId != ^uint32(0) && g.MIG != nil && *g.MIG {
			found.GI = &gi
		}
		g.Processes = append(g.Processes, found)
	}
}
