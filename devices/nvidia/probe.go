package nvidia

import (
	"slices"
	"strings"

	"hostrun.dev/hostrun/devices"
)

// probe says what is tried before the container's program runs. The control node, unified memory and the capabilities of partitions open
// at no cost. A GPU that nobody has open is initialised by its first open, which takes seconds, and shut down after its last: its node is
// opened only where the driver keeps it ready (persistence). That libcuda loads is a matter of the container's files.
func (e *editor) probe() {
	p := &e.edits.Probe
	for _, n := range e.edits.DeviceNodes {
		switch name := strings.TrimPrefix(n.Path, "/dev/"); {
		case name == "nvidiactl", name == "nvidia-uvm", strings.HasPrefix(name, "nvidia-caps/"):
			p.Open = append(p.Open, n.Path)
		case e.ready(n.Path):
			p.Open = append(p.Open, n.Path)
		}
	}
	slices.Sort(p.Open)
	if e.image.libc != "glibc" || e.image.loader == "" { // what brings all of it itself has no loader that could be asked
		return
	}
	p.Loader = e.image.loader
	if e.has(compute, video, graphics) {
		p.Load = append(p.Load, "libcuda.so.1")
	}
	if e.has(utility) && slices.ContainsFunc(e.driver.Libraries, func(l Library) bool { return l.Soname == "libnvidia-ml.so.1" }) {
		p.Load = append(p.Load, "libnvidia-ml.so.1")
	}
}

// ready reports whether the node is that of a GPU which the driver keeps initialised.
func (e *editor) ready(node string) bool {
	return slices.ContainsFunc(e.inv.Devices, func(d devices.Device) bool {
		g := gpuFacts(d)
		return d.Parent == "" && len(d.Nodes) > 0 && d.Nodes[0] == node && (e.driver.Persistenced || g.Persistence != nil && *g.Persistence)
	})
}
