package nvidia

import (
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/devices"
)

const pciDevices = "/sys/bus/pci/devices"

// A pciDevice is one of NVIDIA's functions on the bus.
type pciDevice struct {
	Address string
	Class   string // "0x030200"
	Device  string // "0x2330"
	Module  string // of the driver that is bound: "nvidia", "nouveau", "vfio-pci"; "" for none
	NUMA    int    // node; -1 when the firmware does not say
	CPUs    string
	Path    []string // of sysfs: pci0000:00, 0000:00:01.0, ..., the device itself
}

// isGPU reports whether the function is a display controller (PCI class code 03h): VGA, or 3D without an output.
func (d pciDevice) isGPU() bool { return strings.HasPrefix(d.Class, "0x03") }

// describe is the line of lspci -nn for it, as far as sysfs says it.
func (d pciDevice) describe() string {
	class := "VGA compatible controller [0300]"
	if strings.HasPrefix(d.Class, "0x0302") {
		class = "3D controller [0302]"
	}
	return d.Address + " " + class + ": NVIDIA Corporation Device [10de:" + strings.TrimPrefix(d.Device, "0x") + "]"
}

// pci lists NVIDIA's GPUs on the bus, by address. Virtual functions of SR-IOV (a vGPU host's) are not listed: they are not the
// host's to use.
func (m machine) pci() []pciDevice {
	var all []pciDevice
	for _, address := range m.kernelNames(pciDevices) {
		dir := pciDevices + "/" + address
		if m.text(dir+"/vendor") != "0x10de" || m.hasKernel(dir+"/physfn") {
			continue
		}
		d := pciDevice{Address: address, Class: m.text(dir + "/class"), NUMA: -1}
		if !d.isGPU() {
			continue
		}
		d.Device, d.Module, d.CPUs, d.Path = m.text(dir+"/device"), m.linked(dir+"/driver"), m.text(dir+"/local_cpulist"), m.pciPath(address)
		if n, err := strconv.Atoi(m.text(dir + "/numa_node")); err == nil && n >= 0 {
			d.NUMA = n
		}
		all = append(all, d)
	}
	return all
}

// dri lists the nodes for graphics of a PCI device.
func (m machine) dri(address string) []string {
	var nodes []string
	for _, name := range m.kernelNames(pciDevices + "/" + address + "/drm") {
		if strings.HasPrefix(name, "card") || strings.HasPrefix(name, "renderD") {
			nodes = append(nodes, "/dev/dri/"+name)
		}
	}
	return nodes
}

// pciPath returns the bridges from the root complex to the device, and the device itself.
func (m machine) pciPath(address string) []string {
	target, err := os.Readlink(m.under(pciDevices + "/" + address))
	if i := strings.Index(target, "/pci"); err == nil && i >= 0 && path.Base(target) == address {
		return strings.Split(target[i+1:], "/")
	}
	return nil
}

// A place is where on the machine's interconnects a device is.
type place struct {
	name  string // of the devices.Device
	pci   string
	path  []string
	node  int
	links map[string]int // NVLinks by the remote's address; those to switches are at ""
}

// The kinds of ways between two GPUs, as `nvidia-smi topo -m` has them, and how close they bring them. NVLinks count 100 each.
var ways = map[string]int{"PIX": 60, "PXB": 50, "PHB": 30, "NODE": 20, "SYS": 10}

// way names the PCI way of two devices: PIX crosses one PCIe switch at most, PXB several, PHB a host bridge, NODE the bridges of
// one NUMA node, SYS the processors' interconnect (nvidia-smi topo --help).
func way(a, b place) string {
	common := 0
	for common < min(len(a.path), len(b.path)) && a.path[common] == b.path[common] {
		common++
	}
	switch {
	case common > 1 && len(a.path)-common <= 2 && len(b.path)-common <= 2:
		return "PIX" // the downstream port and the device itself are left on each side
	case common > 1:
		return "PXB"
	case common == 1:
		return "PHB"
	case a.node >= 0 && a.node == b.node:
		return "NODE"
	}
	return "SYS"
}

// join returns the link of two devices.
func join(a, b place) devices.Link {
	direct := min(a.links[b.pci], b.links[a.pci])
	if n := direct + min(a.links[""], b.links[""]); n > 0 {
		return devices.Link{A: a.name, B: b.name, Kind: "NV" + strconv.Itoa(n), Weight: 100 * n}
	}
	kind := way(a, b)
	return devices.Link{A: a.name, B: b.name, Kind: kind, Weight: ways[kind]}
}

// joined returns the links of all pairs.
func joined(places []place) []devices.Link {
	var all []devices.Link
	for i, a := range places {
		for _, b := range places[i+1:] {
			all = append(all, join(a, b))
		}
	}
	return slices.Clip(all)
}
