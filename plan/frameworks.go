package plan

import (
	"errors"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi/frameworks"
	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// Wants says which accelerators a container gets: those that were chosen for it, and device nodes that its profile names.
func Wants(f Facts) frameworks.Wants {
	w := frameworks.Wants{GPU: namesNodes(&f.Profile, gpuNode), NPU: namesNodes(&f.Profile, npuNode)}
	for _, g := range f.Grants {
		w.GPU = w.GPU || g.Ask.Kind == devices.KindGPU && len(g.Chosen) > 0
		w.NPU = w.NPU || g.Ask.Kind == devices.KindNPU && len(g.Chosen) > 0
	}
	return w
}

// Beginnings of the paths of accelerators' nodes, as profiles name them under devices:.
const (
	gpuNode = "/dev/nvidia"
	npuNode = "/dev/davinci"
)

func namesNodes(p *profiles.Profile, prefix string) bool {
	return slices.ContainsFunc(p.Devices, func(d profiles.Device) bool { return strings.HasPrefix(d.Source, prefix) })
}

// Frameworks is what files tell of the frameworks that a container's Python would import: those of the image's
// interpreter named by its Executable before the host's, or after them with python.precedence: host. "" is the first
// interpreter, or the only one with frameworks. Checks whether an accelerator fits work on it.
func Frameworks(f Facts, executable string) frameworks.Facts {
	var lent frameworks.Facts
	switch names := sortedKeys(f.Image.Frameworks); {
	case executable != "":
	case len(f.Image.Pythons) > 0:
		executable = f.Image.Pythons[0].Executable
	case len(names) == 1:
		executable = names[0]
	}
	image := f.Image.Frameworks[executable]
	if py := f.Host.Python; py != nil && py.Frameworks != nil {
		lent = *py.Frameworks
	}
	switch py := f.Profile.Python; {
	case !borrowsPython(&f.Profile):
		return image
	case usesHostRoot(&f.Profile) || py.InterpreterFrom == "host":
		return lent // it looks into no directory of the image
	case py.Precedence == "host" || py.Target != "": // a target is mounted over what the image has there
		return lent.Over(image)
	}
	return image.Over(lent)
}

// checkFrameworks tells of frameworks that do not go together, or not with the accelerators that the profile asks for.
// What the command imports is known once there is a proof.
func (b *builder) checkFrameworks() {
	executable := ""
	if b.python != nil {
		executable = b.python.Executable
	}
	facts := Frameworks(b.f, executable)
	if facts.Empty() {
		return
	}
	b.plan.Frameworks = &facts
	if b.f.Proof == nil {
		return
	}
	wants := Wants(b.f)
	wants.Imported = b.f.Proof.Imported
	autoload := b.env.get("TORCH_DEVICE_BACKEND_AUTOLOAD")
	wants.NoAutoload = autoload != "" && autoload != "1"
	if wants.Imported != nil && !wants.ImportsNPU(facts.Torch) {
		b.softenUnimported()
	}
	for _, f := range facts.Findings(wants) {
		b.report("python", b.strictly(f))
	}
}

// ofTorchNPU are errors that end an import of torch_npu, and nothing else.
var ofTorchNPU = []string{finding.AscendTorchBase, finding.AscendToolkit, finding.AscendCXX11ABI, finding.AscendTwoAccelerators}

// softenUnimported makes warnings of them, as the command does not import torch_npu: it may use the NPU by other means.
func (b *builder) softenUnimported() {
	b.f.Findings = slices.Clone(b.f.Findings)
	for i, f := range b.f.Findings {
		if f.Severity == finding.Error && slices.Contains(ofTorchNPU, f.ID) && f.Subject != "ascend.toolkit" {
			f.Severity = finding.Warning
			b.f.Findings[i] = b.strictly(f)
		}
	}
}

// AwaitsProof reports whether err refuses a plan for nothing but what a proof may soften: errors of an import that the command may
// not make.
func AwaitsProof(err error) bool {
	var refused *Refused
	return errors.As(err, &refused) && !slices.ContainsFunc(refused.Findings, func(f finding.Finding) bool { return !slices.Contains(ofTorchNPU, f.ID) })
}
