package ascend

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// Wants is what is known of a container to be, for Fit. What is not known is "" or nil, and judged by nothing.
type Wants struct {
	NPUs int // that the container gets
	// Optional says that the profile asks for NPUs and runs without them, too: with NPUs 0, what is for them is there for another machine.
	Optional bool
	All      int      // that the machine has
	Chips    []string // their chips: "910B", each once

	Torch       string   // version: "2.7.1+cpu"; "" where there is no torch
	TorchCUDA   string   // CUDA that torch was built with; "" for none (torch/version.py)
	CXX11ABI    string   // "0" or "1": _GLIBCXX_USE_CXX11_ABI of torch (TorchConfig.cmake)
	TorchNPU    string   // version: "2.7.1.post4"; "" where there is no torch_npu
	Autoload    bool     // torch_npu's entry point of group torch.backends is there
	Python      string   // minor version: "3.11"
	Absent      []string // of TBEModules, those that are not installed
	Image       string   // reference; "" without an image
	Env         []string // of the container, NAME=VALUE
	Driver      Driver
	Toolkit     *Toolkit // CANN that the container will have; nil for none
	ImageCANN   *Toolkit // CANN of the image itself
	HostMounts  []string // destinations of what is bound from the host
	Entrypoint  bool     // the profile replaces the image's ENTRYPOINT
	NetworkMode string   // "host", "none", "bridge"
	SharedBytes int64    // of /dev/shm; 0 where it is the host's, or not limited
	VLLMAscend  string   // version of vllm_ascend; "" where there is none
	File        string   // the profile's, for findings
	Line        int
}

// TBEModules are what CANN's Python code (tbe, te) imports at the first operator that is compiled, by distribution.
var TBEModules = []string{"numpy", "decorator", "attrs", "psutil", "scipy", "sympy", "cffi", "pyyaml", "pathlib2", "protobuf", "requests", "absl-py"}

// Fit says what does not fit between driver, CANN, torch_npu, torch, Python and chips. It is pure: the same Wants give the same
// findings. Pairs that the vendor's tables do not list are warnings, for the tables lag behind the releases. Of a container without
// NPUs only what torch_npu does there is told.
func Fit(w Wants) []finding.Finding {
	var all []finding.Finding
	for _, check := range []func(Wants) []finding.Finding{
		fitDriver, fitFirmware, fitTorchBase, fitTorchCANN, fitPython, fitChip, fitABI, fitTwoAccelerators, fitTBE, fitAutoload,
		fitToolkit, fitMixed, fitAllNodes, fitEntrypoint, fitNetwork, fitSharedMemory, fitVLLM,
		fitVisible, fitUnasked,
	} {
		for _, f := range check(w) {
			if f.File == "" {
				f.File, f.Line = w.File, w.Line
			}
			all = append(all, f)
		}
	}
	return all
}

func one(id string, severity finding.Severity, subject, got, want, message, remedy string) []finding.Finding {
	return []finding.Finding{{ID: id, Severity: severity, Subject: subject, Got: got, Want: want, Message: message, Remedy: remedy}}
}

// fitDriver holds the rule that two files tell: the driver lists trains of CANN, CANN lists trains of the driver, and one of the
// lists, or equality, suffices. Where CANN has no list (from 9.0 on) the vendor's table counts.
func fitDriver(w Wants) []finding.Finding {
	if w.Toolkit == nil || w.NPUs == 0 {
		return nil
	}
	t, d := *w.Toolkit, w.Driver
	theirs, ours := train(t.Inner), train(d.Inner)
	if theirs != "" && ours != "" && (theirs == ours || slices.Contains(d.Compatible, theirs) || slices.Contains(t.Compatible, ours)) {
		return nil
	}
	want := ""
	if theirs != "" && ours != "" && t.Listed {
		want = fmt.Sprintf("CANN of %s, or a driver of %s", strings.Join(d.trains(), ", "), strings.Join(t.Compatible, ", "))
	} else {
		drivers, known := driversOf(t.Version)
		if !known || d.Version == "" || slices.ContainsFunc(drivers, func(series string) bool { return inSeries(d.Version, series) }) {
			return nil
		}
		want = "a driver of " + strings.Join(drivers, ", ")
	}
	return one(finding.AscendDriverCANN, finding.Warning, "CANN", described("CANN "+t.Version, t.Inner, t.From)+"; "+described("driver "+d.Version, d.Inner, d.Directory+"/version.info"), want,
		fmt.Sprintf("CANN %s is not made for driver %s: a feature that the driver lacks ends in EE9999 or drvRet=65534 when it is used", t.Version, d.Version),
		"upgrade the driver on the host, or use an image with a CANN that the driver lists")
}

