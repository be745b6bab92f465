package profiles

import (
	"net/netip"
	"path/filepath"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// A sharedNetwork is a network as the stack describes it for all its profiles.
type sharedNetwork struct {
	Network
	Real     string
	External bool
}

// A sharedVolume is a named volume as the stack describes it.
type sharedVolume struct {
	Real     string
	External bool
	Device   string // of a volume that is a directory of the host; absolute
	Mount    *VolumeMount
	options  map[string]string
	pos      Position
}

// ofNetwork are the keys of networkKeys that are a network's own, rather than how one container is on it.
var ofNetwork = []string{"driver", "driver_opts", "ipam", "internal", "enable_ipv6", "enable_ipv4", "attachable"}

func sharedNetworkFields() []field[sharedNetwork] {
	fields := []field[sharedNetwork]{
		{name: "name", about: "what the network is called; the key by default", schema: textSchema, read: readWord(func(n *sharedNetwork) *string { return &n.Real })},
		{name: "external", about: "it is described elsewhere", schema: boolSchema, read: func(d *decoder, to *sharedNetwork, n *node, key string) {
			to.External = d.external(n, key, &to.Real)
		}},
		acceptedLabels[sharedNetwork]("networks"),
	}
	for _, f := range networkKeys {
		if contains(ofNetwork, f.name) {
			fields = append(fields, field[sharedNetwork]{name: f.name, about: f.about, schema: f.schema, read: func(d *decoder, to *sharedNetwork, n *node, key string) {
				f.read(d, &to.Network, n, key)
			}})
		}
	}
	return fields
}

var sharedVolumeFields = []field[sharedVolume]{
	{name: "name", about: "what the volume is called; the key by default", schema: textSchema, read: readWord(func(v *sharedVolume) *string { return &v.Real })},
	{name: "external", about: "it is there already, and down -v leaves it alone", schema: boolSchema, read: func(d *decoder, to *sharedVolume, n *node, key string) {
		to.External = d.external(n, key, &to.Real)
	}},
	{name: "driver", about: "local", schema: enum("local"), read: func(d *decoder, _ *sharedVolume, n *node, key string) {
		if n.text != "local" && n.kind == scalar && n.tag == "str" {
			d.notYetProblem(n.pos, key, "write local, or bind a directory of the host that is mounted already", "volumes of driver "+abridged(n.text))
			return
		}
		d.oneOf(n, key, "local")
	}},
	{name: "driver_opts", about: "a directory of the host: {type: none, o: bind, device: /path}; or what mount(8) mounts: {type: nfs, o: \"addr=10.0.0.5,rw\", device: \":/data\"}", schema: object{"type": "object"}, read: func(d *decoder, to *sharedVolume, n *node, key string) {
		to.options, to.pos = map[string]string{}, n.pos
		d.named(n, key, func(e entry) { to.options[e.name] = e.value })
		to.Device, to.Mount = d.volumeOptions(to.options, n, key)
	}},
	acceptedLabels[sharedVolume]("volumes"),
}

// external reads true, false, or compose's old {name: NAME}.
func (d *decoder) external(n *node, key string, real *string) bool {
	if n.kind == mapping { // in the schema it is a boolean: the form is old
		readFields(d, real, n, key, []field[string]{{name: "name", read: readWord(func(s *string) *string { return s })}})
		return true
	}
	yes, _ := d.boolean(n, key)
	return yes
}

// volumeOptions are those of docker's driver local: a directory of the host, or a file system that is mounted for the containers that
// have the volume (moby, volume/local/local_unix.go).
func (d *decoder) volumeOptions(options map[string]string, n *node, key string) (dir string, mount *VolumeMount) {
	if len(options) == 0 {
		return "", nil
	}
	for name := range options {
		if !contains([]string{"type", "o", "device"}, name) {
			d.notYetProblem(n.pos, join(key, name), "remove it: known are type, o and device", "this option of a volume")
			return "", nil
		}
	}
	kind, device := options["type"], options["device"]
	var words []string
	binds := kind == "bind"
	for _, word := range strings.Split(options["o"], ",") {
		switch word = strings.TrimSpace(word); word {
		case "":
		case "bind", "rbind":
			binds = true
		default:
			words = append(words, word)
		}
	}
	switch {
	case device == "":
		d.bad(n, key, "add device: /path", "device is missing")
		return "", nil
	case binds && (len(words) == 0 || len(words) == 1 && words[0] == "rw"):
		return d.hostPath(n, key, device), nil
	case binds:
		d.notYetProblem(n.pos, key, "write {type: none, o: bind, device: /path}, and what else is meant where the volume is mounted: :ro", "a directory of the host with these options of mount(8)")
		return "", nil
	case kind == "" || kind == "none":
		d.bad(n, key, "add type: nfs, or o: bind", "type is missing")
		return "", nil
	}
	return "", &VolumeMount{Type: kind, Device: device, Options: words}
}

// readShared reads a mapping of names to what is said of each, which may be nothing.
func readShared[T any](d *decoder, n *node, key string, fields []field[T]) map[string]*T {
	all := map[string]*T{}
	if n.kind == scalar && n.tag == "null" {
		return all
	}
	if n.kind != mapping {
		d.bad(n, key, "write NAME: on lines of their own, indented", "expected a mapping of names, got %s", n.describe())
		return all
	}
	for _, p := range n.pairs {
		one := new(T)
		all[p.key] = one
		if p.value.kind == scalar && p.value.tag == "null" {
			continue
		}
		readFields(d, one, p.value, join(key, p.key), fields)
	}
	return all
}

func realName(key, real string) string {
	if real != "" {
		return real
	}
	return key
}

// sharedNames checks names, and that no two are one.
func (d *decoder) sharedNames(n *node, key string, real func(string) string) {
	first := map[string]string{}
	for _, p := range n.pairs {
		name := real(p.key)
		at := join(key, p.key)
		switch {
		case !networkForm.MatchString(name) || len(name) > 64:
			d.badAt(p.pos, at, "use letters, digits, - _ and .", "%q can't be a name under %s", abridged(name), key)
		case first[name] != "":
			d.badAt(p.pos, at, "remove one of the two", "%s is called %s too", first[name], name)
		default:
			first[name] = p.key
		}
	}
}

// checkSharedVolumes notes which are the stack's own.
func (d *decoder) checkSharedVolumes(st *stackFile, n *node) {
	for _, p := range n.pairs {
		v := st.volumes[p.key]
		switch {
		case v == nil:
		case v.External && (v.Device != "" || v.Mount != nil):
			d.badAt(v.pos, join("volumes", p.key), "remove one of the two", "an external volume has no options: it is there already")
		case !v.External && v.Device == "":
			st.Volumes = append(st.Volumes, realName(p.key, v.Real))
		}
	}
}

// checkSharedSubnets refuses two networks with the same addresses before the first of them is made.
func (d *decoder) checkSharedSubnets(st *stackFile, n *node) {
	type use struct {
		prefix  netip.Prefix
		network string
	}
	var seen []use
	for _, p := range n.pairs {
		shared := st.networks[p.key]
		if shared == nil || shared.External {
			continue
		}
		for _, s := range shared.Subnets {
			prefix, err := netip.ParsePrefix(s.Subnet)
			if err != nil {
				continue
			}
			for _, other := range seen {
				if other.prefix.Overlaps(prefix) {
					d.badAt(p.pos, join("networks", p.key), "choose another subnet, or remove it: a free one is taken then", "its subnet %s overlaps with %s of the network %s", prefix, other.prefix, other.network)
				}
			}
			seen = append(seen, use{prefix, p.key})
		}
	}
}

// finishStack gives the profile what its stack says of networks and volumes. Where the stack has such a list, it names all of them:
// a word that is not in it is a slip of the pen.
func (d *decoder) finishStack(st *stackFile) {
	p := d.profile
	p.Stack = &Stack{Name: st.Name, File: st.File, Shown: st.Shown}
	if _, described := st.networks["default"]; described && p.NetworkMode == "bridge" && len(p.Networks) == 0 {
		p.Networks = []Network{{Name: "default", Key: "network_mode"}}
	}
	for i := range p.Networks {
		d.shareNetwork(st, &p.Networks[i])
	}
	for i := range p.Volumes {
		if v := &p.Volumes[i]; v.Type == "volume" && !v.Anonymous {
			d.shareVolume(st, v)
		}
	}
}

func (d *decoder) shareNetwork(st *stackFile, n *Network) {
	shared := st.networks[n.Name]
	switch {
	case shared == nil && st.networks != nil && n.Name != "default":
		d.undeclared("networks", n.Key, n.Name, keysOf(st.networks))
		return
	case shared == nil:
		return
	}
	n.Name = realName(n.Name, shared.Real)
	if len(n.Subnets) == 0 {
		n.Subnets, n.Reserved = shared.Subnets, shared.Reserved
	}
	if n.MTU == 0 {
		n.MTU = shared.MTU
	}
	for _, one := range []struct {
		to   *string
		from string
	}{{&n.Driver, shared.Driver}, {&n.Parent, shared.Parent}, {&n.MacvlanMode, shared.MacvlanMode}, {&n.IpvlanMode, shared.IpvlanMode}} {
		if *one.to == "" {
			*one.to = one.from
		}
	}
	n.Internal = n.Internal || shared.Internal
	n.EnableIPv6 = n.EnableIPv6 || shared.EnableIPv6
}

func (d *decoder) shareVolume(st *stackFile, v *Volume) {
	shared := st.volumes[v.Source]
	switch {
	case shared == nil && st.volumes != nil:
		d.undeclared("volumes", v.Key, v.Source, keysOf(st.volumes))
	case shared == nil:
	case shared.Device != "":
		v.Type, v.Source = "bind", filepath.Clean(shared.Device)
	default:
		v.Source, v.External, v.Mount = realName(v.Source, shared.Real), shared.External, shared.Mount
	}
}

func (d *decoder) undeclared(list, key, name string, known []string) {
	remedy := "add " + name + ": under the stack's " + list + ":"
	if near := finding.Nearest(name, known, 1); len(near) > 0 {
		remedy = "did you mean " + near[0] + "? Or " + remedy
	}
	d.badAt(d.profile.Lines[key], key, remedy, "%q is not among the stack's %s", name, list)
}

func keysOf[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	return keys
}
