package profiles

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
)

var propagations = []string{"rprivate", "private", "rshared", "shared", "rslave", "slave"}

// A longVolume is the long form of a volume while it is read; tmpfs and bind hold options of their own type.
type longVolume struct {
	Volume
	bind, volume, tmpfs *node
}

var volumeFields = []field[longVolume]{
	{name: "type", about: "bind, volume or tmpfs", schema: enum("bind", "volume", "tmpfs"), must: true, read: readVolumeType},
	{name: "source", about: "path on the host, or the volume's name", schema: textSchema, read: readWord(func(v *longVolume) *string { return &v.Source })},
	{name: "target", about: "absolute path in the container", schema: textSchema, must: true, read: func(d *decoder, v *longVolume, n *node, key string) {
		v.Target, _ = d.containerPath(n, key)
	}},
	{name: "read_only", about: "recursively read-only", schema: boolSchema, read: readVolumeBool(func(v *longVolume) *bool { return &v.ReadOnly })},
	{name: "create", about: "make the missing source, a directory (bind.create_host_path)", schema: boolSchema, read: readVolumeBool(func(v *longVolume) *bool { return &v.CreateHostPath })},
	{name: "bind", about: "options of a bind", schema: schemaOf(bindFields), read: func(d *decoder, v *longVolume, n *node, key string) {
		v.bind = n
		readFields(d, v, n, key, bindFields)
	}},
	{name: "volume", about: "options of a named volume", schema: schemaOf(namedVolumeFields), read: func(d *decoder, v *longVolume, n *node, key string) {
		v.volume = n
		readFields(d, v, n, key, namedVolumeFields)
	}},
	{name: "tmpfs", about: "options of a tmpfs", schema: schemaOf(tmpfsFields), read: func(d *decoder, v *longVolume, n *node, key string) {
		v.tmpfs = n
		readFields(d, v, n, key, tmpfsFields)
	}},
	{name: "consistency", about: "of Docker Desktop; means nothing on Linux", schema: enum("consistent", "cached", "delegated"), read: func(d *decoder, _ *longVolume, n *node, key string) {
		d.oneOf(n, key, "consistent", "cached", "delegated")
	}},
}

var bindFields = []field[longVolume]{
	{name: "propagation", about: "of mounts below; rprivate by default", schema: enum(propagations...), read: func(d *decoder, v *longVolume, n *node, key string) {
		v.Propagation, _ = d.oneOf(n, key, propagations...)
	}},
	{name: "create_host_path", about: "make the missing source, a directory", schema: boolSchema, read: readVolumeBool(func(v *longVolume) *bool { return &v.CreateHostPath })},
	{name: "recursive", about: "disabled: without the mounts below; writable: those stay writable where it is read-only; readonly: it must be read-only with them", schema: enum(recursions...), read: func(d *decoder, v *longVolume, n *node, key string) {
		v.Recursive, _ = d.oneOf(n, key, recursions...)
	}},
	{name: "selinux", about: "z or Z, which mean something where SELinux enforces: an error there", schema: enum("z", "Z"), read: func(d *decoder, v *longVolume, n *node, key string) {
		_, v.Relabel = d.oneOf(n, key, "z", "Z")
	}},
}

var namedVolumeFields = []field[longVolume]{
	{name: "nocopy", about: "an empty volume does not get what the image has at the target", schema: boolSchema, read: readVolumeBool(func(v *longVolume) *bool { return &v.NoCopy })},
	{name: "subpath", about: "directory or file in the volume that is mounted instead of the whole; it has to be there", schema: textSchema, read: func(d *decoder, v *longVolume, n *node, key string) {
		s, ok := d.text(n, key)
		if ok && (strings.HasPrefix(s, "/") || contains(strings.Split(s, "/"), "..") || path.Clean(s) == ".") {
			d.bad(n, key, "write a path in the volume: data/train", "%q does not lie in the volume", abridged(s))
		} else if ok {
			v.Subpath = path.Clean(s)
		}
	}},
	acceptedLabels[longVolume]("volumes"),
}

var tmpfsFields = []field[longVolume]{
	{name: "size", about: "most memory", schema: sizeSchema, read: func(d *decoder, v *longVolume, n *node, key string) {
		v.TmpfsSize, _ = d.limit(n, key)
	}},
	{name: "mode", about: "permission bits, octal: 1777", schema: intSchema, read: func(d *decoder, v *longVolume, n *node, key string) {
		v.TmpfsMode, _ = d.mode(n, key)
	}},
}

