package plan

import (
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
)

// standardNodes are those that every runtime makes (runtime-spec, config-linux.md, "Default Devices"); major and minor by
// Documentation/admin-guide/devices.txt, -1 for any.
var standardNodes = []struct {
	path         string
	major, minor int64
}{
	{"/dev/null", 1, 3}, {"/dev/zero", 1, 5}, {"/dev/full", 1, 7}, {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9},
	{"/dev/tty", 5, 0}, {"/dev/console", 5, 1}, {"/dev/ptmx", 5, 2}, {"/dev/pts", 136, -1},
}

// addDevices denies all devices but the standard ones and those that were given.
func (b *builder) addDevices() {
	r := b.spec.Linux.Resources
	if b.p.Privileged {
		r.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	} else {
		r.Devices = []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
		for _, n := range standardNodes {
			r.Devices = append(r.Devices, rule("c", n.major, n.minor, "rwm"))
		}
	}
	given := map[string]bool{}
	b.addGrantNodes(given)
	others := b.othersNodes()
	b.tellUnleased()
	for _, n := range b.f.Nodes {
		if !standard(n.Destination) && !given[path.Clean(n.Destination)] && !others[path.Clean(n.Path)] && !b.unleasedNPU(n) {
			given[path.Clean(n.Destination)] = true
			b.addNode(n, b.deviceOrigin(n))
		}
	}
	b.addDeviceRules()
}

// othersNodes are those of accelerators that were not chosen, of the kinds that the container gets some of: a whole directory of nodes
// (devices: [/dev], privileged: true) must not bring what it has no lease of.
func (b *builder) othersNodes() map[string]bool {
	others := map[string]bool{}
	for _, g := range b.f.Grants {
		for _, inv := range b.f.Inventories {
			for _, d := range inv.Devices {
				for _, p := range d.Nodes {
					others[path.Clean(p)] = others[path.Clean(p)] || inv.Kind == g.Ask.Kind && len(g.Chosen) > 0
				}
			}
		}
	}
	for _, g := range b.f.Grants {
		for _, d := range g.Chosen {
			for _, p := range d.Nodes {
				delete(others, path.Clean(p))
			}
		}
	}
	return others
}

// npuOwn is the node of one NPU, or of a part of one.
var npuOwn = pattern.New(`^/dev/v?davinci[0-9]+$`)

// unleasedNPU reports whether a node is an NPU's that a directory of nodes brings: those that are leased come with their grants. The driver
// gives an NPU to the first container that opens it, and refuses all others (hicann/driver, uda_access.c), so a container that did not ask
// for it must not have it, whatever rights it has: not even where the machine's NPUs were not looked at.
func (b *builder) unleasedNPU(n devices.Node) bool {
	p := path.Clean(n.Path)
	leased := func(g devices.Grant) bool {
		return slices.ContainsFunc(g.Chosen, func(d devices.Device) bool { return slices.Contains(d.Nodes, p) })
	}
	return npuOwn.MatchString(p) && !slices.ContainsFunc(b.f.Grants, leased)
}

// tellUnleased tells who may expect NPUs of a directory of nodes, and gets none at all.
func (b *builder) tellUnleased() {
	var left []string
	for _, n := range b.f.Nodes {
		if b.unleasedNPU(n) {
			left = append(left, n.Path)
		}
	}
	asks := slices.ContainsFunc(b.f.Grants, func(g devices.Grant) bool { return g.Ask.Kind == devices.KindNPU })
	if len(left) == 0 || asks {
		return
	}
	key := "privileged"
	for _, d := range b.p.Devices {
		if within(left[0], path.Clean(d.Source)) {
			key = d.Key
		}
	}
	b.report(key, finding.Finding{ID: finding.AscendNotAsked, Severity: finding.Warning, Subject: key, Got: strings.Join(left, ", "), Want: "npus:",
		Message: "the container gets none of this machine's NPUs: all nodes of /dev are not a request for them, and the driver gives an NPU to one container",
		Remedy:  "npus: all, or those that the job needs; nothing, where it needs none"})
}

func standard(destination string) bool {
	p := path.Clean(destination)
	for _, n := range standardNodes {
		if p == n.path || strings.HasPrefix(p, "/dev/pts/") {
			return true
		}
	}
	return false
}

// addNode gives a node read and write; the right to make it (m) only on request.
func (b *builder) addNode(n devices.Node, origin string) {
	access := n.Access
	if access == "" {
		access = "rw"
	}
	mode, uid, gid := os.FileMode(n.Mode&0o777), n.UID, n.GID
	b.plan.Origins["/linux/devices/"+itoa(len(b.spec.Linux.Devices))] = origin
	b.spec.Linux.Devices = append(b.spec.Linux.Devices, specs.LinuxDevice{
		Path: n.Destination, Type: n.Type, Major: n.Major, Minor: n.Minor, FileMode: &mode, UID: &uid, GID: &gid,
	})
	if !b.p.Privileged && access != "none" { // CDI, SPEC.md, "permissions": it is there, and may not be opened
		r := b.spec.Linux.Resources
		r.Devices = append(r.Devices, rule(n.Type, n.Major, n.Minor, access))
	}
}

func (b *builder) deviceOrigin(n devices.Node) string {
	for _, d := range b.p.Devices {
		if within(n.Path, path.Clean(d.Source)) {
			return b.fromProfile(d.Key)
		}
	}
	return b.fromProfile("devices")
}

func rule(kind string, major, minor int64, access string) specs.LinuxDeviceCgroup {
	r := specs.LinuxDeviceCgroup{Allow: true, Type: kind, Major: &major, Access: access}
	if minor >= 0 {
		r.Minor = &minor
	}
	return r
}
