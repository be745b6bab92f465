package nvidia

import (
	"fmt"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// An arch is one target of nvcc: sm_90, sm_90a, compute_120f.
type arch struct {
	major, minor int
	suffix       byte // 'a': this very architecture; 'f': its family; 0: this one and later minor versions
}

// parseArch reads a target; the last digit is the minor version (CUDA Compiler Driver NVCC, "GPU Feature List").
func parseArch(s string) (arch, bool) {
	_, digits, ok := strings.Cut(s, "_")
	if !ok {
		return arch{}, false
	}
	var a arch
	if n := len(digits); n > 0 && (digits[n-1] == 'a' || digits[n-1] == 'f') {
		a.suffix, digits = digits[n-1], digits[:n-1]
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 10 || n > 9999 {
		return arch{}, false
	}
	a.major, a.minor = n/10, n%10
	return a, true
}

// runs reports whether machine code for a runs on a GPU of a compute capability (CUDA C++ Programming Guide, "Binary
// Compatibility": same major version, minor version not older).
func (a arch) runs(major, minor int) bool {
	if a.suffix == 'a' {
		return a.major == major && a.minor == minor
	}
	return a.major == major && a.minor <= minor
}

// compiles reports whether the driver can compile PTX for a for that GPU: any later one, but for what is architecture-specific.
func (a arch) compiles(major, minor int) bool {
	if a.suffix != 0 {
		return a.runs(major, minor)
	}
	return a.major < major || a.major == major && a.minor <= minor
}

// capabilityOf splits a compute capability, "9.0".
func capabilityOf(s string) (major, minor int, ok bool) {
	a, b, found := strings.Cut(s, ".")
	major, err1 := strconv.Atoi(a)
	minor, err2 := strconv.Atoi(b)
	return major, minor, found && err1 == nil && err2 == nil
}

func (f *fit) machineCode(g fitted) bool {
	major, minor, ok := capabilityOf(g.facts.Capability)
	if !ok {
		return false
	}
	for _, s := range f.wants.Archs {
		if a, ok := parseArch(s); ok && a.runs(major, minor) {
			return true
		}
	}
	return false
}

func (f *fit) ptx(g fitted) bool {
	major, minor, ok := capabilityOf(g.facts.Capability)
	if !ok {
		return false
	}
	for _, s := range f.wants.PTX {
		if a, ok := parseArch(s); ok && a.compiles(major, minor) {
			return true
		}
	}
	return false
}

// architecture compares torch's targets with one GPU.
func (f *fit) architecture(g fitted) {
	if _, _, ok := capabilityOf(g.facts.Capability); !ok || f.machineCode(g) {
		return
	}
	sm := "sm_" + strings.ReplaceAll(g.facts.Capability, ".", "")
	list := strings.Join(append(append([]string{}, f.wants.Archs...), f.wants.PTX...), " ")
	found := finding.Finding{ID: finding.CUDANoKernel, Severity: finding.Error, Subject: g.label(), Got: "compute capability " + g.facts.Capability + " (" + sm + ")",
		Want:    list + " (" + cmpFile(f.wants) + ")",
		Message: fmt.Sprintf("%s with CUDA capability %s is not compatible with this torch: \"CUDA error: no kernel image is available for execution on the device\"", g.label(), sm),
		Remedy:  "install a build of torch for " + sm + ", or ask for a GPU that it supports"}
	if f.ptx(g) {
		newer := f.wants.TorchCUDA != "" && f.driver.CUDA != "" && compareVersions(builtFor(f.wants.TorchCUDA, nil), f.driver.CUDA) > 0
		if _, serves := f.compat(builtFor(f.wants.TorchCUDA, nil)); newer && !serves {
			found.Message = "torch has only PTX for " + g.label() + ", and the driver's compiler is older: \"the provided PTX was compiled with an unsupported toolchain\""
			found.Remedy = "update the driver, or install a build of torch for " + sm
		} else {
			found.Severity = finding.Warning
			found.Message = "torch has no machine code for " + g.label() + ": the driver compiles each kernel at its first use, which takes minutes"
			found.Remedy = "install a build of torch for " + sm + ", or keep CUDA_CACHE_PATH on a volume"
		}
	}
	f.find(found)
}

func cmpFile(w Wants) string {
	text := strings.TrimSpace("torch " + w.Torch)
	if w.TorchFile != "" {
		text += ", " + w.TorchFile
	}
	return text
}
