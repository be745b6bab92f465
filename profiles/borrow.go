package profiles

import (
	"fmt"
	"path"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

var deviceFields = []field[Device]{
	{name: "source", about: "device node, or directory of nodes, on the host", schema: textSchema, must: true, read: readWord(func(v *Device) *string { return &v.Source })},
	{name: "target", about: "path in the container; the source's by default", schema: textSchema, read: readWord(func(v *Device) *string { return &v.Target })},
	{name: "permissions", about: "some of r, w, m; rw by default", schema: textSchema, read: readWord(func(v *Device) *string { return &v.Permissions })},
}

func readDevices(d *decoder, _ *Profile, n *node, key string) {
	if n.kind != list {
		d.bad(n, key, "write a list: - /dev/nvidia0", "expected a list, got %s", n.describe())
		return
	}
	for i, item := range n.items {
		at := index(key, i)
		var v Device
		if item.kind == mapping {
			if !readFields(d, &v, item, at, deviceFields) || v.Source == "" {
				continue
			}
		} else {
			s, ok := d.text(item, at)
			if !ok {
				continue
			}
			if cdiName.MatchString(s) {
				d.addDevice(Device{Source: s}, item, key, at)
				continue
			}
			parts := strings.Split(s, ":")
			if len(parts) > 3 {
				d.bad(item, at, "use the long form: {source: ..., target: ..., permissions: rw}", "%q has too many colons", abridged(s))
				continue
			}
			parts = append(parts, "", "")
			v = Device{Source: parts[0], Target: parts[1], Permissions: parts[2]}
		}
		d.addDevice(v, item, key, at)
	}
}

var (
	cdiName     = pattern.New(`^[A-Za-z][A-Za-z0-9._-]*/[A-Za-z][A-Za-z0-9_-]*=[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?$`)
	permissions = pattern.New(`^[rwm]{1,3}$`)
)

// checkDevice completes v and brings its paths into one form.
func (d *decoder) checkDevice(v *Device, n *node, at string) bool {
	switch {
	case cdiName.MatchString(v.Source) && (v.Target == "" || v.Target == v.Source) && (v.Permissions == "" || v.Permissions == "rwm"): // as compose writes it out
		v.CDI, v.Target, v.Permissions = true, v.Source, ""
		return true
	case cdiName.MatchString(v.Source):
		d.bad(n, at, "write the name alone", "%q is the name of a CDI device, which has its own places and permissions", v.Source)
		return false
	case !strings.HasPrefix(v.Source, "/"):
		d.bad(n, at, "begin it with /: /dev/nvidia0", "%q is no absolute path", abridged(v.Source))
		return false
	case permissions.MatchString(v.Target):
		d.bad(n, at, fmt.Sprintf("write %[1]s:%[1]s:%[2]s", v.Source, v.Target), "%q stands where the path in the container belongs", v.Target)
		return false
	case v.Permissions != "" && (!permissions.MatchString(v.Permissions) || repeats(v.Permissions)):
		d.bad(n, at, "write some of r, w and m, each once: rw", "%q are no permissions of a device", abridged(v.Permissions))
		return false
	case v.Target == "":
		v.Target = v.Source
	}
	v.Source = path.Clean(v.Source)
	target, ok := d.cleanTarget(n, at, v.Target)
	v.Target = target
	if ok && npuNode.MatchString(v.Source) && v.Target != v.Source && v.Target != strings.Replace(v.Source, "/dev/vdavinci", "/dev/davinci", 1) { // what Ascend's runtime calls a part
		d.bad(n, at, "write "+v.Source+" alone: the container's own number of it is 0 for the first that it gets",
			"an NPU can't be renamed to %s: the driver goes by the number of the node, not by its name", v.Target)
		return false
	}
	return ok
}

// addDevice appends v; one of an extended file with the same target gives way.
func (d *decoder) addDevice(v Device, n *node, key, at string) {
	if !d.checkDevice(&v, n, at) {
		return
	}
	for i, have := range d.profile.Devices {
		if have.Target != v.Target {
			continue
		}
		if d.levels[have.Key] == d.level {
			d.bad(n, at, "remove one of the two", "two devices have the target %s: the first in line %d", v.Target, d.profile.Lines[have.Key].Line)
			return
		}
		v.Key = have.Key
		d.mark(v.Key, n.pos)
		d.profile.Devices[i] = v
		return
	}
	v.Key = index(key, len(d.profile.Devices))
	d.mark(v.Key, n.pos)
	d.profile.Devices = append(d.profile.Devices, v)
}

func repeats(s string) bool {
	for i := range s {
		if strings.LastIndexByte(s, s[i]) != i {
			return true
		}
	}
	return false
}

var pythonFields = []field[Python]{
	{name: "interpreter", about: "auto (the caller's python3), none, or the path of an interpreter or environment", schema: textSchema, read: readInterpreter},
	{name: "target", about: "mount over exactly this directory of the container", schema: textSchema, read: func(d *decoder, p *Python, n *node, key string) {
		p.Target, _ = d.containerPath(n, key)
	}},
	{name: "packages", about: "packages that the job imports; they must be installed", schema: textsSchema, read: readPackages},
	{name: "precedence", about: "whose packages go first: image (default) or host", schema: enum("image", "host"), read: func(d *decoder, p *Python, n *node, key string) {
		p.Precedence, _ = d.oneOf(n, key, "image", "host")
	}},
	{name: "borrow_libraries", about: "lend libraries that the packages need and the image lacks: auto (default) or off", schema: enum("auto", "off"), read: func(d *decoder, p *Python, n *node, key string) {
		p.BorrowLibraries, _ = d.oneOf(n, key, "auto", "off")
	}},
	{name: "interpreter_from", about: "whose interpreter runs: image (default) or host, where that one can be moved", schema: enum("image", "host"), read: func(d *decoder, p *Python, n *node, key string) {
		p.InterpreterFrom, _ = d.oneOf(n, key, "image", "host")
	}},
}

func readPython(d *decoder, p *Profile, n *node, key string) {
	if n.kind == mapping {
		readFields(d, &p.Python, n, key, pythonFields)
		if p.Python.Interpreter == "" && n.said("interpreter") == nil { // a mapping asks for packages
			p.Python.Interpreter = "auto"
		}
		return
	}
	readInterpreter(d, &p.Python, n, key)
}

func readInterpreter(d *decoder, p *Python, n *node, key string) {
	if s, ok := d.borrowed(n, key, "an interpreter or an environment: /opt/venv"); ok {
		p.Interpreter = s
	}
}

func readCUDA(d *decoder, p *Profile, n *node, key string) {
	if s, ok := d.borrowed(n, key, "the toolkit's directory: /usr/local/cuda"); ok {
		p.CUDA = s
	}
}

// borrowed reads auto, none or a path of the host.
func (d *decoder) borrowed(n *node, key, what string) (string, bool) {
	remedy := "write auto, none, or the path of " + what
	if n.kind == scalar && n.tag == "bool" {
		word := map[bool]string{true: "auto", false: "none"}[n.text == "true"]
		d.bad(n, key, "write "+word, "expected auto, none or a path, got %s", n.describe())
		return "", false
	}
	if n.kind != scalar || n.tag != "str" {
		d.bad(n, key, remedy, "expected auto, none or a path, got %s", n.describe())
		return "", false
	}
	s, ok := d.text(n, key)
	switch {
	case !ok:
		return "", false
	case s == "auto", s == "none":
		return s, true
	case !strings.Contains(s, "/") && s != "." && s != "~":
		d.bad(n, key, remedy, "%q is neither auto, none, nor a path", abridged(s))
		return "", false
	}
	s = d.hostPath(n, key, s)
	return s, s != ""
}

// packageForm is the name of a distribution or of a module (packaging.python.org, "Names and normalization").
var packageForm = pattern.New(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$`)

func readPackages(d *decoder, p *Python, n *node, key string) {
	d.texts(n, key, false, func(item *node, s string) {
		if !packageForm.MatchString(s) {
			d.bad(item, key, "write names only, as import or pip does: torch", "%q is no name of a package", abridged(s))
			return
		}
		p.Packages = d.appendNew(p.Packages, s, item, key)
	})
}
