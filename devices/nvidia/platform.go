package nvidia

import (
	"strings"

	"hostrun.dev/hostrun/finding"
)

// platform recognises where NVIDIA's GPUs are reached in other ways than through the driver's nodes: Windows' kernel (WSL 2) and
// Tegra boards (Jetson). They are used through CDI files that NVIDIA's own tool writes.
// A card in a slot of whatever board is none of these. A Jetson has NVIDIA's driver for its display (/proc/driver/nvidia), through
// which CUDA does not compute.
func (m machine) platform() (f finding.Finding, other bool) {
	switch {
	case m.isCharacter("/dev/dxg"):
		f = elsewhere("/dev/dxg", "WSL 2: the GPU is Windows' own, reached through /dev/dxg and libraries in /usr/lib/wsl/lib")
	case m.tegra() != "":
		f = elsewhere(m.tegra(), "a Jetson: its GPU is part of the processor, and its libraries are listed in /etc/nvidia-container-runtime")
	default:
		return f, false
	}
	return f, len(m.pci()) == 0
}

// tegra names the file that says so, "" where none does.
func (m machine) tegra() string {
	if m.view.Exists("/etc/nv_tegra_release") {
		return "/etc/nv_tegra_release"
	}
	if strings.Contains(m.text("/sys/devices/soc0/family"), "Tegra") {
		return "/sys/devices/soc0/family"
	}
	for _, p := range []string{"/proc/device-tree/compatible", "/sys/firmware/devicetree/base/compatible"} {
		if strings.Contains(m.text(p), "nvidia,tegra") {
			return p
		}
	}
	return ""
}

func elsewhere(subject, what string) finding.Finding {
	return finding.Finding{ID: finding.GPUElsewhere, Severity: finding.Error, Subject: subject, Got: what,
		Want:    "a GPU behind NVIDIA's Linux driver (/proc/driver/nvidia)",
		Message: "this machine is " + what + "; hostrun describes it through a CDI file only",
		Remedy:  "nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml, and ask for gpus: all, or for a device as that file names it"}
}
