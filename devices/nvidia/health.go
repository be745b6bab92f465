package nvidia

import (
	"fmt"
	"slices"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/nvidia/nvml"
)

// A judgement collects reasons; the worst of them is the state.
type judgement struct{ devices.Health }

func (j *judgement) bad(format string, args ...any) {
	j.State = "bad"
	j.Reasons = append(j.Reasons, fmt.Sprintf(format, args...))
}

func (j *judgement) warn(format string, args ...any) {
	if j.State != "bad" {
		j.State = "warn"
	}
	j.Reasons = append(j.Reasons, fmt.Sprintf(format, args...))
}

// health judges a GPU by what the kernel and NVML say of it. A GPU that needs a reset, or whose NVLink fabric is not ready, starts no
// CUDA program; corrected errors, and uncorrected ones that are over, are for the operator to see.
func (b *builder) health(g procGPU, said nvml.GPU) devices.Health {
	var j judgement
	if g.Excluded {
		j.bad("it is excluded from use (NVreg_ExcludedGpus)")
	}
	if bus := b.record.Bus; len(bus) > 0 && !slices.ContainsFunc(bus, func(p pciDevice) bool { return p.Address == g.Address }) {
		j.bad("it has fallen off the bus: the driver has it, and PCI does not")
	}
	b.answered(&j, g, said)
	if said.Error == "" {
		faults(&j, said)
	}
	switch {
	case j.State != "":
	case !b.record.Asked || b.record.Answer.System.Error != "":
		j.State, j.Reasons = "unknown", []string{"NVML was not asked"}
		if b.record.Asked {
			j.Reasons = []string{"NVML can't be asked: " + b.record.Answer.System.Error}
		}
	default:
		j.State = "ok"
	}
	return j.Health
}

// answered judges whether NVML knows the GPU at all. Where the library can't be asked, that says nothing of the GPU.
func (b *builder) answered(j *judgement, g procGPU, said nvml.GPU) {
	switch {
	case !b.record.Asked || b.record.Answer.System.Error != "" || g.Excluded:
	case said.Hung:
		j.bad("NVML hangs when it asks this GPU: %s", said.Error)
	case said.Error != "":
		j.bad("NVML: %s", said.Error)
	case said.UUID == "" && g.UUID == "":
		j.bad("the driver could not initialise it: it has no UUID (dmesg | grep NVRM)")
	}
}

func faults(j *judgement, said nvml.GPU) {
	if said.Recovery != "" && said.Recovery != "none" {
		j.bad("the driver asks for a recovery: %s", said.Recovery)
	}
	if said.Rows != nil && said.Rows.Failure {
		j.bad("remapping a row of its memory has failed")
	}
	if said.Rows != nil && said.Rows.Pending {
		j.bad("a row of its memory is to be remapped: it needs a reset (nvidia-smi --gpu-reset)")
	}
	if said.PagesPending != nil && *said.PagesPending {
		j.bad("pages of its memory are to be retired: it needs a reset (nvidia-smi --gpu-reset)")
	}
	if said.ECCErrors > 0 {
		j.warn("%d uncorrected memory errors since the driver was loaded", said.ECCErrors)
	}
	if said.ComputeMode == "prohibited" {
		j.bad("its compute mode is \"prohibited\": nvidia-smi -c DEFAULT")
	}
	fabric(j, said)
}

// faulty reports whether a GPU says of itself that it can't be used.
func faulty(said nvml.GPU) bool {
	var j judgement
	faults(&j, said)
	return j.State == "bad"
}

func fabric(j *judgement, f nvml.GPU) {
	switch {
	case f.Fabric == "not started" || f.Fabric == "in progress":
		j.bad("its registration with the NVLink fabric is %s (nvidia-fabricmanager)", f.Fabric)
	case f.FabricStatus != "":
		j.bad("its registration with the NVLink fabric has failed: %s", f.FabricStatus)
	}
}