func described(what, inner, file string) string {
	details := strings.Trim(strings.Join([]string{inner, file}, ", "), ", ")
	if details == "" {
		return what
	}
	return what + " (" + details + ")"
}

// fitFirmware compares the installed firmware with the ranges that the driver names.
func fitFirmware(w Wants) []finding.Finding {
	d := w.Driver
	if w.NPUs == 0 || d.Firmware == "" || len(d.FirmwareRanges) == 0 {
		return nil
	}
	var ranges []string
	for _, r := range d.FirmwareRanges {
		if compareVersions(d.Firmware, r[0]) >= 0 && (compareVersions(d.Firmware, r[1]) <= 0 || strings.HasPrefix(d.Firmware, strings.TrimSuffix(r[1], ".")+".")) {
			return nil
		}
		ranges = append(ranges, r[0]+" to "+r[1])
	}
	return one(finding.AscendFirmware, finding.Warning, "firmware", "firmware "+d.Firmware, "firmware "+strings.Join(ranges, ", or "),
		fmt.Sprintf("driver %s is not made for firmware %s: dcmi module initialize failed. ret is -8005 is how it shows", d.Version, d.Firmware),
		"install the firmware of the driver's release, and reboot")
}

// fitTorchBase: torch_npu is built against one release of torch, and looks for that one's symbols.
func fitTorchBase(w Wants) []finding.Finding {
	if w.NPUs == 0 || w.Torch == "" || w.TorchNPU == "" || base(w.Torch) == base(w.TorchNPU) {
		return nil
	}
	return one(finding.AscendTorchBase, finding.Error, "torch_npu", "torch_npu "+w.TorchNPU+", torch "+w.Torch, "torch "+base(w.TorchNPU),
		"ImportError: libtorch_npu.so: undefined symbol: torch_npu "+w.TorchNPU+" is built for torch "+base(w.TorchNPU)+", and torch is "+w.Torch,
		"pip install torch=="+base(w.TorchNPU)+" torch_npu=="+w.TorchNPU)
}

func fitTorchCANN(w Wants) []finding.Finding {
	if w.NPUs == 0 || w.Toolkit == nil || w.Toolkit.Version == "" || w.TorchNPU == "" {
		return nil
	}
	listed, known := torchNPUOf(w.Toolkit.Version)
	if known && slices.Contains(listed, w.TorchNPU) {
		return nil
	}
	want := "torch_npu " + strings.Join(listed, ", ") + " with CANN " + w.Toolkit.Version
	if !known {
		want = "a release of CANN that the table has: " + strings.Join(listedCANN(), ", ")
	}
	if others := cannOf(w.TorchNPU); len(others) > 0 {
		want += "; CANN " + strings.Join(others, ", ") + " with torch_npu " + w.TorchNPU
	}
	return one(finding.AscendTorchCANN, finding.Warning, "torch_npu", "torch_npu "+w.TorchNPU+", CANN "+w.Toolkit.Version, want,
		fmt.Sprintf("torch_npu %s and CANN %s are no pair of the vendor's table: a missing operator shows as undefined symbol or EZ9999", w.TorchNPU, w.Toolkit.Version),
		"nothing, if the pair is known to work; else take one of the table")
}

func fitPython(w Wants) []finding.Finding {
	if w.NPUs == 0 || w.TorchNPU == "" || w.Python == "" {
		return nil
	}
	first, last, known := pythonsOf(base(w.TorchNPU))
	if !known || compareVersions(w.Python, first) >= 0 && compareVersions(w.Python, last) <= 0 {
		return nil
	}
	return one(finding.AscendTorchPython, finding.Warning, "torch_npu", "Python "+w.Python, "Python "+first+" to "+last,
		fmt.Sprintf("torch_npu %s is released for Python %s to %s: for %s there is no module torch_npu._C", w.TorchNPU, first, last, w.Python),
		"use an interpreter of these versions on both sides")
}

// fitChip: CANN's image holds kernels that are built for one generation of chips.
func fitChip(w Wants) []finding.Finding {
	built, from := builtFor(w)
	if len(built) == 0 || w.NPUs == 0 {
		return nil
	}
	for _, chip := range w.Chips {
		f := familyOfChip(chip)
		if f == unknownChip || slices.Contains(built, f.tag) {
			continue
		}
		return one(finding.AscendChip, finding.Error, "CANN", "kernels for "+strings.Join(built, ", ")+" ("+from+")", "kernels for "+f.tag+", the chip is "+f.title,
			"EZ3002 Op type is not supported on this chip: CANN is built for "+strings.Join(built, ", ")+", and the NPU is "+f.title,
			"use the image of the same release for this chip: its tag has -"+f.tag+"-")
	}
	return nil
}

