package cdi

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/rootfs"
)

// A Source gives the devices of one kind as the machine's CDI files describe them.
type Source struct {
	r    *Registry
	kind string
}

// Kind is the files' kind.
func (s *Source) Kind() string { return s.kind }

// Inventory lists the devices that the files describe. Several names for the same nodes are one device with aliases; a name
// that stands for several devices, as all does, is none. Of health a file says nothing: a device is bad when a node of
// its own is gone.
func (s *Source) Inventory(context.Context, devices.Needs) (devices.Inventory, error) {
	all := s.r.described(s.kind)
	if len(all) == 0 {
		return devices.Inventory{}, devices.ErrAbsent
	}
	inv := devices.Inventory{Kind: s.kind, Fingerprint: fingerprint(all), Driver: all[0].GetSpec().Annotations[driverAnnotation]}
	view := rootfs.Dir(s.r.root)
	at := map[string]int{} // nodes -> index
	for _, d := range simple(all) {
		nodes := ownNodes(d)
		key := strings.Join(nodes, "\n")
		if i, known := at[key]; known && key != "" {
			inv.Devices[i].Aliases = append(inv.Devices[i].Aliases, d.Name)
			continue
		}
		at[key] = len(inv.Devices)
		inv.Devices = append(inv.Devices, s.device(view, d, nodes, len(inv.Devices)))
	}
	return inv, nil
}

// simple leaves out names whose nodes are those of several others together.
func simple(all []*cdi.Device) []*cdi.Device {
	var one []*cdi.Device
	for _, d := range all {
		nodes, parts := ownNodes(d), map[string]bool{}
		for _, o := range all {
			if other := ownNodes(o); len(other) > 0 && len(other) < len(nodes) && !slices.ContainsFunc(other, func(n string) bool { return !slices.Contains(nodes, n) }) {
				parts[strings.Join(other, "\n")] = true
			}
		}
		if len(parts) < 2 {
			one = append(one, d)
		}
	}
	return one
}

// ownNodes are the host paths of a device's own nodes, sorted.
func ownNodes(d *cdi.Device) []string {
	var nodes []string
	for _, n := range d.ContainerEdits.DeviceNodes {
		nodes = append(nodes, hostPath(n))
	}
	slices.Sort(nodes)
	return slices.Compact(nodes)
}

func (s *Source) device(view *rootfs.View, d *cdi.Device, nodes []string, place int) devices.Device {
	dev := devices.Device{Kind: s.kind, Name: d.Name, Index: place, NUMA: -1, Nodes: nodes, Health: devices.Health{State: "unknown"}}
	if n, err := strconv.Atoi(d.Name); err == nil && n >= 0 {
		dev.Index = n
	}
	for _, node := range nodes {
		if !view.Exists(node) {
			dev.Health = devices.Health{State: "bad", Reasons: []string{"its node " + node + " does not exist"}}
		}
	}
	return dev
}

// Align joins what the files describe with what hostrun's own discovery has found: devices of both are told by our names, so
// that they are leased as the same, and the files' names go first among the aliases. What only the files know follows.
func Align(described, ours devices.Inventory) devices.Inventory {
	inv := ours
	inv.Devices = slices.Clone(ours.Devices)
	for _, d := range described.Devices {
		i := slices.IndexFunc(ours.Devices, func(o devices.Device) bool {
			return o.Parent == "" && slices.ContainsFunc(o.Nodes, func(n string) bool { return slices.Contains(d.Nodes, n) })
		})
		if i < 0 {
			inv.Devices = append(inv.Devices, d)
			continue
		}
		aliases := append([]string{d.Name}, d.Aliases...)
		for _, a := range ours.Devices[i].Aliases {
			if !slices.Contains(aliases, a) {
				aliases = append(aliases, a)
			}
		}
		inv.Devices[i].Aliases = aliases
	}
	return inv
}

// Edits are the files' own. No hook is run: what NVIDIA's do is done by mounts (replaceHooks), and the plan tells of others. Numbers are read now, whatever the file has.
func (s *Source) Edits(_ devices.Inventory, chosen []devices.Device, ask devices.Ask, c devices.Container) (devices.Edits, []finding.Finding) {
	e := editing{s: s, ask: ask, edits: devices.Edits{Origins: map[string]string{}}, nodes: map[string]bool{}, specs: map[*cdi.Spec]bool{}}
	for _, d := range chosen {
		if known := s.find(d); known != nil {
			e.add(known)
			continue
		}
		e.report(finding.DeviceUnknown, d.Name, "", fmt.Sprintf("no CDI file describes %s=%s any more", s.kind, d.Name), "hostrun devices lists what there is")
	}
	e.replaceHooks(c)
	e.probe(c)
	return e.edits, e.found
}

