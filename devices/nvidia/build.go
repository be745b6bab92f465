package nvidia

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/devices/nvidia/nvml"
	"hostrun.dev/hostrun/finding"
)

// A builder puts together what the bus, the kernel's driver and NVML say of each GPU.
type builder struct {
	m        machine
	driver   Driver
	record   record
	now      bool // the record is of this moment
	minors   map[string]int
	devices  []devices.Device
	places   []place
	findings []finding.Finding
}

// build lists the driver's GPUs, and then those of the bus that it does not have.
func (b *builder) build(gpus []procGPU) {
	index := 0
	for _, g := range gpus {
		at := index
		if g.Excluded { // by NVreg_ExcludedGpus: nvidia-smi does not count it
			at = -1
		} else {
			index++
		}
		b.add(g, at)
	}
	for _, p := range b.record.Bus {
		if !slices.ContainsFunc(gpus, func(g procGPU) bool { return g.Address == p.Address }) {
			d := onBus(p)
			b.devices = append(b.devices, d)
			f := unhealthy(d)
			if p.Module != "" && p.Module != "nvidia" {
				f.Severity, f.Remedy = finding.Info, "nothing, if it is set aside on purpose" // for a virtual machine, or a display
			}
			b.findings = append(b.findings, f)
		}
	}
}

func (b *builder) add(g procGPU, index int) {
	said := b.said(g.Address)
	d := devices.Device{Kind: Kind, Name: g.Address, Index: index, Model: cmp.Or(said.Name, g.Model), PCI: g.Address, Memory: int64(said.Memory)}
	if said.Index != nil {
		d.Index = *said.Index
	}
	facts := b.facts(g, said)
	bus := b.busOf(g.Address)
	d.NUMA, d.CPUs = bus.NUMA, bus.CPUs
	d.Aliases = aliases(facts.UUID, strconv.Itoa(d.Index))
	if facts.Minor >= 0 {
		d.Nodes = []string{"/dev/nvidia" + strconv.Itoa(facts.Minor)}
	}
	var partitions []partition
	if facts.Minor >= 0 {
		partitions = b.m.partitions(facts.Minor, b.minors)
	}
	d.Health = b.health(g, said)
	if len(d.Nodes) > 0 && d.Health.State != "bad" && !b.m.hasNode(d.Nodes[0], b.driver.Root) { // others go before; who asks for this one is told how to make it
		d.Health = devices.Health{State: "warn", Reasons: append(d.Health.Reasons, "its node "+d.Nodes[0]+" does not exist (nvidia-modprobe -u -c="+strconv.Itoa(facts.Minor)+" makes it)")}
	}
	if facts.MIG != nil && *facts.MIG && len(partitions) == 0 {
		d.Health = devices.Health{State: "bad", Reasons: append(d.Health.Reasons, "it is in MIG mode and has no MIG device (nvidia-smi mig -cgi PROFILE -C makes one, nvidia-smi -mig 0 ends the mode)")}
	}
	d.Facts = encode(facts)
	b.devices = append(b.devices, d)
	if d.Health.State == "bad" {
		b.findings = append(b.findings, unhealthy(d))
	}
	b.places = append(b.places, place{name: d.Name, pci: d.PCI, node: d.NUMA, path: bus.Path, links: linksOf(said)})
	b.addPartitions(d, facts, said, partitions)
}

// busOf returns what the bus says of an address.
func (b *builder) busOf(address string) pciDevice {
	for _, p := range b.record.Bus {
		if p.Address == address {
			return p
		}
	}
	return pciDevice{Address: address, NUMA: -1}
}

// said returns NVML's answer for an address.
func (b *builder) said(address string) nvml.GPU {
	for _, g := range b.record.Answer.GPUs {
		if g.PCI == address {
			return g
		}
	}
	return nvml.GPU{PCI: address}
}

