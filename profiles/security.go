package profiles

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"

	"github.com/moby/sys/capability"

	"hostrun.dev/hostrun/finding"
)

// capNames returns the capabilities of Linux in the form CAP_SYS_ADMIN, sorted.
func capNames() []string {
	var names []string
	for _, c := range capability.ListKnown() {
		names = append(names, "CAP_"+strings.ToUpper(c.String()))
	}
	sort.Strings(names)
	return names
}

func readCaps(at func(*Profile) *[]string) func(*decoder, *Profile, *node, string) {
	return func(d *decoder, p *Profile, n *node, key string) {
		d.texts(n, key, false, func(item *node, s string) {
			name, ok := d.capability(item, key, s)
			if ok {
				*at(p) = d.appendOnce(*at(p), name, item, key)
			}
		})
	}
}

// capability brings a name into the kernel's form: sys_ptrace, SYS_PTRACE and CAP_SYS_PTRACE are one.
func (d *decoder) capability(n *node, key, s string) (string, bool) {
	upper := strings.ToUpper(s)
	if upper == "ALL" || upper == "CAP_ALL" {
		return "ALL", true
	}
	name := "CAP_" + strings.TrimPrefix(upper, "CAP_")
	names := capNames()
	for _, known := range names {
		if known == name {
			return name, true
		}
	}
	remedy := "capabilities(7) lists them"
	if near := finding.Nearest(name, names, 1); len(near) > 0 {
		remedy = "did you mean " + strings.TrimPrefix(near[0], "CAP_") + "?"
	}
	d.bad(n, key, remedy, "%q is no capability", abridged(s))
	return "", false
}

func readSecurityOpt(d *decoder, p *Profile, n *node, key string) {
	d.texts(n, key, false, func(item *node, s string) {
		name, value := s, ""
		if i := strings.IndexAny(s, ":="); i >= 0 { // docker takes both
			name, value = s[:i], s[i+1:]
		}
		switch name {
		case "no-new-privileges":
			d.noNewPrivileges(p, item, key, value)
		case "seccomp":
			d.seccomp(p, item, key, value)
		case "systempaths":
			if value != "unconfined" {
				d.bad(item, key, "write systempaths=unconfined", "%q is not known", abridged(s))
				return
			}
			p.OpenSystemPaths = true
			d.mark("security_opt.systempaths", item.pos)
		case "credentialspec":
			d.bad(item, key, "remove it", "hostrun can't do this option: it is for Windows containers")
		case "apparmor":
			d.appArmor(p, item, key, value)
		case "label":
			d.label(p, item, key, value)
		case "writable-cgroups", "proc-opts", "unmask", "mask":
			d.notYetProblem(item.pos, key, "remove it", fmt.Sprintf("%q", name+":"+value))
		default:
			known := []string{"no-new-privileges", "seccomp", "systempaths", "apparmor", "label"}
			remedy := "known: no-new-privileges[:true|false], seccomp:unconfined, seccomp:multiarch, seccomp:FILE, systempaths=unconfined, apparmor:NAME, label:disable, label:type:NAME"
			if near := finding.Nearest(name, known, 1); len(near) > 0 {
				remedy = "did you mean " + near[0] + "?"
			}
			d.bad(item, key, remedy, "unknown option %q", abridged(s))
		}
	})
}

// appArmor reads the name of a loaded profile of AppArmor's. Where the kernel has none, docker passes over it, and so does the plan.
func (d *decoder) appArmor(p *Profile, n *node, key, value string) {
	if value == "" || strings.ContainsAny(value, " \t\n/") {
		d.bad(n, key, "write apparmor:unconfined, or apparmor:NAME of a loaded profile", "%q is no name of a profile of AppArmor's", abridged(value))
		return
	}
	p.AppArmor = value
	if value == "unconfined" { // which is what hostrun does
		p.AppArmor = ""
	}
	d.mark("security_opt.apparmor", n.pos)
}

// label reads a part of an SELinux label. It means something where SELinux enforces, which the plan looks at.
func (d *decoder) label(p *Profile, n *node, key, value string) {
	part, name, _ := strings.Cut(value, ":")
	switch {
	case value == "disable": // which is what hostrun does
		p.Label = ""
	case contains([]string{"user", "role", "type", "level", "filetype"}, part) && name != "":
		p.Label = value
	default:
		d.bad(n, key, "write label:disable, label:type:NAME, label:user:NAME, label:role:NAME, label:level:LEVEL or label:filetype:NAME", "%q is no part of a label", abridged(value))
		return
	}
	d.mark("security_opt.label", n.pos)
}

func (d *decoder) noNewPrivileges(p *Profile, n *node, key, value string) {
	on := value != "false"
	if value != "" && value != "true" && value != "false" {
		d.bad(n, key, "write no-new-privileges:true, or :false", "%q is neither true nor false", abridged(value))
		return
	}
	p.NoNewPrivileges = &on
	d.mark("security_opt.no-new-privileges", n.pos)
}

// maxSeccomp bounds a seccomp profile, in bytes. Docker's own has 16 KiB.
const maxSeccomp = 1 << 20

func (d *decoder) seccomp(p *Profile, n *node, key, value string) {
	d.mark("security_opt.seccomp", n.pos)
	switch value {
	case "":
		d.bad(n, key, "write seccomp:unconfined, seccomp:multiarch, or seccomp:FILE", "seccomp has no value")
		return
	case "unconfined", "multiarch":
		p.Seccomp, p.SeccompProfile = value, nil
		return
	case "builtin": // docker's word for its default
		p.Seccomp, p.SeccompProfile = "", nil
		return
	}
	file := d.hostPath(n, key, value)
	if file == "" {
		return
	}
	text, err := readBounded(file, maxSeccomp)
	if err != nil {
		d.missingFile(n, key, value, err, "correct the path; it is relative to the profile's file")
		return
	}
	var content map[string]any
	if err := json.Unmarshal(text, &content); err != nil {
		d.bad(n, key, "it has to be JSON in docker's format for seccomp profiles", "parse %q: %v", value, err)
		return
	}
	p.Seccomp, p.SeccompProfile = file, text
}

// readRuntime takes a program, or docker's name for the runtime of a vendor of accelerators; no other name of a configured runtime.
func readRuntime(d *decoder, p *Profile, n *node, path string) {
	s, ok := d.text(n, path)
	switch {
	case !ok:
	case s == "runc", s == "crun", strings.HasPrefix(s, "/"):
		p.Runtime, d.vendor = s, ""
	case s == "nvidia", s == "ascend": // what they would inject, hostrun gives itself: the word is a request (finishVisible)
		p.Runtime, d.vendor = "", s
	default:
		d.bad(n, path, "write crun, runc, or the absolute path of one", "%q is not known", abridged(s))
	}
}
