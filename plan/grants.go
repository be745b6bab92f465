package plan

import (
	"cmp"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	cdi "tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// hasDevices reports whether the container gets device nodes of any sort.
func (b *builder) hasDevices() bool {
	return len(b.p.Devices) > 0 || len(b.f.Nodes) > 0 || b.hasAccelerators()
}

func (b *builder) hasAccelerators() bool {
	return slices.ContainsFunc(b.f.Grants, func(g devices.Grant) bool { return len(g.Chosen) > 0 })
}

// addGrants brings what the accelerators need into the plan: environment, groups and mounts; addDevices adds their nodes,
// setLimits their processors.
func (b *builder) addGrants() {
	for _, g := range b.f.Grants {
		origin := b.grantOrigin(g)
		for _, kv := range g.Edits.Env {
			name, value, _ := strings.Cut(kv, "=")
			b.env.set(name, value, origin)
		}
		for _, name := range g.Edits.DropEnv {
			b.env = slices.DeleteFunc(b.env, func(v variable) bool { return v.name == name })
		}
		b.addGroups(g.Edits.AdditionalGIDs...)
		b.checkGrantPlaces(g)
		for _, m := range g.Edits.Mounts {
			b.addGrantMount(g, m)
		}
		b.reportUndone(g)
	}
	b.spec.Process.User.AdditionalGids = b.user.groups
	b.addPasswd()
	b.checkDeviceLabel()
}

// addPasswd gives the user a line of /etc/passwd where an accelerator's library looks for it and the image has none. The lines
// of the image's users are written anew, from what is known of them.
func (b *builder) addPasswd() {
	asks := slices.ContainsFunc(b.f.Grants, func(g devices.Grant) bool { return g.Edits.Passwd && len(g.Chosen) > 0 })
	if _, covered := b.coveredBy("/etc/passwd"); !asks || b.user.known || covered || usesHostRoot(b.p) {
		return
	}
	var text strings.Builder
	for _, u := range append(slices.Clone(b.f.Image.Users), User{Name: "user" + itoa(int(b.user.uid)), UID: b.user.uid, GID: b.user.gid, Home: b.user.home}) {
		fmt.Fprintf(&text, "%s:x:%d:%d::%s:/bin/sh\n", u.Name, u.UID, u.GID, u.Home)
	}
	b.mounts = append(b.mounts, mount{Mount: bindFile(b.addFile("passwd", text.String()), "/etc/passwd"), origin: "hostrun, for the accelerator's library"})
}

// grantOrigin is where an entry of the spec comes from that no Origin of the grant names.
func (b *builder) grantOrigin(g devices.Grant) string {
	return b.fromProfile(g.Ask.Key) + ": " + g.Ask.Kind
}

func (b *builder) originIn(g devices.Grant, at string) string {
	if o := g.Edits.Origins[at]; o != "" {
		return b.grantOrigin(g) + ", " + o
	}
	return b.grantOrigin(g)
}

// addGrantMount adds one mount. A volume of the profile that brings the same file to the same place is not needed beside it;
// one that brings something else there would hide it.
func (b *builder) addGrantMount(g devices.Grant, m *cdi.Mount) {
	add := mount{Mount: b.grantMount(m), origin: b.originIn(g, m.ContainerPath), key: g.Ask.Key}
	at := b.real(add.Destination)
	if usesHostRoot(b.p) && path.Clean(add.Source) == at && b.ofHostRoot(at) {
		return // it is there already
	}
	rest := b.mounts[:0:0]
	for _, have := range b.mounts {
		place := b.real(have.Destination)
		switch inside := within(place, at); {
		case !inside || have.replaceable:
			rest = append(rest, have)
		case have.Source == path.Join(add.Source, strings.TrimPrefix(place, at)):
			if b.granted(have) && place == at {
				return // of another ask, and the same
			}
		default:
			rest = append(rest, have)
			b.report(have.key, finding.Finding{ID: finding.DeviceMount, Severity: finding.Error, Subject: have.Destination,
				Got: have.Source + " (" + have.origin + ")", Want: add.Source + " (" + add.origin + ")",
				Message: fmt.Sprintf("%s would hide what the accelerator needs at %s", have.Destination, add.Destination),
				Remedy:  "remove the volume, or change its target"})
		}
	}
	b.mounts = append(rest, add)
}

// checkGrantPlaces tells of files for which the machine's own root has no place: a driver that lies in another directory than the
// container looks into.
func (b *builder) checkGrantPlaces(g devices.Grant) {
	if !usesHostRoot(b.p) {
		return
	}
	var lacking []string
	for _, m := range g.Edits.Mounts {
		if target := b.real(path.Clean(m.ContainerPath)); path.Clean(m.HostPath) != target && b.lacksPlace(target) {
			lacking = append(lacking, target)
		}
	}
	if len(lacking) > 0 {
		b.report(g.Ask.Key, noPlace("read_only: false, so that hostrun makes the files in a layer of the container's own; or use an image", lacking[0], lacking[1:]...))
	}
}

// granted reports whether the mount is one of an accelerator's.
func (b *builder) granted(m mount) bool {
	return slices.ContainsFunc(b.f.Grants, func(g devices.Grant) bool { return m.key == g.Ask.Key && strings.Contains(m.origin, ": "+g.Ask.Kind) })
}

// grantMount is a mount of CDI's as the spec has it: bound with all below it, read-only all through where it is read-only.
func (b *builder) grantMount(m *cdi.Mount) specs.Mount {
	to := specs.Mount{Destination: path.Clean(m.ContainerPath), Type: m.Type, Source: m.HostPath}
	binds, private := false, false
	for _, o := range m.Options {
		if o == "ro" && slices.Contains(m.Options, "rbind") {
			o = b.readOnly(true)
		}
		binds = binds || o == "bind" || o == "rbind"
		private = private || strings.HasSuffix(o, "private") || strings.HasSuffix(o, "shared") || strings.HasSuffix(o, "slave")
		to.Options = append(to.Options, o)
	}
	if to.Type != "" && to.Type != "bind" {
		return to
	}
	to.Type = "bind"
	if !private {
		to.Options = append([]string{"rprivate"}, to.Options...)
	}
	if !binds {
		to.Options = append([]string{"rbind"}, to.Options...)
	}
	return to
}

// reportUndone tells of what a CDI file asks for and hostrun does not do.
func (b *builder) reportUndone(g devices.Grant) {
	undone := func(what, got string) {
		b.report(g.Ask.Key, finding.Finding{ID: finding.CDIHook, Severity: finding.Warning, Subject: g.Ask.Kind, Got: got,
			Message: fmt.Sprintf("the CDI file of %s asks for %s, which hostrun does not do", g.Ask.Kind, what),
			Remedy:  "see whether the image needs it; with gpus: or npus: hostrun finds by itself what the device needs"})
	}
	for _, h := range g.Edits.Hooks {
		undone("a hook", strings.Join(append([]string{h.HookName + ": " + h.Path}, h.Args[min(1, len(h.Args)):]...), " "))
	}
	for _, n := range g.Edits.NetDevices {
		undone("a network interface to be moved", n.HostInterfaceName)
	}
	if g.Edits.IntelRdt != nil {
		undone("a class of Intel RDT", g.Edits.IntelRdt.ClosID)
	}
}

// addGrantNodes gives the accelerators' nodes; given are the places that are taken.
func (b *builder) addGrantNodes(given map[string]bool) {
	for _, g := range b.f.Grants {
		for _, n := range g.Edits.DeviceNodes {
			node := nodeOf(n)
			if at := path.Clean(node.Destination); standard(at) || given[at] {
				continue
			}
			given[path.Clean(node.Destination)] = true
			b.addNode(node, b.originIn(g, n.Path))
		}
	}
}

// nodeOf is a node of CDI's. Nothing in a container needs the right to make it (m).
func nodeOf(n *cdi.DeviceNode) devices.Node {
	node := devices.Node{Path: n.HostPath, Destination: n.Path, Type: n.Type, Major: n.Major, Minor: n.Minor, Mode: 0o666,
		Access: strings.ReplaceAll(n.Permissions, "m", "")}
	if node.Path == "" {
		node.Path = n.Path
	}
	if node.Type == "" || node.Type == "u" {
		node.Type = "c"
	}
	if n.FileMode != nil {
		node.Mode = uint32(n.FileMode.Perm())
	}
	if n.UID != nil {
		node.UID = *n.UID
	}
	if n.GID != nil {
		node.GID = *n.GID
	}
	return node
}

// prepend puts the accelerators' directories in front of what a list variable has by now, each once.
func (b *builder) prepend() {
	for _, g := range b.f.Grants {
		for _, name := range sortedKeys(g.Edits.PrependEnv) {
			dirs := g.Edits.PrependEnv[name]
			for dir := range strings.SplitSeq(b.env.get(name), ":") {
				if dir != "" && !slices.Contains(dirs, dir) {
					dirs = append(dirs[:len(dirs):len(dirs)], dir)
				}
			}
			b.env.set(name, strings.Join(dirs, ":"), b.grantOrigin(g))
		}
	}
}

// runtimeVariables ask a vendor's OCI runtime for devices; who sets them in a profile is told, and they never reach the container.
var runtimeVariables = map[string]bool{"NVIDIA_VISIBLE_DEVICES": true, "ASCEND_VISIBLE_DEVICES": true}

// A DeviceNumber says what a device of the container's own numbering is on the machine.
type DeviceNumber struct {
	Kind   string `json:"kind"`
	Number int    `json:"number"` // in the container: programs count from 0
	Name   string `json:"name"`
	Index  int    `json:"index"` // on the machine; -1 for a partition
	Node   string `json:"node,omitempty"`
	PCI    string `json:"pci,omitempty"`
}

// String is "container 0 = /dev/davinci4 (0000:c1:00.0)".
func (n DeviceNumber) String() string {
	what := n.Node
	if what == "" {
		what = n.Name
	}
	switch {
	case n.PCI == "":
	case n.Kind == devices.KindNPU: // as npu-smi writes it
		what += " (" + strings.ToUpper(n.PCI) + ")"
	default:
		what += " (" + n.PCI + ")"
	}
	return fmt.Sprintf("container %d = %s", n.Number, what)
}

// order is what the driver counts by: the index, and of a part of an NPU, which has none, the number of its node, 100 and up.
func (n DeviceNumber) order() int {
	if part, err := strconv.Atoi(strings.TrimPrefix(n.Name, "vdavinci")); n.Index < 0 && n.Kind == devices.KindNPU && err == nil {
		return part
	}
	return n.Index
}

// DeviceNumbers tells how the container will count its devices: the driver leaves no gaps and keeps their order (CUDA,
// CUDA_VISIBLE_DEVICES; Ascend's driver, devid_to_udevid).
func DeviceNumbers(grants []devices.Grant) []DeviceNumber {
	var all []DeviceNumber
	for _, g := range grants {
		for _, d := range g.Chosen {
			n := DeviceNumber{Kind: d.Kind, Name: d.Name, Index: d.Index, PCI: d.PCI}
			if len(d.Nodes) > 0 {
				n.Node = d.Nodes[0]
			}
			all = append(all, n)
		}
	}
	slices.SortStableFunc(all, func(a, b DeviceNumber) int {
		if c := strings.Compare(a.Kind, b.Kind); c != 0 {
			return c
		}
		return a.order() - b.order()
	})
	count := map[string]int{}
	for i := range all {
		all[i].Number = count[all[i].Kind]
		count[all[i].Kind]++
	}
	return all
}

// checkDeviceLabel refuses more devices than the label can name.
func (b *builder) checkDeviceLabel() {
	leases := devices.Leases(b.f.Grants, "")
	if len(LabelDevices)+len(devices.FormatLeases(leases)) <= maxLabel {
		return
	}
	key := b.f.Grants[0].Ask.Key
	b.report(key, finding.Finding{ID: finding.LimitUnsupported, Severity: finding.Error, Subject: key,
		Got: fmt.Sprintf("%d devices", len(leases)), Want: fmt.Sprintf("%d bytes of names, containerd's limit on a label", maxLabel),
		Message: "these are more devices than a container's record can name", Remedy: "ask for whole devices, or for fewer"})
}

// setDeviceLabel writes who has what into the record, where every other start looks for it.
func (b *builder) setDeviceLabel() {
	if leases := devices.Leases(b.f.Grants, ""); len(leases) > 0 {
		b.plan.Labels[LabelDevices] = devices.FormatLeases(leases)
	}
}

// setNumberLabel is beside the hash: it says what the devices' label says, in more words.
func (b *builder) setNumberLabel() {
	numbers := DeviceNumbers(b.f.Grants)
	if text, err := json.Marshal(numbers); err == nil && len(numbers) > 0 && len(LabelNumbers)+len(text) <= maxLabel {
		b.plan.Labels[LabelNumbers] = string(text)
	}
}

// setProbeLabel is beside the hash: whether a device is ready to be opened changes with the day, and makes no other container of it.
func (b *builder) setProbeLabel() {
	var all devices.Probe
	granted := false
	for _, g := range b.f.Grants {
		granted = granted || len(g.Chosen) > 0
		all.Open = append(all.Open, g.Edits.Probe.Open...)
		all.Load = append(all.Load, g.Edits.Probe.Load...)
		all.Loader = cmp.Or(all.Loader, g.Edits.Probe.Loader)
	}
	for granted { // also with nothing to say: each node is looked at
		text, err := json.Marshal(all)
		if err == nil && len(LabelProbe)+len(text) <= maxLabel {
			b.plan.Labels[LabelProbe] = string(text)
			return
		}
		if len(all.Open) == 0 {
			return
		}
		all.Open = all.Open[:len(all.Open)/2] // the others are looked at, and not opened
	}
}
