package nvidia

import (
	"fmt"
	"strings"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// noDriver says which GPUs the machine has and why nothing can use them.
func noDriver(bus []pciDevice) finding.Finding {
	lines := make([]string, 0, len(bus))
	remedy := "install NVIDIA's driver (nvidia-open or nvidia-driver of the distribution, cuda-drivers of NVIDIA's repository), then: modprobe nvidia"
	for _, d := range bus {
		line := d.describe()
		if d.Module != "" {
			line += ", bound to " + d.Module
		}
		switch d.Module {
		case "nouveau", "nova_core":
			remedy = "the kernel's own driver has the GPU, and CUDA needs NVIDIA's: install it (it blocks " + d.Module + "), and reboot"
		case "vfio-pci":
			remedy = "the GPU is set aside for a virtual machine: unbind it from vfio-pci, and load the driver: modprobe nvidia"
		}
		lines = append(lines, line)
	}
	return finding.Finding{ID: finding.GPUNoDriver, Severity: finding.Error, Subject: "/proc/driver/nvidia/version",
		Got: "lspci -nn shows " + strings.Join(lines, "; "), Want: "NVIDIA's kernel driver, loaded",
		Message: fmt.Sprintf("this machine has %s of NVIDIA, and NVIDIA's driver is not loaded", count(len(bus), "GPU")), Remedy: remedy}
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "ch") {
		noun += "e"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// unhealthy tells of a GPU that is not given to anybody; the others are not concerned.
func unhealthy(d devices.Device) finding.Finding {
	subject := "GPU " + d.Name
	if d.Index >= 0 {
		subject = fmt.Sprintf("GPU %d (%s)", d.Index, d.Name)
	}
	return finding.Finding{ID: finding.GPUUnhealthy, Severity: finding.Warning, Subject: subject, Got: strings.Join(d.Health.Reasons, "; "),
		Message: subject + " can't be used: " + strings.Join(d.Health.Reasons, "; "),
		Remedy:  "nvidia-smi -q shows its state; a reset (nvidia-smi --gpu-reset -i " + d.PCI + ") or a reboot may bring it back"}
}

// findings are about the driver itself, whoever uses it. What stops who asks for a GPU is a warning here: Edits and Fit refuse.
func (d Driver) findings() []finding.Finding {
	var all []finding.Finding
	if mismatch(d) {
		all = append(all, d.mismatched(finding.Warning))
	}
	if d.UVM.Fault != "" {
		all = append(all, d.UVM.missing(finding.Warning))
	}
	return append(all, d.asked()...)
}

// mismatched tells that the kernel's module and the libraries are of two releases.
func (d Driver) mismatched(severity finding.Severity) finding.Finding {
	return finding.Finding{ID: finding.GPUMismatch, Severity: severity, Subject: d.Libcuda,
		Got:     "libcuda " + d.User + " (" + d.Libcuda + ")",
		Want:    "libcuda " + d.Version + ", as the kernel's module (/proc/driver/nvidia/version)",
		Message: "Failed to initialize NVML: Driver/library version mismatch: the kernel runs driver " + d.Version + " and the libraries are of " + d.User,
		Remedy:  "the driver was updated and its old module still runs: reboot, or stop all GPU programs and: rmmod nvidia_uvm nvidia_drm nvidia_modeset nvidia && modprobe nvidia"}
}

// missing tells what CUDA does without unified memory.
func (u UVM) missing(severity finding.Severity) finding.Finding {
	return finding.Finding{ID: finding.GPUUVM, Severity: severity, Subject: "/dev/nvidia-uvm", Got: u.Fault, Want: "the node of the loaded module nvidia-uvm",
		Message: "CUDA can't be initialised (\"CUDA unknown error\", error 999) without /dev/nvidia-uvm: " + u.Fault,
		Remedy:  "as root: nvidia-modprobe -u -c=0 (or: modprobe nvidia-uvm, and the node by udev); once for each boot"}
}

// unasked says why what NVML alone knows is not known, "" where it has answered.
func (d Driver) unasked() string {
	switch d.NVML {
	case "ok":
		return ""
	case "":
		return "NVML was not asked (hostrun-nvml is not beside hostrun)"
	}
	return "NVML can't be asked (" + d.NVML + ")"
}

// asked tells what NVML was asked, and whether it has answered.
func (d Driver) asked() []finding.Finding {
	switch d.NVML {
	case "ok":
		return nil
	case "":
		return []finding.Finding{{ID: finding.GPUUnasked, Severity: finding.Info, Subject: "hostrun-nvml", Got: "NVML was not asked",
			Message: "of the GPUs only what the kernel's files say is known: no memory, compute capability, NVLinks or health",
			Remedy:  "install hostrun-nvml beside hostrun (make build makes it where gcc is)"}}
	}
	f := finding.Finding{ID: finding.GPUUnasked, Severity: finding.Warning, Subject: "libnvidia-ml.so.1", Got: d.NVML,
		Message: "Failed to initialize NVML: " + d.NVML, Remedy: "nvidia-smi has to work on the host"}
	if mismatch(d) {
		f.Severity = finding.Info // Fit tells the cause
	}
	return []finding.Finding{f}
}

// mismatch reports whether libcuda belongs to another release than the kernel's module.
func mismatch(d Driver) bool { return d.Version != "" && d.User != "" && d.Version != d.User }

func staleNode(n devices.Node, major int) string {
	return fmt.Sprintf("it has the numbers %d:%d, and the driver's major is %d", n.Major, n.Minor, major)
}

// at puts a finding on the profile's line.
func at(a devices.Ask, f finding.Finding) finding.Finding {
	f.File, f.Line = a.File, a.Line
	return f
}
