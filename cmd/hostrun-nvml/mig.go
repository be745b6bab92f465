//go:build cgo

package main

import (
	"fmt"
	"math"

	lib "github.com/NVIDIA/go-nvml/pkg/nvml"

	"hostrun.dev/hostrun/devices/nvidia/nvml"
)

// partitions lists the MIG devices. Their indices may have holes (nvml.h).
func (a *asker) partitions(d lib.Device, g *nvml.GPU) {
	if !a.can("nvmlDeviceGetMigMode") {
		return
	}
	mode, _, ret := d.GetMigMode()
	if ret != lib.SUCCESS {
		return
	}
	on := mode == lib.DEVICE_MIG_ENABLE
	g.MIG = &on
	if !on || !a.can("nvmlDeviceGetMaxMigDeviceCount") || !a.can("nvmlDeviceGetMigDeviceHandleByIndex") {
		return
	}
	n, ret := d.GetMaxMigDeviceCount()
	if ret != lib.SUCCESS {
		return
	}
	for i := range n {
		mig, ret := d.GetMigDeviceHandleByIndex(i)
		if ret != lib.SUCCESS {
			continue
		}
		if found, ok := a.instance(mig, g.Memory); ok {
			found.Index = i
			g.Instances = append(g.Instances, found)
		}
	}
}

func (a *asker) instance(mig lib.Device, total uint64) (nvml.Instance, bool) {
	var i nvml.Instance
	var ret lib.Return
	if i.GI, ret = mig.GetGpuInstanceId(); ret != lib.SUCCESS {
		return i, false
	}
	if i.CI, ret = mig.GetComputeInstanceId(); ret != lib.SUCCESS {
		return i, false
	}
	if i.UUID, ret = mig.GetUUID(); ret != lib.SUCCESS {
		i.UUID = ""
	}
	if a.can("nvmlDeviceGetAttributes_v2") {
		if at, ret := mig.GetAttributes(); ret == lib.SUCCESS {
			i.Memory, i.Profile = at.MemorySizeMB<<20, profile(at, total)
		}
	}
	return i, true
}

// profile is the name of a MIG profile as nvidia-smi has it: compute slices if fewer than the GPU instance's, GPU slices, and
// memory: "1c.3g.40gb", "1g.10gb". The memory is the instance's share in eighths of the GPU, of the GPU's whole GiB; total is
// the GPU's, in bytes. Media extensions (+me) are not in the attributes' name and are left out.
func profile(at lib.DeviceAttributes, total uint64) string {
	gib := float64(at.MemorySizeMB) / 1024
	if total > 0 {
		eighths := math.Ceil(float64(at.MemorySizeMB) * (1 << 20) / float64(total) * 8)
		gib = eighths / 8 * math.Ceil(float64(total)/(1<<30))
	}
	name := fmt.Sprintf("%dg.%.0fgb", at.GpuInstanceSliceCount, math.Round(gib))
	if at.ComputeInstanceSliceCount < at.GpuInstanceSliceCount {
		name = fmt.Sprintf("%dc.%s", at.ComputeInstanceSliceCount, name)
	}
	return name
}