// builtFor are the chips that the container's CANN has kernels for, by its files, or by the image's name.
func builtFor(w Wants) (tags []string, from string) {
	if w.Toolkit != nil && len(w.Toolkit.Chips) > 0 {
		return w.Toolkit.Chips, w.Toolkit.Directory + "/opp/built-in/op_impl/ai_core/tbe/kernel"
	}
	if f := familyOfTag(w.Image); f != nil && w.ImageCANN != nil {
		return []string{f.tag}, w.Image
	}
	return nil, ""
}

// fitABI compares the C++ library's ABI of torch with that of ATB, which CANN's nnal installs in both kinds.
func fitABI(w Wants) []finding.Finding {
	home, ok := valueOf(w.Env, "ATB_HOME_PATH")
	kind, known := strings.CutPrefix(path.Base(path.Clean("/"+home)), "cxx_abi_")
	if w.NPUs == 0 || !ok || !known || w.CXX11ABI == "" || kind == w.CXX11ABI || w.TorchNPU == "" {
		return nil
	}
	return one(finding.AscendCXX11ABI, finding.Error, "ATB_HOME_PATH", home, path.Dir(home)+"/cxx_abi_"+w.CXX11ABI,
		"libatb.so: undefined symbol: torch is built with _GLIBCXX_USE_CXX11_ABI="+w.CXX11ABI+", and ATB_HOME_PATH names the libraries for "+kind,
		"set ATB_HOME_PATH to "+path.Dir(home)+"/cxx_abi_"+w.CXX11ABI+" (source set_env.sh --cxx_abi="+w.CXX11ABI+")")
}

func fitTwoAccelerators(w Wants) []finding.Finding {
	if w.NPUs == 0 || w.TorchNPU == "" || w.TorchCUDA == "" {
		return nil
	}
	severity := finding.Error
	if compareVersions(base(w.Torch), "2.8") < 0 { // counts the devices that are there, and finds no GPU
		severity = finding.Warning
	}
	return one(finding.AscendTwoAccelerators, severity, "torch", "torch "+w.Torch+", built with CUDA "+w.TorchCUDA, "torch "+base(w.TorchNPU)+" without CUDA",
		"RuntimeError: Two accelerators cannot be used at the same time in PyTorch: npu and gpu",
		"install the CPU build of torch beside torch_npu (torch=="+base(w.TorchNPU)+"+cpu, from PyTorch's own index)")
}

func fitTBE(w Wants) []finding.Finding {
	if w.NPUs == 0 || w.TorchNPU == "" || len(w.Absent) == 0 {
		return nil
	}
	return one(finding.AscendTBE, finding.Warning, "CANN", "not installed: "+strings.Join(w.Absent, ", "), "distributions "+strings.Join(TBEModules, ", "),
		"EH9999: [Init][Env]init env failed: ModuleNotFoundError: CANN's compiler of operators imports "+strings.Join(w.Absent, ", "),
		"pip install "+strings.Join(w.Absent, " "))
}

// fitVisible refuses a choice among no NPUs; of a container that has some Edits has judged it.
func fitVisible(w Wants) []finding.Finding {
	value, ok := valueOf(w.Env, visibleVariable)
	if !ok || w.NPUs > 0 || w.Optional {
		return nil
	}
	return CheckVisible(value, nil)
}

// fitAutoload: from torch 2.5 on, import torch imports torch_npu by itself, which needs CANN's and the driver's libraries.
func fitAutoload(w Wants) []finding.Finding {
	off, _ := valueOf(w.Env, "TORCH_DEVICE_BACKEND_AUTOLOAD")
	if w.NPUs > 0 || !w.Autoload || w.TorchNPU == "" || off == "0" || compareVersions(base(w.Torch), "2.5") < 0 {
		return nil
	}
	return one(finding.AscendAutoload, finding.Warning, "torch_npu", "torch "+w.Torch+", torch_npu "+w.TorchNPU+", no NPU", "TORCH_DEVICE_BACKEND_AUTOLOAD=0",
		"RuntimeError: Failed to load the backend extension: torch_npu. You can disable extension auto-loading with TORCH_DEVICE_BACKEND_AUTOLOAD=0.",
		"environment: {TORCH_DEVICE_BACKEND_AUTOLOAD: 0}, or ask for an NPU with npus:")
}