func readVolumeBool(at func(*longVolume) *bool) func(*decoder, *longVolume, *node, string) {
	return func(d *decoder, v *longVolume, n *node, key string) {
		if b, ok := d.boolean(n, key); ok {
			*at(v) = b
		}
	}
}

func readVolumeType(d *decoder, v *longVolume, n *node, key string) {
	v.Type, _ = d.oneOf(n, key, "bind", "volume", "tmpfs")
}

// recursions are docker's words for what becomes of the mounts below a bind.
var recursions = []string{"enabled", "disabled", "writable", "readonly"}

func readVolumes(d *decoder, _ *Profile, n *node, key string) {
	if n.kind != list {
		d.bad(n, key, "write a list: - ./data:/data", "expected a list, got %s", n.describe())
		return
	}
	for i, item := range n.items {
		at := index(key, i)
		var v Volume
		ok := false
		if item.kind == mapping {
			v, ok = d.longVolume(item, at)
		} else if s, isText := d.text(item, at); isText {
			v, ok = d.shortVolume(item, at, s)
		}
		if ok {
			d.addVolume(v, item, key)
		}
	}
}

// otherVolumes are compose's further types, with what to do instead.
var otherVolumes = map[string]string{
	"image":   "bind a directory that has the files, or COPY --from=IMAGE in a Dockerfile",
	"npipe":   "remove it: it is for Windows containers",
	"cluster": "remove it: it is for a swarm",
}

// longVolume reads {type, source, target, ...}.
func (d *decoder) longVolume(n *node, key string) (Volume, bool) {
	var v longVolume
	before := d.report.added
	if kind := n.said("type"); kind != nil && otherVolumes[kind.value.text] != "" {
		d.notYetProblem(n.pos, key, otherVolumes[kind.value.text], fmt.Sprintf("volumes of type %q", kind.value.text))
		return v.Volume, false
	}
	readFields(d, &v, n, key, volumeFields)
	if d.report.added > before {
		return v.Volume, false
	}
	for name, options := range map[string]*node{"bind": v.bind, "volume": v.volume, "tmpfs": v.tmpfs} {
		if options != nil && v.Type != name {
			d.bad(options, key, "remove "+name+":, or correct type:", "%s: has no meaning for a volume of type %s", name, v.Type)
		}
	}
	if v.CreateHostPath && v.Type != "bind" {
		d.bad(n, key, "remove create:", "create: has no meaning for a volume of type %s", v.Type)
	}
	if (v.Recursive == "writable" || v.Recursive == "readonly") && !v.ReadOnly {
		d.bad(n, key, "add read_only: true, or remove recursive:", "recursive: %s has no meaning for a mount that is not read-only", v.Recursive)
	}
	switch v.Type {
	case "tmpfs":
		if v.Source != "" {
			d.bad(n, key, "remove source:", "a tmpfs has no source")
		}
	case "bind":
		if v.Source == "" {
			d.bad(n, key, "add source:", "source is missing")
		} else {
			v.Source = d.hostPath(n, key, v.Source)
		}
	default:
		switch {
		case v.Source != "":
			d.checkVolumeName(n, key, v.Source)
		case v.Subpath != "":
			d.bad(n, key, "add source:, or remove subpath:", "a volume without a name has nothing in it to choose from")
		default:
			v.Anonymous = true
		}
	}
	return v.Volume, d.report.added == before
}

// VolumeNameForm is docker's form of a named volume. It leads out of no directory.
var VolumeNameForm = pattern.New(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)

func (d *decoder) checkVolumeName(n *node, key, name string) {
	if !VolumeNameForm.MatchString(name) {
		d.bad(n, key, "begin a host path with / or ./; a volume's name has letters, digits, _ . and -", "%q is neither a host path nor the name of a volume", abridged(name))
	}
}

