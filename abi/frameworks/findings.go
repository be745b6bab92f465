package frameworks

import (
	"fmt"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// Wants says what of the facts matters to a container.
type Wants struct {
	GPU, NPU bool // accelerators that the profile asks for
	// Imported holds the top-level modules that the command imports, sorted; nil where that is not known, and all is told of
	// as information.
	Imported []string
	// NoAutoload says that TORCH_DEVICE_BACKEND_AUTOLOAD keeps torch from importing torch_npu by itself.
	NoAutoload bool
}

// ImportsNPU says whether the command imports torch_npu: itself, or torch for it, which does so since 2.5
// (torch/__init__.py, _import_device_backends). t is the torch that it would import, nil for none.
func (w Wants) ImportsNPU(t *Torch) bool {
	if t == nil {
		return w.imports("torch_npu")
	}
	autoloads, known := allows(">=2.5", Base(t.Version))
	return w.imports("torch_npu") || w.imports("torch") && !w.NoAutoload && autoloads && known
}

// imports says whether the command imports one of these.
func (w Wants) imports(packages ...string) bool {
	return slices.ContainsFunc(packages, func(p string) bool { _, ok := slices.BinarySearch(w.Imported, p); return ok })
}

// severity is that of something that ends the work with a package.
func (w Wants) severity(packages ...string) finding.Severity {
	if w.imports(packages...) {
		return finding.Warning
	}
	return finding.Info
}

// concerns says whether a person should hear of packages: the command imports one, or what it imports is not known.
func (w Wants) concerns(packages ...string) bool { return w.Imported == nil || w.imports(packages...) }

// Findings says what does not go together. Errors are what an accelerator that is asked for can't be used with.
func (f Facts) Findings(w Wants) []finding.Finding {
	var all []finding.Finding
	all = append(all, f.npu(w)...)
	all = append(all, f.pinned(w)...)
	all = append(all, f.absentWheels(w)...)
	return append(all, f.mixedCUDA(w)...)
}

// npu compares torch_npu with torch (torch_npu/__init__.py; the plugin is built against one release of torch).
func (f Facts) npu(w Wants) []finding.Finding {
	t, n := f.Torch, f.TorchNPU
	switch {
	case t == nil:
		return nil
	case n == nil && w.NPU && w.imports("torch"):
		return []finding.Finding{{ID: finding.TorchNoNPU, Severity: finding.Warning, Subject: "torch", Got: t.Dir + ": torch " + t.Version, Want: "torch_npu for torch " + Base(t.Version),
			Message: "the profile asks for an NPU, and torch_npu is not installed: torch has no device npu", Remedy: "install torch_npu of the same release into the environment: pip install torch-npu==" + Base(t.Version)}}
	case n == nil || !w.NPU && !w.concerns("torch", "torch_npu"):
		return nil
	}
	severity := w.severity("torch", "torch_npu")
	switch {
	case w.NPU && w.ImportsNPU(t):
		severity = finding.Error
	case w.NPU:
		severity = finding.Warning // the command may use the NPU by other means
	}
	var all []finding.Finding
	if acc := t.Accelerator(); acc != "" {
		all = append(all, finding.Finding{ID: finding.TwoAccelerators, Severity: w.conflicting(t, severity), Subject: "torch_npu", Got: fmt.Sprintf("torch %s for %s in %s", t.Version, acc, t.Dir),
			Want:    "torch " + Base(n.Version) + " for processors alone (+cpu)",
			Message: "import torch_npu raises RuntimeError: Two accelerators cannot be used at the same time in PyTorch: npu and " + deviceOf(acc) + ", where both are there",
			Remedy:  "install the CPU build of torch " + n.TorchBase + ", or keep torch_npu out: TORCH_DEVICE_BACKEND_AUTOLOAD=0 under environment:"})
	}
	if base := Base(t.Version); base != n.TorchBase {
		all = append(all, finding.Finding{ID: finding.NPUOtherTorch, Severity: severity, Subject: "torch_npu", Got: fmt.Sprintf("torch %s in %s", t.Version, t.Dir),
			Want:    strings.TrimSpace("torch " + n.TorchBase + " " + parenthesised(n.TorchSays)),
			Message: fmt.Sprintf("torch_npu %s is built for torch %s, and torch %s would be imported: its library has undefined symbols there", n.Version, n.TorchBase, t.Version),
			Remedy:  "pip install torch==" + n.TorchBase + ", or torch-npu==" + base + ".*"})
	}
	return all
}

// conflicting is the severity of two accelerators: torch counts those that it was built for, and before 2.8 those that it
// finds (ATen/DeviceAccelerator.cpp, getAccelerator).
func (w Wants) conflicting(t *Torch, severity finding.Severity) finding.Severity {
	if built, known := allows(">=2.8", Base(t.Version)); severity == finding.Error && !w.GPU && !(built && known) {
		return finding.Warning
	}
	return severity
}

func deviceOf(accelerator string) string {
	if accelerator == "rocm" { // its devices bear CUDA's name
		return "cuda"
	}
	return accelerator
}

func parenthesised(text string) string {
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}

// pinned tells of requirements that do not hold, in the words of pip check.
func (f Facts) pinned(w Wants) []finding.Finding {
	var all []finding.Finding
	for _, c := range f.Conflict {
		name, _, _ := strings.Cut(c.By, " ")
		q, _ := parseRequirement(c.Requires)
		module := strings.ReplaceAll(name, "-", "_")
		if c.Got == "" || name == "torch-npu" && q.name == "torch" || !w.concerns(module) { // told of by others, or no matter
			continue
		}
		severity := w.severity(module)
		if isWheelOfCUDA(q.name) || isWheelOfCUDA(name) { // other builds of these are installed on purpose, too
			severity = finding.Info
		}
		all = append(all, finding.Finding{ID: finding.PinBroken, Severity: severity, Subject: name, Got: q.name + " " + c.Got, Want: c.Requires,
			Message: fmt.Sprintf("%s has requirement %s, but you have %s %s.", c.By, c.Requires, q.name, c.Got),
			Remedy:  "install versions that were made for each other: pip install \"" + strings.ReplaceAll(c.By, " ", "==") + "\" chooses them"})
	}
	return all
}

// absentWheels tells of libraries that torch asks for and that are nowhere, and of the wheels that would bring them.
func (f Facts) absentWheels(w Wants) []finding.Finding {
	if f.Torch == nil || !w.concerns("torch") {
		return nil
	}
	var missing, wheels []string
	for _, n := range f.Torch.Needs {
		if n.Found == "" {
			missing = append(missing, n.Soname)
		}
	}
	for _, c := range f.Conflict {
		if q, _ := parseRequirement(c.Requires); c.Got == "" && strings.HasPrefix(c.By, "torch ") {
			wheels = append(wheels, q.name)
		}
	}
	if len(missing) == 0 || len(wheels) == 0 {
		return nil
	}
	return []finding.Finding{{ID: finding.CUDAWheelAbsent, Severity: w.severity("torch"), Subject: "torch", Got: strings.Join(missing, ", ") + ": found in no wheel, toolkit or system directory",
		Want:    strings.Join(wheels, ", "),
		Message: fmt.Sprintf("torch %s asks for %s of CUDA that nothing here provides; of the wheels that its metadata requires %d are not installed", f.Torch.Version, counted(len(missing), "library", "libraries"), len(wheels)),
		Remedy:  "pip install torch==" + Base(f.Torch.Version) + " brings them; with --no-deps it does not"}}
}

// mixedCUDA tells of frameworks for different major versions of CUDA that one command imports: each works by itself.
func (f Facts) mixedCUDA(w Wants) []finding.Finding {
	by := map[int][]string{}
	note := func(name, version string, needs []Need) {
		for _, major := range CUDAMajors(needs) {
			by[major] = append(by[major], name+" "+version)
		}
	}
	if t := f.Torch; t != nil && w.concerns("torch") {
		note("torch", t.Version, t.Needs)
	}
	for _, o := range f.Others {
		if w.concerns(importName(o)) {
			note(o.Name, o.Version, o.Needs)
		}
	}
	if len(by) < 2 {
		return nil
	}
	var words []string
	for major, names := range by {
		words = append(words, fmt.Sprintf("CUDA %d: %s", major, strings.Join(names, ", ")))
	}
	slices.Sort(words)
	severity := finding.Info
	if w.Imported != nil {
		severity = finding.Warning
	}
	return []finding.Finding{{ID: finding.CUDAMixed, Severity: severity, Subject: "cuda", Got: strings.Join(words, "; "), Want: "one major version of CUDA",
		Message: fmt.Sprintf("frameworks are built for %d major versions of CUDA: one process that uses both holds two runtimes, with two contexts' memory on each GPU", len(by)),
		Remedy:  "install builds for the same CUDA"}}
}

func importName(o Other) string { return o.Dir[strings.LastIndexByte(o.Dir, '/')+1:] }

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
