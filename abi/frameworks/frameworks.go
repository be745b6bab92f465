// Package frameworks reads from files alone what decides whether an ML framework can use an accelerator: torch's CUDA
// version and GPU architectures, torch_npu's torch, the libraries of CUDA and CANN that native files ask for, and those
// that are there. It reads site directories of a view, of the host or of an image alike. Nothing is imported or
// executed; what files do not tell stays empty.
package frameworks

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Facts is what site directories tell of frameworks. Fit checks of GPUs and NPUs work on it (plan.Frameworks gives
// those that the container's Python would import). The zero value says that there are none.
type Facts struct {
	Torch    *Torch    `json:"torch,omitempty"`
	TorchNPU *TorchNPU `json:"torch_npu,omitempty"`
	Others   []Other   `json:"others,omitempty"`    // sorted by name
	Provided []Library `json:"provided,omitempty"`  // CUDA libraries that wheels of NVIDIA's bring, sorted by soname, path
	Conflict []Pin     `json:"conflicts,omitempty"` // requirements between frameworks that what is installed contradicts
}

// Torch is PyTorch: torch/version.py and torch/lib.
type Torch struct {
	Version string `json:"version"`         // __version__: "2.6.0+cu124"
	Dir     string `json:"dir"`             // the package's directory: .../site-packages/torch
	CUDA    string `json:"cuda,omitempty"`  // "12.4"; "" for a build without CUDA
	HIP     string `json:"hip,omitempty"`   // version of HIP, of a build for ROCm
	ROCm    string `json:"rocm,omitempty"`  // version of ROCm, where version.py tells (torch 2.9)
	XPU     string `json:"xpu,omitempty"`   // version of oneAPI's compiler, of a build for Intel's GPUs
	Debug   bool   `json:"debug,omitempty"` // a debug build
	// CXX11ABI is libstdc++'s _GLIBCXX_USE_CXX11_ABI of the build: "1", "0", or "" where libc10 does not tell.
	CXX11ABI string `json:"cxx11_abi,omitempty"`
	// SASS are the architectures with machine code, "sm_50" ... "sm_90a"; PTX those with code that the driver compiles,
	// "compute_90". Both as the build says them (CUDA_ARCH_FLAGS, which torch.cuda.get_arch_list shows), or, without
	// that, of the code objects themselves.
	SASS      []string `json:"sass,omitempty"`
	PTX       []string `json:"ptx,omitempty"`
	ArchsFrom string   `json:"archs_from,omitempty"` // the file that tells of them
	Needs     []Need   `json:"needs,omitempty"`      // libraries of CUDA, ROCm or oneAPI; sorted by soname
}

// TorchNPU is Ascend's plugin of PyTorch.
type TorchNPU struct {
	Version   string `json:"version"`              // "2.5.1.post1"
	Dir       string `json:"dir"`                  // the package's directory
	TorchBase string `json:"torch_base"`           // version of torch that it is made for, without suffixes: "2.5.1"
	TorchSays string `json:"torch_says,omitempty"` // the requirement of torch in its metadata: "torch==2.5.1"; "" where there is none
	Autoload  string `json:"autoload,omitempty"`   // value of its entry point in torch.backends, which import torch loads (torch 2.5)
	Needs     []Need `json:"needs,omitempty"`      // libraries of CANN; sorted by soname
}

// An Other is a framework of which only some facts matter.
type Other struct {
	Name     string            `json:"name"` // normalised, of the distribution: "onnxruntime-gpu"
	Version  string            `json:"version"`
	Dir      string            `json:"dir,omitempty"`      // of the package
	CUDA     string            `json:"cuda,omitempty"`     // CUDA version that it was built with: "12.8", or the major alone
	CUDNN    string            `json:"cudnn,omitempty"`    // cuDNN version that it was built with
	SASS     []string          `json:"sass,omitempty"`     // as Torch.SASS
	PTX      []string          `json:"ptx,omitempty"`      // as Torch.PTX
	Torch    string            `json:"torch,omitempty"`    // torch that it was compiled for, where its files tell
	Backends []string          `json:"backends,omitempty"` // what it can run on: onnxruntime's providers "CUDA", "TensorRT"; jax's plugins "cuda12"
	Needs    []Need            `json:"needs,omitempty"`    // libraries of accelerators; sorted by soname
	Details  map[string]string `json:"details,omitempty"`  // the rest that its files tell by literals
}

// A Need is a library of an accelerator's toolkit that native files of a framework ask for (DT_NEEDED) and that the
// framework does not bring in its own directory.
type Need struct {
	Soname string   `json:"soname"`          // "libcudart.so.12"
	Name   string   `json:"name"`            // "cudart"
	Major  string   `json:"major,omitempty"` // of the soname: "12"
	By     []string `json:"by"`              // names of the files that ask for it, sorted, at most 4
	Found  string   `json:"found,omitempty"` // the file of a wheel or toolkit that would serve, "" where none was seen
	From   string   `json:"from,omitempty"`  // "wheel", "toolkit" or "system"
}

// A Library is a file of CUDA's in a wheel.
type Library struct {
	Soname  string `json:"soname"` // "libnvJitLink.so.12"
	Path    string `json:"path"`
	Wheel   string `json:"wheel,omitempty"`   // distribution: "nvidia-nvjitlink-cu12"
	Version string `json:"version,omitempty"` // of that distribution: "12.4.127"
}

// A Pin is a requirement that does not hold.
type Pin struct {
	By       string `json:"by"`       // distribution and version that ask: "torchvision 0.21.0"
	Requires string `json:"requires"` // as its metadata says: "torch==2.6.0"
	Got      string `json:"got"`      // installed: "2.5.1", or "" for none
}

// Empty reports whether no framework was found.
func (f Facts) Empty() bool { return f.Torch == nil && f.TorchNPU == nil && len(f.Others) == 0 }

// Over joins the facts of two sides of which f comes first on sys.path: it hides the other's frameworks of the same
// name. What they contradict is told for each side by itself, and between torch and torch_npu for both.
func (f Facts) Over(other Facts) Facts {
	joined := Facts{Torch: cmp.Or(f.Torch, other.Torch), TorchNPU: cmp.Or(f.TorchNPU, other.TorchNPU), Others: slices.Clone(f.Others)}
	for _, o := range other.Others {
		if !slices.ContainsFunc(f.Others, func(have Other) bool { return importName(have) == importName(o) }) {
			joined.Others = append(joined.Others, o)
		}
	}
	slices.SortFunc(joined.Others, func(a, b Other) int { return strings.Compare(a.Name, b.Name) })
	joined.Provided = append(slices.Clone(f.Provided), other.Provided...)
	joined.Conflict = append(slices.Clone(f.Conflict), other.Conflict...)
	return joined
}

// Base is a version without what follows its release segment: "2.5.1" of "2.5.1.post1+cpu" (PEP 440).
func Base(version string) string {
	end := strings.IndexFunc(version, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end >= 0 {
		version = version[:end]
	}
	return strings.TrimRight(version, ".")
}

// Accelerator is what the build is for: "cuda", "rocm", "xpu", or "" for processors alone. torch_npu needs a build for
// processors alone (torch_npu/__init__.py: two accelerators can't be used at the same time).
func (t *Torch) Accelerator() string {
	switch {
	case t.CUDA != "":
		return "cuda"
	case t.HIP != "" || t.ROCm != "":
		return "rocm"
	case t.XPU != "":
		return "xpu"
	}
	return ""
}

// CUDAMajor is the major version of CUDA that torch is built with, 0 without CUDA. A driver must know it.
func (t *Torch) CUDAMajor() int {
	major, _, _ := strings.Cut(t.CUDA, ".")
	n, _ := strconv.Atoi(major)
	return n
}

// CUDAMajors are the major versions of the CUDA runtime that needs ask for, ascending: [12]. More than one is a mix.
func CUDAMajors(needs []Need) []int {
	var majors []int
	for _, n := range needs {
		if major, err := strconv.Atoi(n.Major); err == nil && followsCUDA[n.Name] && !slices.Contains(majors, major) {
			majors = append(majors, major)
		}
	}
	slices.Sort(majors)
	return majors
}

// followsCUDA are the libraries whose soname ends in CUDA's own major version; cuDNN, NCCL, cuFFT and others count by
// themselves (release notes of the CUDA toolkit, "CUDA Toolkit Component Versions").
var followsCUDA = map[string]bool{"cudart": true, "cublas": true, "cublasLt": true, "nvJitLink": true, "cupti": true, "nvrtc": true}

// Coverage says with which code a GPU would run.
type Coverage int

// From the worst to the best.
const (
	NoCode      Coverage = iota // "no kernel image is available for execution on the device"
	UnknownCode                 // files do not tell
	PTXCode                     // the driver compiles it at the first use, if it knows the toolkit's version
	MachineCode                 // made for it
)

// Covers says whether code for these architectures runs on a GPU of a compute capability. Machine code runs on the same
// major and the same or a higher minor version; PTX on the same or any higher capability; a suffix a binds to exactly
// that capability, f to its family, taken as its major version (CUDA C++ Programming Guide, "Compute Capabilities",
// "Family-Specific Architecture Features").
func Covers(sass, ptx []string, major, minor int) Coverage {
	if len(sass)+len(ptx) == 0 {
		return UnknownCode
	}
	for _, arch := range sass {
		a, ok := parseArch(arch, "sm_")
		if ok && a.major == major && (a.minor == minor || a.minor < minor && !a.exact) {
			return MachineCode
		}
	}
	for _, arch := range ptx {
		a, ok := parseArch(arch, "compute_")
		older := ok && (a.major < major && !a.family || a.major == major && a.minor <= minor)
		if older && (!a.exact || a.major == major && a.minor == minor) {
			return PTXCode
		}
	}
	return NoCode
}

// Covers is that of the function for torch's own code.
func (t *Torch) Covers(major, minor int) Coverage { return Covers(t.SASS, t.PTX, major, minor) }

// An arch is sm_90a taken apart.
type arch struct {
	major, minor  int
	exact, family bool
}

// parseArch reads "sm_50", "sm_90a", "compute_120f": the last digit is the minor version.
func parseArch(text, prefix string) (arch, bool) {
	digits, ok := strings.CutPrefix(text, prefix)
	exact, family := strings.HasSuffix(digits, "a"), strings.HasSuffix(digits, "f")
	n, err := strconv.Atoi(strings.TrimRight(digits, "af"))
	if !ok || err != nil || n < 10 || n > 9999 {
		return arch{}, false
	}
	return arch{n / 10, n % 10, exact, family}, true
}
