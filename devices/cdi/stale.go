package cdi

import (
	"fmt"
	"path"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// Stale says which files describe another machine than this one is now: nodes and files that are gone or have other numbers, another
// driver, another fingerprint than the inventories have. One finding a file.
func (r *Registry) Stale(inventories []devices.Inventory) []finding.Finding {
	now := map[string]devices.Inventory{}
	for _, inv := range inventories {
		now[inv.Kind] = inv
	}
	var all []finding.Finding
	for _, vendor := range r.cache.ListVendors() {
		for _, spec := range r.cache.GetVendorSpecs(vendor) {
			why := r.outdated(spec, now[spec.Kind])
			if len(why) == 0 {
				continue
			}
			remedy := "make it anew with the tool that wrote it (nvidia-ctk cdi generate), or: hostrun export cdi --kind " + spec.Kind
			file := r.shown(spec.GetPath())
			if spec.Annotations[fingerprintAnnotation] != "" {
				remedy = "hostrun export cdi --kind " + spec.Kind + " > " + file
			}
			all = append(all, finding.Finding{ID: finding.CDIStale, Severity: finding.Warning, Subject: file, Got: strings.Join(why, "; "),
				Message: fmt.Sprintf("the CDI file %s is out of date: %s", file, why[0]), Remedy: remedy})
		}
	}
	return all
}

// outdated lists what no longer holds, each thing once, at most a few of them.
func (r *Registry) outdated(spec *cdi.Spec, now devices.Inventory) []string {
	const most = 5
	var why []string
	if was := spec.Annotations[fingerprintAnnotation]; was != "" && now.Fingerprint != "" && was != now.Fingerprint {
		why = append(why, "the machine has been started, divided or equipped anew since")
	}
	if was := spec.Annotations[driverAnnotation]; was != "" && now.Driver != "" && was != now.Driver {
		why = append(why, fmt.Sprintf("it is for driver %s, and %s is loaded", was, now.Driver))
	}
	seen := map[string]bool{}
	add := func(text string) {
		if text != "" && !seen[text] && len(why) < most {
			seen[text] = true
			why = append(why, text)
		}
	}
	edits := []specs.ContainerEdits{spec.ContainerEdits}
	for _, d := range spec.Devices {
		edits = append(edits, d.ContainerEdits)
	}
	view := rootfs.Dir(r.root)
	for _, e := range edits {
		for _, n := range e.DeviceNodes {
			add(r.renumbered(view, n))
		}
		for _, m := range e.Mounts {
			add(replaced(view, m, now.Driver))
		}
	}
	return why
}

func (r *Registry) renumbered(view *rootfs.View, n *specs.DeviceNode) string {
	at := hostPath(n)
	if !view.Exists(at) {
		return at + " does not exist"
	}
	if n.Major == 0 {
		return ""
	}
	nodes, _ := devices.Nodes(r.root, []devices.Request{{Source: at}})
	if len(nodes) == 1 && (nodes[0].Major != n.Major || nodes[0].Minor != n.Minor) {
		return fmt.Sprintf("%s has the number %d:%d, not %d:%d", at, nodes[0].Major, nodes[0].Minor, n.Major, n.Minor)
	}
	return ""
}

// replaced tells of a file that is gone, and of a library of another driver that was left behind.
func replaced(view *rootfs.View, m *specs.Mount, driver string) string {
	if m.Type != "" && m.Type != "bind" {
		return ""
	}
	if !view.Exists(m.HostPath) {
		return m.HostPath + " does not exist"
	}
	if _, version, ok := strings.Cut(path.Base(m.HostPath), "libcuda.so."); ok && strings.Contains(version, ".") && driver != "" && version != driver {
		return fmt.Sprintf("%s is of driver %s, and %s is loaded", m.HostPath, version, driver)
	}
	return ""
}
