//go:build cgo

package main

import (
	"fmt"

	lib "github.com/NVIDIA/go-nvml/pkg/nvml"

	"hostrun.dev/hostrun/devices/nvidia/nvml"
)

// An asker guards each call: go-nvml binds a function at its first call, and one that the installed library lacks ends the
// process ("symbol lookup error", exit status 127). No call at all may follow a failed Init.
type asker struct {
	lib lib.Interface
	has map[string]bool
}

// can reports whether the library has a function.
func (a *asker) can(symbol string) bool {
	known, asked := a.has[symbol]
	if !asked {
		known = a.lib.Extensions().LookupSymbol(symbol) == nil
		a.has[symbol] = known
	}
	return known
}

// ask says what the library knows of the system, and then of each GPU.
func ask(l lib.Interface, addresses []string, say func(nvml.Message)) {
	if ret := l.Init(); ret != lib.SUCCESS {
		say(nvml.Message{System: &nvml.System{Error: words(ret)}})
		return
	}
	a := &asker{lib: l, has: map[string]bool{}}
	say(nvml.Message{System: a.system()})
	for _, address := range addresses {
		say(nvml.Message{Begin: address})
		g := a.gpu(address)
		g.PCI = address
		say(nvml.Message{GPU: &g})
	}
	say(nvml.Message{Done: true})
}

func (a *asker) system() *nvml.System {
	var s nvml.System
	if v, ret := a.lib.SystemGetDriverVersion(); ret == lib.SUCCESS {
		s.Driver = v
	}
	if v, ret := a.lib.SystemGetNVMLVersion(); ret == lib.SUCCESS {
		s.Library = v
	}
	if a.can("nvmlSystemGetCudaDriverVersion") {
		if v, ret := a.lib.SystemGetCudaDriverVersion(); ret == lib.SUCCESS {
			s.CUDA = fmt.Sprintf("%d.%d", v/1000, v%1000/10) // CUDA_VERSION of cuda.h: 12040
		}
	}
	return &s
}

// gpu asks by PCI address: a handle by UUID or index may initialise further GPUs on the way (nvml.h).
func (a *asker) gpu(address string) nvml.GPU {
	d, ret := a.lib.DeviceGetHandleByPciBusId(address)
	if ret != lib.SUCCESS {
		return nvml.GPU{Error: words(ret)}
	}
	g := nvml.GPU{}
	if g.UUID, ret = d.GetUUID(); ret != lib.SUCCESS {
		g.Error = words(ret) // the least that a GPU in use must answer
	}
	for _, section := range []func(lib.Device, *nvml.GPU){a.identity, a.memory, a.condition, a.faults, a.fabric, a.links, a.partitions, a.processes} {
		section(d, &g)
	}
	return g
}

// words gives an error as nvidia-smi's readers know it. The library's own text needs a loaded library.
func words(ret lib.Return) string {
	if name, ok := names[ret]; ok {
		return name
	}
	return fmt.Sprintf("NVML error %d", int(ret))
}

var names = map[lib.Return]string{
	lib.ERROR_UNINITIALIZED:           "ERROR_UNINITIALIZED: NVML was not first initialized with nvmlInit()",
	lib.ERROR_INVALID_ARGUMENT:        "ERROR_INVALID_ARGUMENT: a supplied argument is invalid",
	lib.ERROR_NOT_SUPPORTED:           "ERROR_NOT_SUPPORTED: the requested operation is not available on target device",
	lib.ERROR_NO_PERMISSION:           "ERROR_NO_PERMISSION: Insufficient Permissions",
	lib.ERROR_NOT_FOUND:               "ERROR_NOT_FOUND: NVML does not know this GPU",
	lib.ERROR_INSUFFICIENT_POWER:      "ERROR_INSUFFICIENT_POWER: a device's external power cables are not properly attached",
	lib.ERROR_DRIVER_NOT_LOADED:       "ERROR_DRIVER_NOT_LOADED: NVIDIA driver is not loaded",
	lib.ERROR_TIMEOUT:                 "ERROR_TIMEOUT: user provided timeout passed",
	lib.ERROR_IRQ_ISSUE:               "ERROR_IRQ_ISSUE: NVIDIA Kernel detected an interrupt issue with a GPU",
	lib.ERROR_LIBRARY_NOT_FOUND:       "ERROR_LIBRARY_NOT_FOUND: NVML Shared Library couldn't be found or loaded",
	lib.ERROR_GPU_IS_LOST:             "ERROR_GPU_IS_LOST: GPU is lost",
	lib.ERROR_RESET_REQUIRED:          "ERROR_RESET_REQUIRED: The GPU requires a reset before it can be used again",
	lib.ERROR_OPERATING_SYSTEM:        "ERROR_OPERATING_SYSTEM: the GPU control device has been blocked by the operating system/cgroups",
	lib.ERROR_LIB_RM_VERSION_MISMATCH: "ERROR_LIB_RM_VERSION_MISMATCH: Driver/library version mismatch",
	lib.ERROR_IN_USE:                  "ERROR_IN_USE: the GPU is currently in use",
	lib.ERROR_NO_DATA:                 "ERROR_NO_DATA: no data",
	lib.ERROR_CORRUPTED_INFOROM:       "ERROR_CORRUPTED_INFOROM: infoROM is corrupted",
	lib.ERROR_GPU_NOT_FOUND:           "ERROR_GPU_NOT_FOUND: no GPUs were found on the system",
	lib.ERROR_UNKNOWN:                 "ERROR_UNKNOWN: Unknown Error",
}