func (b *builder) facts(g procGPU, said nvml.GPU) GPU {
	f := GPU{UUID: cmp.Or(said.UUID, g.UUID), Minor: g.Minor, Module: "nvidia", Brand: said.Brand, Capability: said.Capability, CUDA: b.driver.CUDA,
		Firmware: g.Firmware, MIG: said.MIG, DRI: b.m.dri(g.Address), ECC: said.ECC, ECCErrors: said.ECCErrors, Recovery: said.Recovery,
		Fabric: said.Fabric, FabricStatus: said.FabricStatus, Persistence: said.Persistence, ComputeMode: said.ComputeMode, PowerLimit: said.PowerLimit}
	if b.now {
		f.MemoryUsed, f.Utilization, f.Power, f.Energy = int64(said.MemoryUsed), said.Utilization, said.Power, said.Energy
	}
	if f.Minor < 0 && said.Minor != nil {
		f.Minor = *said.Minor
	}
	if said.Rows != nil {
		f.RowsPending, f.RowsFailure = &said.Rows.Pending, &said.Rows.Failure
	}
	if said.PagesPending != nil && *said.PagesPending {
		f.RowsPending = said.PagesPending
	}
	return f
}

// aliases leaves out what is not known, and indices of devices that the vendor's tools do not count.
func aliases(names ...string) []string {
	return slices.DeleteFunc(names, func(s string) bool { return s == "" || s == "-1" })
}

func encode(facts GPU) json.RawMessage {
	b, err := json.Marshal(facts)
	if err != nil {
		return nil
	}
	return b
}

// linksOf counts a GPU's NVLinks by their other end; those to switches are at "".
func linksOf(said nvml.GPU) map[string]int {
	links := map[string]int{}
	for _, l := range said.Links {
		links[l.Remote] += l.Count
	}
	return links
}

// addPartitions lists a GPU's MIG devices: as the kernel has them, with what NVML knows of each.
func (b *builder) addPartitions(parent devices.Device, of GPU, said nvml.GPU, all []partition) {
	for i, p := range all {
		known := nvml.Instance{Index: i, GI: p.GI, CI: p.CI}
		if at := slices.IndexFunc(said.Instances, func(n nvml.Instance) bool { return n.GI == p.GI && n.CI == p.CI }); at >= 0 {
			known = said.Instances[at]
		}
		facts := of
		facts.UUID, facts.GI, facts.CI, facts.Caps, facts.DRI, facts.MIG = known.UUID, &p.GI, &p.CI, p.Caps, nil, nil
		d := devices.Device{Kind: Kind, Name: fmt.Sprintf("%s-gi%d-ci%d", parent.Name, p.GI, p.CI), Index: -1, Model: parent.Model, PCI: parent.PCI,
			NUMA: parent.NUMA, CPUs: parent.CPUs, Memory: int64(known.Memory), Parent: parent.Name, Profile: known.Profile,
			Nodes: append(slices.Clone(parent.Nodes), p.Caps...), Health: parent.Health, Facts: encode(facts)}
		d.Aliases = aliases(known.UUID)
		if parent.Index >= 0 {
			d.Aliases = append(d.Aliases, fmt.Sprintf("%d:%d", parent.Index, known.Index))
		}
		b.devices = append(b.devices, d)
	}
}

// onBus is a GPU that the driver does not have.
func onBus(p pciDevice) devices.Device {
	d := devices.Device{Kind: Kind, Name: p.Address, Index: -1, PCI: p.Address, Model: "NVIDIA device 10de:" + strings.TrimPrefix(p.Device, "0x")}
	d.NUMA, d.CPUs = p.NUMA, p.CPUs
	reason := "NVIDIA's driver does not have it: the kernel's log says why (dmesg | grep NVRM)"
	if p.Module != "" && p.Module != "nvidia" {
		reason = "it is bound to the driver " + p.Module + ", not to nvidia"
	}
	d.Health = devices.Health{State: "bad", Reasons: []string{reason}}
	d.Facts = encode(GPU{Minor: -1, Module: p.Module})
	return d
}

func withoutDriver(bus []pciDevice) []devices.Device {
	all := make([]devices.Device, 0, len(bus))
	for _, p := range bus {
		d := onBus(p)
		if p.Module == "" || p.Module == "nvidia" {
			d.Health.Reasons = []string{"no driver is loaded for it"}
		}
		all = append(all, d)
	}
	return all
}
