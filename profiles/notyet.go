package profiles

import (
	"fmt"
	"sort"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// notYet maps the keys of a compose service that this version does not act on to what to do meanwhile. They are all of
// compose-spec.json's container_spec, workload_spec and service that profileFields lacks; "" is the remedy of all.
var notYet = map[string]string{
	"cpu_count": "use cpus:", "cpu_percent": "use cpus:", "credential_spec": "", "develop": "",
	"isolation":      "",
	"models":         "",
	"provider":       "",
	"storage_opt":    "use tmpfs: with a size for what may go, and a volume on a file system of that size for what stays",
	"use_api_socket": "",
}

// never says why a key of them can't be done: it will not be.
var never = map[string]string{
	"cpu_count": "it is for Windows containers", "cpu_percent": "it is for Windows containers",
	"credential_spec": "it is for Windows containers", "isolation": "it is for Windows containers",
	"storage_opt":    "a snapshot of containerd's has no size of its own",
	"use_api_socket": "there is no docker whose socket it could be",
}

// Never says why a key of a compose service will not be done; it is "" for all others.
func Never(key string) string { return never[key] }

// elsewhere maps keys that are no service's to what a person who wrote them needs to know.
var elsewhere = map[string]string{
	"services": "hostrun import compose FILE makes a stack of a compose file; or put the keys of one service at the top of a file of its name",
	"jobs":     "a profile is one container: put its keys at the top of the file",
	"version":  "remove it: compose ignores it too",
	"profiles": "write tags: a profile of hostrun is what compose calls a service",
	"include":  "use extends:, or YAML's merge key <<",
}

// meant maps words of other tools to the key that they stand for.
var meant = map[string]string{
	"args": "command", "binds": "volumes", "bind": "volumes", "capabilities": "cap_add", "cmd": "command", "cwd": "working_dir",
	"device": "devices", "env": "environment", "envs": "environment", "groups": "group_add", "host": "extra_hosts", "memory": "mem_limit",
	"mount": "volumes", "mounts": "volumes", "network": "networks", "pids": "pids_limit", "port": "ports", "publish": "ports", "readonly": "read_only", "shm": "shm_size",
	"stdin": "stdin_open", "timeout": "stop_grace_period", "ulimit": "ulimits", "volume": "volumes", "workdir": "working_dir", "packages": "python.packages",
	"interpreter": "python.interpreter",
}

// notYetProblem reports a key or a value of compose that this version does not act on.
func (d *decoder) notYetProblem(pos Position, path, remedy, what string) {
	if remedy == "" {
		remedy = fmt.Sprintf("remove it, or write x-%s to keep it unread", path)
	}
	d.report.add(Problem{Position: pos, Key: path, ID: finding.ProfileNotYet,
		Message: path + ": hostrun does not do " + what + " yet", Remedy: remedy})
}

// notYetAbout is what the table says of a key that is known and refused; nobody is told to use it.
const notYetAbout = "not yet"

// laterField is a key of compose below the top that this version does not act on.
func laterField[T any](name, remedy, what string) field[T] {
	return field[T]{name: name, about: notYetAbout, schema: absentSchema, read: func(d *decoder, _ *T, n *node, key string) {
		d.notYetProblem(n.pos, key, remedy, what)
	}}
}

// acceptedLabels are labels of what hostrun keeps no labels of: nothing that runs reads them.
func acceptedLabels[T any](of string) field[T] {
	return field[T]{name: "labels", about: "accepted, for people: hostrun keeps none of " + of, schema: namedSchema, read: func(d *decoder, _ *T, n *node, key string) {
		d.named(n, key, func(entry) {})
	}}
}

// readRoot reads a file's root mapping into the profile.
func (d *decoder) readRoot(root *node) {
	fields := profileFields()
	if p := root.pair("services"); p != nil && root.pair("image") == nil {
		d.composeFile(root, p)
		return
	}
	for _, p := range root.pairs {
		switch f := findField(fields, p.key); {
		case f != nil && !p.value.empty() && p.key != "image" && f.absent(p.value):
		case f != nil:
			d.mark(p.key, p.pos)
			f.read(d, d.profile, p.value, p.key)
		case strings.HasPrefix(p.key, "x-"):
			d.mark(p.key, p.pos)
			if d.profile.Extensions == nil {
				d.profile.Extensions = map[string]any{}
			}
			d.profile.Extensions[p.key] = p.value.any()
		default:
			d.unknownKey(p, fields)
		}
	}
}

// composeFile answers a whole compose file with what it takes to make a stack of it, and with nothing of what follows from that.
func (d *decoder) composeFile(root *node, services *pair) {
	for _, p := range root.pairs {
		if p.key == "version" || p.key == "include" {
			d.badAt(p.pos, p.key, elsewhere[p.key], "this key belongs to a compose file, not to a profile")
		}
	}
	var names []string
	for _, p := range services.value.pairs {
		names = append(names, p.key)
	}
	what := "this is a compose file"
	if len(names) > 0 {
		what += " with the " + counted(len(names), "service") + " " + abridged(strings.Join(names, ", "))
	}
	d.badAt(services.pos, "services", elsewhere["services"], "%s, and no profile", what)
}

func counted(n int, word string) string {
	if n == 1 {
		return word
	}
	return word + "s"
}

func (d *decoder) unknownKey(p pair, fields []field[Profile]) {
	if why, ok := never[p.key]; ok {
		remedy := notYet[p.key]
		if remedy == "" {
			remedy = "remove it, or write x-" + p.key + " to keep it unread"
		}
		d.badAt(p.pos, p.key, remedy, "hostrun can't do this key of compose: %s", why)
		return
	}
	if remedy, ok := notYet[p.key]; ok {
		d.notYetProblem(p.pos, p.key, remedy, "this key of compose")
		return
	}
	if remedy, ok := elsewhere[p.key]; ok {
		d.badAt(p.pos, p.key, remedy, "this key belongs to a compose file, not to a profile")
		return
	}
	if d.report.full() { // proposals cost more than problems
		return
	}
	d.badAt(p.pos, p.key, proposal(p.key, fields), "unknown key")
}

func proposal(key string, fields []field[Profile]) string {
	if word, ok := meant[finding.Fold(key)]; ok {
		return fmt.Sprintf("did you mean %s? Keys that begin with x- pass unread", word)
	}
	names := fieldNameList(fields)
	for name := range notYet {
		names = append(names, name)
	}
	sort.Strings(names)
	if near := finding.Nearest(key, names, 1); len(near) > 0 {
		return fmt.Sprintf("did you mean %s? Keys that begin with x- pass unread", near[0])
	}
	return "remove it, or begin it with x- to keep it unread; all keys are in docs/profile.md"
}

// verbatim reports whether the variables of a top-level key stay as they are: those of keys that are not read.
func verbatim(key string) bool {
	return key != "extends" && findField(profileFields(), key) == nil
}
