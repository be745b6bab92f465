package profiles

import (
	"strings"

	"hostrun.dev/hostrun/imagename"
)

// A Hook is a command of pre_start, which runs in a container of its own, or of post_start or pre_stop, which run in the container.
type Hook struct {
	Command    *Command `json:"command,omitempty"` // nil: that of Image
	Image      string   `json:"image,omitempty"`   // of pre_start; "" is the profile's
	User       string   `json:"user,omitempty"`    // "" is the container's, or that of Image
	Privileged bool     `json:"privileged,omitempty"`
	WorkingDir string   `json:"working_dir,omitempty"`
	// Environment is added to the container's.
	Environment []EnvVar `json:"environment,omitempty"`
	PerReplica  bool     `json:"per_replica,omitempty"` // of pre_start
	Key         string   `json:"key"`
}

var (
	commandField = field[Hook]{name: "command", about: "what runs; text is split as a shell would, no shell runs", schema: argvSchema, must: true, read: func(d *decoder, h *Hook, n *node, key string) {
		d.argv(n, key, &h.Command)
		if h.Command != nil && len(*h.Command) == 0 {
			d.bad(n, key, "write text, or a list: [program, argument]", "the command is empty")
		}
	}}
	sharedHookFields = []field[Hook]{
		{name: "user", about: "name or number, and a group; the container's user by default", schema: textSchema, read: func(d *decoder, h *Hook, n *node, key string) {
			var p Profile
			readUser(d, &p, n, key)
			h.User = p.User
		}},
		{name: "privileged", about: "with every capability", schema: boolSchema, read: func(d *decoder, h *Hook, n *node, key string) {
			h.Privileged, _ = d.boolean(n, key)
		}},
		{name: "working_dir", about: "directory in the container; that of its command by default", schema: textSchema, read: func(d *decoder, h *Hook, n *node, key string) {
			h.WorkingDir, _ = d.containerPath(n, key)
		}},
		{name: "environment", about: "variables beside those of the container", schema: namedSchema, read: readHookEnvironment},
	}
	hookFields     = append([]field[Hook]{commandField}, sharedHookFields...)
	preStartFields = append([]field[Hook]{optionalCommand(), {name: "image", about: "of the container that the command runs in; the profile's by default", schema: textSchema, read: readHookImage},
		{name: "per_replica", about: "true: before each container of the profile, rather than once", schema: boolSchema, read: func(d *decoder, h *Hook, n *node, key string) {
			h.PerReplica, _ = d.boolean(n, key)
		}}}, sharedHookFields...)

	hookKeys = []field[Profile]{
		{name: "pre_start", about: "commands that run before the container is made, one after another, each in a container of its own", schema: listOf(schemaOf(preStartFields)), read: readHooks(preStartFields, func(p *Profile) *[]Hook { return &p.PreStart })},
		{name: "post_start", about: "commands that run in the container once it has been started", schema: listOf(schemaOf(hookFields)), read: readHooks(hookFields, func(p *Profile) *[]Hook { return &p.PostStart })},
		{name: "pre_stop", about: "commands that run in the container before it is stopped", schema: listOf(schemaOf(hookFields)), read: readHooks(hookFields, func(p *Profile) *[]Hook { return &p.PreStop })},
	}
)

func optionalCommand() field[Hook] {
	f := commandField
	f.must = false
	return f
}

func readHookImage(d *decoder, h *Hook, n *node, key string) {
	s, ok := d.text(n, key)
	if !ok {
		return
	}
	if _, err := imagename.Parse(s); err != nil {
		d.bad(n, key, "names are lower case: [registry/]repository[:tag][@digest]", "%q is no image name: %v", abridged(s), err)
		return
	}
	h.Image = s
}

// readHookEnvironment takes a variable without a value from the caller, as environment does.
func readHookEnvironment(d *decoder, h *Hook, n *node, key string) {
	d.named(n, key, func(e entry) {
		value, ok := e.value, true
		switch {
		case strings.ContainsAny(e.name, "= \t\n"):
			d.badAt(e.pos, key, "correct the name", "%q is no name of a variable", e.name)
			return
		case e.bare:
			value, ok = d.lookup(e.name)
		}
		if ok {
			h.Environment = append(h.Environment, EnvVar{Name: e.name, Value: value})
		}
	})
}

// readHooks reads a list, which grows in files that extend each other.
func readHooks(fields []field[Hook], at func(*Profile) *[]Hook) func(*decoder, *Profile, *node, string) {
	return func(d *decoder, p *Profile, n *node, key string) {
		if n.kind != list {
			d.bad(n, key, "write a list: - {command: [program, argument]}", "expected a list, got %s", n.describe())
			return
		}
		for _, item := range n.items {
			h := Hook{Key: index(key, len(*at(p)))}
			d.mark(h.Key, item.pos)
			before := d.report.added
			readFields(d, &h, item, h.Key, fields)
			if d.report.added == before && h.Command == nil && h.Image == "" {
				d.bad(item, h.Key, "add command:", "command is missing")
			}
			*at(p) = append(*at(p), h)
		}
	}
}
