package nvidia

import (
	"slices"
	"strconv"
	"strings"
)

const capabilities = "/proc/driver/nvidia/capabilities"

// A partition is one MIG device as the kernel's driver lists it: a compute instance of a GPU instance.
type partition struct {
	GI, CI int
	Caps   []string // nodes that open it: the GPU instance's and the compute instance's
}

// partitions lists those of the GPU with a minor number: the driver counts its capabilities by it. Each needs two nodes; one
// whose number is not known has fewer, which the edits report.
func (m machine) partitions(minor int, minors map[string]int) []partition {
	gpu := "gpu" + strconv.Itoa(minor)
	dir := capabilities + "/" + gpu + "/mig"
	var all []partition
	for _, gi := range m.numbered(dir, "gi") {
		of := "gi" + strconv.Itoa(gi)
		for _, ci := range m.numbered(dir+"/"+of, "ci") {
			p := partition{GI: gi, CI: ci}
			for _, at := range []string{of, of + "/ci" + strconv.Itoa(ci)} {
				if n, ok := m.capMinor(dir+"/"+at+"/access", gpu+"/"+at+"/access", minors); ok {
					p.Caps = append(p.Caps, "/dev/nvidia-caps/nvidia-cap"+strconv.Itoa(n))
				}
			}
			all = append(all, p)
		}
	}
	return all
}

// capMinor prefers the file of the capability itself.
func (m machine) capMinor(file, key string, minors map[string]int) (int, bool) {
	if n, ok := parseCap(m.text(file)); ok {
		return n, true
	}
	n, ok := minors[key]
	return n, ok
}

// numbered lists the numbers behind a prefix among the names of a directory, ascending.
func (m machine) numbered(dir, prefix string) []int {
	var all []int
	for _, name := range m.kernelNames(dir) {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			if n, err := strconv.Atoi(rest); err == nil && n >= 0 {
				all = append(all, n)
			}
		}
	}
	slices.Sort(all)
	return all
}
