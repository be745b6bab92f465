package plan

import (
	"strings"

	"hostrun.dev/hostrun/abi/frameworks"
	"hostrun.dev/hostrun/devices"
)

// Wants says which accelerators a container gets: those that were chosen for it, and device nodes that its profile names.
func Wants(f Facts) frameworks.Wants {
	var w frameworks.Wants
	for _, d := range f.Profile.Devices {
		w.GPU = w.GPU || strings.HasPrefix(d.Source, "/dev/nvidia")
		w.NPU = w.NPU || strings.HasPrefix(d.Source, "/dev/davinci")
	}
	for _, g := range f.Grants {
		w.GPU = w.GPU || g.Ask.Kind == devices.KindGPU && len(g.Chosen) > 0
		w.NPU = w.NPU || g.Ask.Kind == devices.KindNPU && len(g.Chosen) > 0
	}
	return w
}

// Frameworks is what files tell of the frameworks that a container's Python would import: those of the image's
// interpreter named by its Executable ("" for the first) before the host's, or after them with python.precedence: host. Checks whether an accelerator
// fits work on it.
func Frameworks(f Facts, executable string) frameworks.Facts {
	var image, lent frameworks.Facts
	if executable == "" && len(f.Image.Pythons) > 0 {
		executable = f.Image.Pythons[0].Executable
	}
	image = f.Image.Frameworks[executable]
	if py := f.Host.Python; py != nil && py.Frameworks != nil && borrowsPython(&f.Profile) {
		lent = *py.Frameworks
	}
	if f.Profile.Python.Precedence == "host" || usesHostRoot(&f.Profile) {
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
	for _, f := range facts.Findings(wants) {
		b.report("python", b.strictly(f))
	}
}
