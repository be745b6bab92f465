package profiles

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// This file reads which namespaces and cgroups a container shares.

var isolationFields = []field[Profile]{
	{name: "pid", about: "host: see the machine's processes; container:NAME: share those of another container", schema: object{"type": "string", "pattern": `^(host|private|(container|service):.+)$|\$`}, read: readPID},
	{name: "uts", about: "host: share the machine's host name", schema: enum("host", "private"), read: func(d *decoder, p *Profile, n *node, key string) {
		if s, ok := d.oneOf(n, key, "host", "private"); ok {
			p.UTS = strings.TrimPrefix(s, "private")
		}
	}},
	{name: "userns_mode", about: "host: the machine's user ids, which is the default; private: a range of its own, root in it is nobody outside", schema: enum("host", "private", "auto"), read: readUserns},
	{name: "cgroup", about: "private: a cgroup namespace of its own (default with cgroup v2), or host", schema: enum("host", "private"), read: func(d *decoder, p *Profile, n *node, key string) {
		p.Cgroup, _ = d.oneOf(n, key, "host", "private")
	}},
	{name: "cgroup_parent", about: "cgroup, or slice of systemd's, below which the container's lies", schema: textSchema, read: readCgroupParent},
	{name: "umask", about: "of its processes, octal: 0027", schema: intSchema, read: readUmask},
	{name: "attach", about: "compose's word for whose output up shows; hostrun up --attach takes one name", schema: boolSchema, read: func(d *decoder, _ *Profile, n *node, key string) { d.boolean(n, key) }},
}

// other reads the name of another container behind container: or service:, which are the same here.
func (d *decoder) other(n *node, key, s string) (string, bool) {
	_, name, _ := strings.Cut(s, ":")
	if !NameForm.MatchString(name) || name == d.profile.Name {
		d.bad(n, key, "write the name of another container: container:web", "%q names no other container", abridged(s))
		return "", false
	}
	return name, true
}

// sharesWith notes whether the key names a profile, which comes first then, or a container that is there.
func (d *decoder) sharesWith(key string, service bool) {
	if d.services == nil {
		d.services = map[string]bool{}
	}
	d.services[key] = service
}

func readPID(d *decoder, p *Profile, n *node, key string) {
	s, ok := d.text(n, key)
	if !ok {
		return
	}
	switch word, _, _ := strings.Cut(s, ":"); {
	case s == "host":
		p.PID = s
	case s == "private":
		p.PID = ""
	case word == "service", word == "container":
		if name, ok := d.other(n, key, s); ok {
			p.PID = "container:" + name
			d.sharesWith(key, word == "service")
		}
	default:
		d.bad(n, key, "write host, or container:NAME", "%q is not known", abridged(s))
	}
}

// readUserns takes compose's host and podman's private, which auto stands for, too: the container's 65536 ids are a range of its own.
// Podman's further words say which of the caller's ids come into it; hostrun has no caller's.
func readUserns(d *decoder, p *Profile, n *node, key string) {
	s, ok := d.text(n, key)
	switch {
	case !ok:
	case s == "host":
		p.Userns = s
	case s == "private", s == "auto":
		p.Userns = "private"
	case strings.HasPrefix(s, "auto:"), strings.HasPrefix(s, "private:"), strings.HasPrefix(s, "keep-id"), strings.HasPrefix(s, "nomap"), strings.HasPrefix(s, "ns:"), strings.HasPrefix(s, "container:"):
		d.notYetProblem(n.pos, key, "write private: 65536 ids of the container's own; files of volumes keep their owners there", fmt.Sprintf("a user namespace of this kind (%q)", s))
	default:
		d.bad(n, key, "write host or private", "%q is not known", abridged(s))
	}
}

var cgroupForm = pattern.New(`^/?[A-Za-z0-9@_.:\\-]+(/[A-Za-z0-9@_.:\\-]+)*/?$`)

// readCgroupParent takes a path below the cgroups' root, or the name of a slice, whose place follows from its name
// (systemd.slice(5)).
func readCgroupParent(d *decoder, p *Profile, n *node, key string) {
	s, ok := d.text(n, key)
	if !ok {
		return
	}
	if s == "/" {
		p.CgroupParent = ""
		return
	}
	for _, part := range strings.Split(s, "/") {
		if part == ".." || part == "." || !cgroupForm.MatchString(s) {
			d.bad(n, key, "write a path below the root of the cgroups, or a slice: /jobs, jobs.slice", "%q is no cgroup", abridged(s))
			return
		}
	}
	if !strings.Contains(s, "/") && strings.HasSuffix(s, ".slice") {
		s = slicePath(strings.TrimSuffix(s, ".slice"))
	}
	p.CgroupParent = path.Join("/", s)
}

// slicePath is where systemd keeps a slice: a-b.slice lies in a.slice.
func slicePath(name string) string {
	var parts []string
	for i, word := 0, ""; i < len(name); {
		next := strings.IndexByte(name[i:], '-')
		if next < 0 {
			next = len(name) - i
		}
		word += name[i : i+next]
		if word != "" {
			parts = append(parts, word+".slice")
		}
		word += "-"
		i += next + 1
	}
	return path.Join(parts...)
}

func readUmask(d *decoder, p *Profile, n *node, key string) {
	if n.kind == scalar && (n.tag == "int" || n.tag == "str") {
		if v, err := strconv.ParseUint(strings.TrimPrefix(n.text, "0o"), 8, 32); err == nil && v <= 0o777 {
			mask := uint32(v)
			p.Umask = &mask
			return
		}
	}
	d.bad(n, key, "write octal permission bits: 0022, 0027", "expected permission bits, got %s", n.describe())
}

// finishIsolation looks for keys that exclude each other, when all files are read.
func (d *decoder) finishIsolation() {
	p := d.profile
	if p.UTS != "host" {
		return
	}
	for _, key := range []string{"hostname", "domainname"} {
		if _, ok := p.Lines[key]; ok {
			d.badAt(p.Lines[key], key, "remove one of the two", "uts: host shares the machine's host name")
		}
	}
}
