package nvidia

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// Wants is what a container's programs ask of the driver and of the GPUs. What is empty is not known, and not judged.
type Wants struct {
	Torch     string   `json:"torch,omitempty"`      // version of torch: "2.7.1+cu128"
	TorchFile string   `json:"torch_file,omitempty"` // that says so
	TorchCUDA string   `json:"torch_cuda,omitempty"` // CUDA that it was built with: "12.8"
	Archs     []string `json:"archs,omitempty"`      // machine code in its libraries: "sm_80", "sm_90a"
	PTX       []string `json:"ptx,omitempty"`        // code that the driver compiles: "compute_90"

	ToolkitVersion string `json:"toolkit_version,omitempty"` // of the CUDA toolkit in the container, "12.4"
	ToolkitFile    string `json:"toolkit_file,omitempty"`

	Env []string `json:"env,omitempty"` // of the container: NVIDIA_REQUIRE_*, LD_LIBRARY_PATH, CUDA_VERSION
	// Bound are the paths in the container at which the edits bind the driver's files: a stub that one of them covers is none.
	Bound []string `json:"bound,omitempty"`
	// Absent are directories of LD_LIBRARY_PATH that have no libcuda in the container: a stub that is not there is none.
	Absent []string `json:"absent,omitempty"`
	// Compat is the forward-compatibility package of the image that its loader finds; the machine's is in the inventory.
	Compat *Compat `json:"compat,omitempty"`
	// NoCompat keeps the machine's package out: the option compat is off.
	NoCompat bool `json:"no_compat,omitempty"`

	File string `json:"-"` // the profile's, and the line that asks for the GPUs
	Line int    `json:"-"`
}

// Fit compares the driver and the chosen GPUs with what the container wants. It is pure: the same inventory, choice and wants give
// the same findings.
func Fit(inv devices.Inventory, chosen []devices.Device, w Wants) []finding.Finding {
	if len(chosen) == 0 {
		return nil
	}
	f := fit{driver: driverFacts(inv), wants: w}
	for _, d := range chosen {
		f.gpus = append(f.gpus, fitted{d, gpuFacts(d)})
	}
	f.releases()
	f.fabric()
	f.persistence()
	f.parts()
	f.toolkit()
	f.torch()
	f.requirements()
	f.stubs()
	return sortFindings(f.findings)
}

// A fitted is a chosen GPU with its facts.
type fitted struct {
	devices.Device
	facts GPU
}

func (g fitted) label() string {
	name := "GPU " + g.Name
	if g.Index >= 0 {
		name = fmt.Sprintf("GPU %d", g.Index)
	}
	if g.Model != "" {
		name += " (" + g.Model + ")"
	}
	return name
}

type fit struct {
	driver   Driver
	gpus     []fitted
	wants    Wants
	findings []finding.Finding
}

func (f *fit) find(found finding.Finding) {
	found.File, found.Line = f.wants.File, f.wants.Line
	f.findings = append(f.findings, found)
}

// releases compares the kernel's module with the libraries: they work in one version only.
func (f *fit) releases() {
	if mismatch(f.driver) {
		f.find(f.driver.mismatched(finding.Error))
	}
}

// fabric tells of NVSwitch machines whose fabric is not ready.
func (f *fit) fabric() {
	state := ""
	for _, g := range f.gpus {
		if s := g.facts.Fabric; s == "not started" || s == "in progress" {
			state = fmt.Sprintf("the fabric state of %s is %q", g.label(), s)
		} else if g.facts.FabricStatus != "" {
			state = fmt.Sprintf("%s has not joined the fabric: %s", g.label(), g.facts.FabricStatus)
		}
	}
	known := slices.ContainsFunc(f.gpus, func(g fitted) bool { return g.facts.Fabric != "" })
	if state == "" && !known && f.driver.Switches > 0 && !f.driver.FabricManager {
		state = fmt.Sprintf("the machine has %s, and nvidia-fabricmanager does not run (/run/nvidia-fabricmanager)", count(f.driver.Switches, "NVLink switch"))
	}
	if state == "" {
		return
	}
	f.find(finding.Finding{ID: finding.GPUFabric, Severity: finding.Error, Subject: "nvidia-fabricmanager", Got: state, Want: "a fabric that is ready",
		Message: "CUDA would end with \"Error 802: system not yet initialized\": " + state,
		Remedy:  "systemctl enable --now nvidia-fabricmanager, in the very version of the driver (" + f.driver.Version + "); nvidia-smi -q -i 0 | grep -A3 Fabric shows its state"})
}

