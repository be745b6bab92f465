package profiles

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// ulimitNames are the limits of setrlimit(2), as docker names them.
var ulimitNames = []string{"core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio", "rttime", "sigpending", "stack"}

var ulimitFields = []field[Ulimit]{
	{name: "soft", about: "the limit that holds", schema: intSchema, must: true, read: readLimit(func(u *Ulimit) *int64 { return &u.Soft })},
	{name: "hard", about: "up to which the process may raise it", schema: intSchema, must: true, read: readLimit(func(u *Ulimit) *int64 { return &u.Hard })},
}

func readLimit(at func(*Ulimit) *int64) func(*decoder, *Ulimit, *node, string) {
	return func(d *decoder, u *Ulimit, n *node, key string) {
		v, ok := d.integer(n, key)
		if ok && v < -1 {
			d.bad(n, key, "-1 is unlimited", "a limit can't be %d", v)
		}
		*at(u) = v
	}
}

func readUlimits(d *decoder, p *Profile, n *node, key string) {
	if n.kind != mapping {
		d.bad(n, key, "write memlock: -1, or nofile: {soft: 1024, hard: 4096}", "expected a mapping, got %s", n.describe())
		return
	}
	for _, one := range n.pairs {
		sub := join(key, one.key)
		if !contains(ulimitNames, one.key) {
			d.unknownField(one, key, ulimitNames)
			continue
		}
		before := d.report.added
		var u Ulimit
		if one.value.kind == mapping {
			readFields(d, &u, one.value, sub, ulimitFields)
		} else {
			readLimit(func(u *Ulimit) *int64 { return &u.Soft })(d, &u, one.value, sub)
			u.Hard = u.Soft
		}
		if d.report.added > before {
			continue
		}
		if u.Hard != -1 && (u.Soft == -1 || u.Soft > u.Hard) {
			d.badAt(one.pos, sub, "lower soft, or raise hard", "soft (%d) is above hard (%d)", u.Soft, u.Hard)
			continue
		}
		if p.Ulimits == nil {
			p.Ulimits = map[string]Ulimit{}
		}
		d.mark(sub, one.pos)
		p.Ulimits[one.key] = u
	}
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

// maxCPUs bounds cpus and cpuset: CONFIG_NR_CPUS of the largest kernels.
const maxCPUs = 8192

func readCPUs(d *decoder, p *Profile, n *node, key string) {
	if n.kind == scalar && (n.tag == "int" || n.tag == "float" || n.tag == "str") {
		v, err := strconv.ParseFloat(n.text, 64)
		if err == nil && !math.IsNaN(v) && (v == 0 || v >= 0.01 && v <= maxCPUs) { // the kernel's least quota is 1 ms of 100 ms
			p.CPUs = v
			return
		}
	}
	d.bad(n, key, "write how many processors' time it may have: 1.5; at least 0.01, or 0 for no limit", "expected a number from 0.01, got %s", n.describe())
}

var cpuRange = pattern.New(`^(\d{1,4})(?:-(\d{1,4}))?$`)

func readCPUSet(d *decoder, p *Profile, n *node, key string) {
	s, ok := d.text(n, key)
	if !ok {
		return
	}
	for _, part := range strings.Split(s, ",") {
		m := cpuRange.FindStringSubmatch(strings.TrimSpace(part))
		low, high := 0, 0
		if m != nil {
			low, _ = strconv.Atoi(m[1])
			high = low
			if m[2] != "" {
				high, _ = strconv.Atoi(m[2])
			}
		}
		if m == nil || low > high || high >= maxCPUs {
			d.bad(n, key, `write numbers and ranges: "0-3,8"`, "%q is no list of processors", abridged(s))
			return
		}
	}
	p.CPUSet = strings.ReplaceAll(s, " ", "")
}

func readPidsLimit(d *decoder, p *Profile, n *node, key string) {
	v, ok := d.integer(n, key)
	if !ok {
		return
	}
	if v < -1 {
		d.bad(n, key, "write a number above 0, or -1 for no limit", "the limit can't be %d", v)
		return
	}
	p.PidsLimit = v
}

// What runc lets a container set (libcontainer/configs/validate, sysctl): the parameters of its own namespaces.
var (
	ipcSysctls = []string{"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"}
	sysctlForm = pattern.New(`^[a-z0-9_]+([./][A-Za-z0-9_.*-]+)+$`)
)

func isIPCSysctl(name string) bool {
	return contains(ipcSysctls, name) || strings.HasPrefix(name, "fs.mqueue.")
}

func readSysctls(d *decoder, p *Profile, n *node, key string) {
	d.named(n, key, func(e entry) {
		e.name = strings.ReplaceAll(e.name, "/", ".")
		switch {
		case e.bare || strings.TrimSpace(e.value) == "":
			d.badAt(e.pos, join(key, e.name), "write NAME: VALUE", "the value is missing")
		case !sysctlForm.MatchString(e.name):
			d.badAt(e.pos, key, "write it as sysctl(8) does: net.core.somaxconn", "%q is no kernel parameter", abridged(e.name))
		case !isIPCSysctl(e.name) && !strings.HasPrefix(e.name, "net."):
			d.badAt(e.pos, join(key, e.name), "set it on the host: sysctl -w "+e.name+"="+e.value, "%s is the whole machine's, not the container's", e.name)
		default:
			put(&p.Sysctls, e)
		}
	})
}

// finishConflicts looks for keys that exclude each other, when all files are read.
func (d *decoder) finishConflicts() {
	p := d.profile
	whose := p.sharedIPC()
	if p.ShmSize > 0 && whose != "" {
		d.badAt(p.Lines["shm_size"], "shm_size", "remove one of the two", "ipc: %s shares the %s /dev/shm, whose size the container can't set", p.IPC, whose)
	} else if p.ShmSize > 0 && p.IPC == "none" {
		d.badAt(p.Lines["shm_size"], "shm_size", "remove one of the two", "with ipc: none there is no /dev/shm")
	}
	for _, v := range p.Volumes {
		if v.Target == "/dev/shm" && (p.ShmSize > 0 || whose != "") {
			d.badAt(p.Lines[v.Key], v.Key, "remove the mount, or shm_size: and ipc:", "two mounts have the target /dev/shm")
		}
	}
	for i, c := range p.CapAdd {
		if contains(p.CapDrop, c) {
			at := index("cap_add", i)
			d.badAt(p.Lines[at], at, "remove one of the two", "%s stands in cap_drop too", strings.TrimPrefix(c, "CAP_"))
		}
	}
	for name := range p.Sysctls {
		key := join("sysctls", name)
		if strings.HasPrefix(name, "net.") && (p.NetworkMode == "" || p.NetworkMode == "host") {
			d.badAt(d.place(key, "sysctls"), key, "set it on the host, or say network_mode: bridge or none", "with the host's network %s is the whole machine's", name)
		}
		switch {
		case !isIPCSysctl(name) || whose == "":
		case p.IPC == "host":
			d.badAt(d.place(key, "sysctls"), key, "set it on the host, or remove ipc: host", "with ipc: host %s is the whole machine's", name)
		default:
			d.badAt(d.place(key, "sysctls"), key, "set it there", "with ipc: %s %s is the other container's to say", p.IPC, name)
		}
	}
	d.finishNetwork()
	if p.Python.Target != "" && (p.Python.Interpreter == "" || p.Python.Interpreter == "none") {
		d.badAt(p.Lines["python.target"], "python.target", "remove it, or name an interpreter", "nothing is borrowed with interpreter: none")
	}
}

// sharedIPC says whose IPC the container has, in the genitive: "" its own.
func (p *Profile) sharedIPC() string {
	switch {
	case p.IPC == "host":
		return "host's"
	case strings.HasPrefix(p.IPC, "container:"):
		return "other container's"
	}
	return ""
}

// place returns the line of key, or that of the key above where the file wrote it in another form.
func (d *decoder) place(key, above string) Position {
	if pos, ok := d.profile.Lines[key]; ok {
		return pos
	}
	return d.profile.Lines[above]
}

func (d *decoder) finishRequired(file string) {
	if d.profile.Image == "" && d.profile.Build == nil && d.profile.Lines["build"].Line == 0 && d.profile.Lines["image"].Line == 0 && d.profile.Lines["rootfs"].Line == 0 {
		d.report.add(Problem{Position: Position{file, 1, 1}, Key: "image", Message: "image: is missing",
			Remedy: fmt.Sprintf("add a line: image: %s; or rootfs: host, to run without an image", d.name)})
	}
}