// shortVolume reads SOURCE:TARGET[:OPTIONS].
func (d *decoder) shortVolume(n *node, key, s string) (Volume, bool) {
	before := d.report.added
	parts := strings.Split(s, ":")
	if len(parts) > 3 {
		d.bad(n, key, "use the long form for paths with a colon: {type: bind, source: ..., target: ...}", "%q has too many colons", abridged(s))
		return Volume{}, false
	}
	for _, part := range parts {
		if part == "" {
			d.bad(n, key, "write SOURCE:TARGET[:OPTIONS]", "%q has an empty part", abridged(s))
			return Volume{}, false
		}
	}
	if len(parts) == 1 { // without a name, as compose reads it
		v := Volume{Type: "volume", Anonymous: true}
		v.Target, _ = d.cleanTarget(n, key, s)
		return v, d.report.added == before
	}
	v := Volume{Type: "volume", Source: parts[0]}
	if strings.ContainsRune("./~", rune(parts[0][0])) { // as compose tells a path from a name
		v.Type = "bind"
		v.Source = d.hostPath(n, key, parts[0])
	} else {
		d.checkVolumeName(n, key, parts[0])
	}
	v.Target, _ = d.cleanTarget(n, key, parts[1])
	if len(parts) == 3 {
		for _, option := range strings.Split(parts[2], ",") {
			d.volumeOption(n, key, &v, option)
		}
	}
	return v, d.report.added == before
}

func (d *decoder) volumeOption(n *node, key string, v *Volume, option string) {
	known := append([]string{"ro", "rw", "nocopy", "cached", "delegated", "consistent", "z", "Z"}, propagations...)
	switch option {
	case "ro":
		v.ReadOnly = true
	case "rw", "cached", "delegated", "consistent": // the last three are Docker Desktop's; on Linux a bind is direct
	case "nocopy":
		v.NoCopy = v.Type == "volume"
	case "z", "Z": // it says nothing where SELinux does not enforce, which the plan looks at
		v.Relabel = true
	case "rprivate", "private", "rshared", "shared", "rslave", "slave":
		if v.Type != "bind" {
			d.bad(n, key, "remove it", "%s is for binds, and %q is a named volume", option, v.Source)
			return
		}
		v.Propagation = option
	default:
		remedy := "known: " + strings.Join(known, ", ")
		if near := finding.Nearest(option, known, 1); len(near) > 0 {
			remedy = "did you mean " + near[0] + "?"
		}
		d.bad(n, key, remedy, "unknown option %q", abridged(option))
	}
}

// addVolume appends v; one of an extended file with the same target gives way.
func (d *decoder) addVolume(v Volume, n *node, key string) {
	if v.Target == "/" {
		d.bad(n, key, "mount below it: /data", "a volume can't replace the root of the container")
		return
	}
	for i, have := range d.profile.Volumes {
		if have.Target == v.Target {
			if d.levels[have.Key] == d.level {
				d.bad(n, key, "remove one of the two", "two mounts have the target %s: the first in line %d", v.Target, d.profile.Lines[have.Key].Line)
				return
			}
			v.Key = d.replaceKey(key, have.Key)
			d.mark(v.Key, n.pos)
			d.profile.Volumes[i] = v
			return
		}
	}
	v.Key = d.nextKey(key)
	d.mark(v.Key, n.pos)
	d.profile.Volumes = append(d.profile.Volumes, v)
}

// replaceKey returns the key of an entry that takes the place of the one at old.
func (d *decoder) replaceKey(key, old string) string {
	if strings.HasPrefix(old, key+"[") {
		return old
	}
	delete(d.profile.Lines, old)
	return d.nextKey(key)
}

// nextKey returns key[i] for the next entry of key.
func (d *decoder) nextKey(key string) string {
	d.counts[key]++
	return index(key, d.counts[key]-1)
}

// hostPath makes a path of the profile absolute: ~ is the caller's home, other paths start at the file's directory.
func (d *decoder) hostPath(n *node, key, s string) string {
	if s == "~" || strings.HasPrefix(s, "~/") {
		home := d.env["HOME"]
		if !filepath.IsAbs(home) {
			d.bad(n, key, "write the path in full", "%q needs HOME, which is not set", s)
			return ""
		}
		return filepath.Join(home, s[1:])
	}
	if strings.HasPrefix(s, "~") {
		d.bad(n, key, "write the path in full, or ./"+s, "%q: only ~/ is known, the caller's home", s)
		return ""
	}
	if filepath.IsAbs(s) {
		return filepath.Clean(s)
	}
	return filepath.Join(n.dir, s)
}