func (f *fit) persistence() {
	for _, g := range f.gpus {
		if g.facts.Persistence != nil && !*g.facts.Persistence && !f.driver.Persistenced {
			f.find(finding.Finding{ID: finding.GPUPersistence, Severity: finding.Warning, Subject: g.label(), Got: "persistence mode is off",
				Want:    "nvidia-persistenced, or nvidia-smi -pm 1",
				Message: "the driver shuts a GPU down when its last program ends, and each first program waits seconds until it is initialised again",
				Remedy:  "systemctl enable --now nvidia-persistenced"})
			return
		}
	}
}

// parts tells who gives several MIG devices to one container that CUDA does not add them up (MIG User Guide, "Device Enumeration": a process
// enumerates one compute instance, and no GPU that is whole beside it).
func (f *fit) parts() {
	var parts []string
	for _, g := range f.gpus {
		if g.Parent != "" {
			parts = append(parts, strings.TrimSpace(g.Profile+" "+g.Name))
		}
	}
	whole := len(f.gpus) - len(parts)
	if len(parts) == 0 || len(f.gpus) == 1 {
		return
	}
	got := count(len(parts), "MIG device") + " (" + strings.Join(parts, ", ") + ")"
	if whole > 0 {
		got += " and " + count(whole, "whole GPU")
	}
	f.find(finding.Finding{ID: finding.GPUParts, Severity: finding.Warning, Subject: "MIG", Got: got, Want: "one MIG device for each process",
		Message: fmt.Sprintf("the container gets %s, and each process of it sees one: torch.cuda.device_count() is 1", got),
		Remedy:  "ask for one bigger MIG device, or start a process for each, with CUDA_VISIBLE_DEVICES=MIG-UUID (nvidia-smi -L lists them)"})
}

// toolkit judges the CUDA libraries of a container without torch, which brings its own. An image of NVIDIA's from before
// NVIDIA_REQUIRE_CUDA says its version alone, which stands for the requirement (nvidia-container-toolkit, "legacy images").
func (f *fit) toolkit() {
	switch {
	case f.wants.TorchCUDA != "":
	case f.wants.ToolkitVersion != "":
		f.runtime("the CUDA toolkit", cmp.Or(f.wants.ToolkitFile, "CUDA"), f.wants.ToolkitVersion)
	case lookup(f.wants.Env, "NVIDIA_REQUIRE_CUDA") == "" && !f.requirementsOff():
		f.runtime("the image", "CUDA_VERSION", lookup(f.wants.Env, "CUDA_VERSION"))
	}
}

func (f *fit) torch() {
	if f.wants.TorchCUDA != "" {
		f.runtime("torch "+f.wants.Torch, cmp.Or(f.wants.TorchFile, "torch"), f.wants.TorchCUDA)
	}
	if len(f.wants.Archs)+len(f.wants.PTX) > 0 {
		for _, g := range f.gpus {
			f.architecture(g)
		}
	}
}

