package devices

import (
	"fmt"
	"slices"
	"strings"
)

// Find returns the devices that id may mean: by name, by index, by another name, by PCI address or by a node of its own, the
// first of these by which there is any.
func Find(inv Inventory, id string) []Device {
	address := pciAddress(id)
	for _, is := range []func(Device) bool{
		func(d Device) bool { return d.Name == id },
		func(d Device) bool { return d.Index >= 0 && fmt.Sprint(d.Index) == id },
		func(d Device) bool { return slices.Contains(d.Aliases, id) },
		func(d Device) bool { return d.PCI != "" && strings.EqualFold(d.PCI, address) && d.Parent == "" },
		func(d Device) bool { return slices.Contains(d.Nodes, id) },
	} {
		var matches []Device
		for _, d := range inv.Devices {
			if is(d) {
				matches = append(matches, d)
			}
		}
		if len(matches) > 0 {
			return matches
		}
	}
	return nil
}

// pciAddress is an address as sysfs has it, of one that nvidia-smi prints with eight digits of a domain (00000000:BD:00.0), or lspci
// without any (bd:00.0).
func pciAddress(s string) string {
	domain, rest, _ := strings.Cut(s, ":")
	switch {
	case strings.Count(s, ":") == 1 && strings.Contains(rest, "."):
		return "0000:" + s
	case len(domain) == 8 && strings.HasPrefix(domain, "0000"):
		return domain[4:] + ":" + rest
	}
	return s
}