// Describes reports whether files describe all of these devices.
func (s *Source) Describes(all []devices.Device) bool {
	return !slices.ContainsFunc(all, func(d devices.Device) bool { return s.find(d) == nil })
}

// find returns the described device that d is.
func (s *Source) find(d devices.Device) *cdi.Device {
	for _, name := range append([]string{d.Name}, d.Aliases...) {
		if known := s.r.cache.GetDevice(s.kind + "=" + name); known != nil {
			return known
		}
	}
	return nil
}

// editing collects the edits of several devices: a file's common ones once.
type editing struct {
	s     *Source
	ask   devices.Ask
	edits devices.Edits
	found []finding.Finding
	nodes map[string]bool
	specs map[*cdi.Spec]bool
}

func (e *editing) add(d *cdi.Device) {
	file := e.s.r.shown(d.GetSpec().GetPath())
	if spec := d.GetSpec(); !e.specs[spec] {
		e.specs[spec] = true
		e.merge(copied(spec.ContainerEdits), file)
	}
	e.merge(copied(d.ContainerEdits), file)
}

// copied is a deep copy: the cache's own must not change with what a plan makes of it.
func copied(from specs.ContainerEdits) specs.ContainerEdits {
	var to specs.ContainerEdits
	if text, err := json.Marshal(from); err == nil {
		_ = json.Unmarshal(text, &to) // what was just written reads
	}
	return to
}

func (e *editing) merge(c specs.ContainerEdits, file string) {
	to := &e.edits
	to.Env = append(to.Env, c.Env...)
	to.Hooks = append(to.Hooks, c.Hooks...)
	to.NetDevices = append(to.NetDevices, c.NetDevices...)
	to.AdditionalGIDs = append(to.AdditionalGIDs, c.AdditionalGIDs...)
	if c.IntelRdt != nil {
		to.IntelRdt = c.IntelRdt
	}
	for _, m := range c.Mounts {
		e.mount(m, file)
	}
	for _, n := range c.DeviceNodes {
		if !e.nodes[n.Path] {
			e.nodes[n.Path] = true
			e.node(n, file)
		}
	}
}

func (e *editing) mount(m *specs.Mount, file string) {
	if bound := m.Type == "" || m.Type == "bind"; bound && !rootfs.Dir(e.s.r.root).Exists(m.HostPath) {
		e.report(finding.CDIStale, m.HostPath, file, fmt.Sprintf("%s, which %s says to mount, does not exist: the file is out of date", m.HostPath, file),
			"make the file anew: nvidia-ctk cdi generate, or hostrun export cdi")
		return
	}
	m.ContainerPath = path.Clean(m.ContainerPath)
	e.edits.Mounts = append(e.edits.Mounts, m)
	e.edits.Origins[m.ContainerPath] = "CDI file " + file
}

// node reads the node as it is now; of the file count owner and mode, where it has them.
func (e *editing) node(n *specs.DeviceNode, file string) {
	access := strings.ReplaceAll(n.Permissions, "m", "")
	none := n.Permissions != "" && access == "" || n.Permissions == cdi.NoPermissions
	if none {
		access = ""
	}
	nodes, found := devices.Nodes(e.s.r.root, []devices.Request{{Source: hostPath(n), Destination: n.Path, Access: access, File: e.ask.File, Line: e.ask.Line}})
	e.found = append(e.found, found...)
	for i, real := range devices.CDINodes(nodes) {
		if n.UID != nil {
			real.UID = n.UID
		}
		if n.GID != nil {
			real.GID = n.GID
		}
		if n.FileMode != nil {
			real.FileMode = n.FileMode
		}
		if none {
			real.Permissions = cdi.NoPermissions
		}
		if n.Major != 0 && (n.Major != nodes[i].Major || n.Minor != nodes[i].Minor) {
			e.found = append(e.found, stale(file, real.Path, n, nodes[i]))
		}
		e.edits.DeviceNodes = append(e.edits.DeviceNodes, real)
		e.edits.Origins[real.Path] = "CDI file " + file
	}
}

func stale(file, at string, n *specs.DeviceNode, real devices.Node) finding.Finding {
	return finding.Finding{ID: finding.CDIStale, Severity: finding.Warning, Subject: file, Got: fmt.Sprintf("%s has %d:%d", at, real.Major, real.Minor), Want: fmt.Sprintf("%d:%d, by the file", n.Major, n.Minor),
		Message: fmt.Sprintf("the CDI file %s is out of date: it gives %s another number than it has; the right one is used here, other tools use the file's", file, at), Remedy: "make the file anew: nvidia-ctk cdi generate, or hostrun export cdi"}
}

func (e *editing) report(id, subject, got, message, remedy string) {
	e.found = append(e.found, finding.Finding{ID: id, Severity: finding.Error, Subject: subject, Got: got, Message: message, Remedy: remedy, File: e.ask.File, Line: e.ask.Line})
}