// runtime compares the CUDA version that something was built with with the driver's (CUDA Compatibility).
func (f *fit) runtime(what, subject, built string) {
	built = builtFor(built, nil)
	have := f.driver.CUDA
	if built == "" || have == "" || compareVersions(built, have) <= 0 {
		return // an older one, of any major version, is always served
	}
	what = strings.TrimSpace(what)
	got := fmt.Sprintf("%s is built for CUDA %s (%s)", what, built, subject)
	want := fmt.Sprintf("CUDA %s at most: driver %s", have, f.driver.Version)
	if c, serves := f.compat(built); serves {
		f.find(finding.Finding{ID: finding.CUDACompat, Severity: finding.Info, Subject: subject, Got: got, Want: want,
			Message: fmt.Sprintf("the forward-compatibility package %s of %s takes the driver's place", c.Version, c.Directory), Remedy: "nothing has to be done"})
		return
	}
	if branch(built) == branch(have) && branch(have) >= 11 { // minor-version compatibility begins with CUDA 11
		f.minorVersion(what, subject, built, got, want)
		return
	}
	f.find(finding.Finding{ID: finding.CUDADriverOld, Severity: finding.Error, Subject: subject, Got: got, Want: want, Message: tooOld(what, have),
		Remedy: fmt.Sprintf("%s, or install a build for CUDA %d.x%s", update(built), branch(have), f.whyNoCompat())})
}

// tooOld is what the program would say.
func tooOld(what, have string) string {
	if strings.HasPrefix(what, "torch") {
		return fmt.Sprintf("The NVIDIA driver on your system is too old (found version %s).", strings.ReplaceAll(numbered(have), ".", ""))
	}
	return "CUDA driver version is insufficient for CUDA runtime version"
}

// numbered writes a CUDA version as cuDriverGetVersion does: 12.4 is 12040.
func numbered(v string) string {
	major, minor, _ := strings.Cut(v, ".")
	return major + "0" + minor + "0"
}

// minorVersion tells what minor-version compatibility leaves out: code for a later compiler than the driver has (PTX).
func (f *fit) minorVersion(what, subject, built, got, want string) {
	found := finding.Finding{ID: finding.CUDAMinor, Severity: finding.Warning, Subject: subject, Got: got, Want: want,
		Message: fmt.Sprintf("%s runs by minor-version compatibility: code that is compiled at run time (PTX, torch.compile) may end with \"the provided PTX was compiled with an unsupported toolchain\"", what),
		Remedy:  update(built)}
	if len(f.wants.Archs) > 0 && !slices.ContainsFunc(f.gpus, func(g fitted) bool { return g.facts.Capability == "" || !f.machineCode(g) }) {
		found.Severity = finding.Info // every kernel is there as machine code
	}
	f.find(found)
}

// packages are the forward-compatibility packages that count: the image's, and the machine's.
func (f *fit) packages() []*Compat {
	var all []*Compat
	if f.wants.Compat != nil {
		all = append(all, f.wants.Compat)
	}
	if f.driver.Compat != nil && !f.wants.NoCompat {
		all = append(all, f.driver.Compat)
	}
	return all
}

// compat returns the forward-compatibility package that serves, the image's first.
func (f *fit) compat(built string) (*Compat, bool) {
	for _, c := range f.packages() {
		serves, _ := c.serves(f.driver.Version)
		if serves && allDataCenter(f.facts()) && (c.CUDA == "" || compareVersions(c.CUDA, built) >= 0 || branch(c.CUDA) == branch(built)) {
			return c, true
		}
	}
	return nil, false
}

func (f *fit) facts() []GPU {
	all := make([]GPU, 0, len(f.gpus))
	for _, g := range f.gpus {
		all = append(all, g.facts)
	}
	return all
}

func (f *fit) whyNoCompat() string {
	for _, c := range f.packages() {
		if ok, why := c.serves(f.driver.Version); !ok {
			return " (the forward-compatibility package in " + c.Directory + " does not help: " + why + ")"
		}
		if !allDataCenter(f.facts()) {
			return " (forward compatibility: \"forward compatibility was attempted on non supported HW\", error 804: it works on data-center GPUs)"
		}
	}
	return "; on data-center GPUs the package cuda-compat helps too"
}

// update names the first driver branch that offers a CUDA version.
func update(cuda string) string {
	for _, row := range branchCUDA {
		if compareVersions(row.cuda, cuda) >= 0 {
			return fmt.Sprintf("update the driver to branch %d or newer", row.branch)
		}
	}
	return fmt.Sprintf("update the driver to a branch newer than %d", branchCUDA[len(branchCUDA)-1].branch)
}
