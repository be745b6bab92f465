package nvidia

import (
	"fmt"
	"slices"
	"strings"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// known are the words of NVIDIA_DRIVER_CAPABILITIES (NVIDIA Container Toolkit, "Specialized Configurations"). compat32 stands for
// 32-bit libraries, which no CUDA program of today loads; display for the X server's, which graphics brings.
var known = []string{compute, utility, video, graphics, ngx, "display", "compat32", "all"}

// wanted returns the capabilities that a container gets: those of the profile, else of the image, else NVIDIA's default.
func wanted(a devices.Ask, env []string) ([]string, []finding.Finding) {
	words := slices.DeleteFunc(slices.Clone(a.Capabilities), func(s string) bool { return s == "gpu" || s == "nvidia" }) // compose's generic ones
	if len(words) == 0 {
		words = strings.FieldsFunc(lookup(env, "NVIDIA_DRIVER_CAPABILITIES"), func(r rune) bool { return r == ',' || r == ' ' })
	}
	if len(words) == 0 {
		words = []string{compute, utility}
	}
	var said []finding.Finding
	for _, w := range words {
		switch {
		case !slices.Contains(known, w):
			said = append(said, at(a, unknownCapability(w)))
		case w == "compat32":
			said = append(said, at(a, finding.Finding{ID: finding.GPUOption, Severity: finding.Info, Subject: "compat32", Got: "32-bit libraries are asked for",
				Message: "the driver's 32-bit libraries are not given to containers", Remedy: "mount them under volumes: if a program needs them"}))
		}
	}
	if slices.Contains(words, "display") {
		words = append(words, graphics)
	}
	if slices.Contains(words, "all") {
		words = append(words, compute, utility, video, graphics, ngx)
	}
	return words, said
}

func unknownCapability(w string) finding.Finding {
	return finding.Finding{ID: finding.GPUOption, Severity: finding.Error, Subject: w, Got: fmt.Sprintf("the capability %q", w),
		Want:    strings.Join(known, ", "),
		Message: fmt.Sprintf("%q is no capability of NVIDIA's driver", w) + nearest(w, known),
		Remedy:  "correct capabilities:, or NVIDIA_DRIVER_CAPABILITIES of the image"}
}

// options are the words of Ask.Options, and what each brings.
var options = map[string]string{
	"gds":     "GPUDirect Storage: /dev/nvidia-fs*, /etc/cufile.json, /run/udev",
	"rdma":    "GPUDirect RDMA: /dev/infiniband/uverbs* and rdma_cm",
	"gdrcopy": "GDRCopy: /dev/gdrdrv",
	"imex":    "channels of multi-node NVLink: numbers, or true for channel 0",
	"mps":     "the pipe directory of CUDA's multi-process service: /tmp/nvidia-mps",
	"compat":  "off keeps the machine's forward-compatibility package out",
	"cuda":    "the CUDA version that the container's programs were built with",
}

// option returns the value of an option, "" where it is absent or off.
func option(a devices.Ask, name string) string {
	switch v := strings.TrimSpace(a.Options[name]); v {
	case "false", "off", "no", "0":
		if name == "imex" && v == "0" {
			return v
		}
		return ""
	default:
		return v
	}
}

func unknownOptions(a devices.Ask) []finding.Finding {
	var said []finding.Finding
	names := sortedKeys(options)
	for _, name := range sortedKeys(a.Options) {
		if _, ok := options[name]; !ok {
			said = append(said, at(a, finding.Finding{ID: finding.GPUOption, Severity: finding.Error, Subject: name, Got: fmt.Sprintf("the option %q", name),
				Want: strings.Join(names, ", "), Message: fmt.Sprintf("%q is no option of NVIDIA's GPUs", name) + nearest(name, names),
				Remedy: "correct or remove it"}))
		}
	}
	return said
}

func sortedKeys(m map[string]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// nearest asks back where a word was probably meant to be another one.
func nearest(word string, all []string) string {
	if best := finding.Nearest(word, all, 1); len(best) > 0 {
		return fmt.Sprintf("; did you mean %q?", best[0])
	}
	return ""
}
