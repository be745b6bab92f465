package profiles

import (
	"fmt"
	"path"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// This file reads secrets and configs: files of a container that lie in memory alone.

// A Data is one of secrets or configs. Exactly one of File, Variable, Content and Credential says where its content comes from; what is
// not in the profile itself is read when the container starts.
type Data struct {
	Name       string  `json:"name"`
	File       string  `json:"file,omitempty"`       // absolute path on the host
	Variable   string  `json:"variable,omitempty"`   // of the caller's environment
	Content    *string `json:"content,omitempty"`    // of a config
	Credential string  `json:"credential,omitempty"` // of systemd's: docs/security.md says where it is looked for

	Target string  `json:"target"`        // absolute path in the container
	UID    *uint32 `json:"uid,omitempty"` // nil: the container's user
	GID    *uint32 `json:"gid,omitempty"`
	Mode   uint32  `json:"mode"` // without the right to write
	Key    string  `json:"key"`

	level    int    // of the file that gives it to the container
	external bool   // while it is read: it is a credential
	called   string // by name:
}

// sourced reports whether it says where its content comes from.
func (v Data) sourced() bool {
	return v.File != "" || v.Variable != "" || v.Content != nil || v.Credential != ""
}

const (
	secretsKey = "secrets"
	configsKey = "configs"
	// dataMode is compose's default (compose-spec, 05-services.md, "secrets" and "configs").
	dataMode = 0o444
)

var (
	dataName     = pattern.New(`^[a-zA-Z0-9._-]+$`)
	variableForm = pattern.New(`^[A-Za-z_][A-Za-z0-9_]*$`)
	dataIDSchema = object{"type": []string{"string", "integer"}}
	dataFields   = []field[Data]{
		{name: "file", about: "the file on the host that holds the content, relative to the profile", schema: textSchema, read: func(d *decoder, v *Data, n *node, key string) {
			if s, ok := d.text(n, key); ok {
				v.File = d.hostPath(n, key, s)
			}
		}},
		{name: "environment", about: "the variable of the caller's environment that holds the content", schema: textSchema, read: func(d *decoder, v *Data, n *node, key string) {
			if s, ok := d.text(n, key); ok && !variableForm.MatchString(s) {
				d.bad(n, key, "write the variable's name alone: HF_TOKEN", "%q is no name of a variable", abridged(s))
			} else if ok {
				v.Variable = s
			}
		}},
		{name: "content", about: "the content itself; for configs alone", schema: object{"type": []string{"string", "number", "boolean"}}, read: readContent},
		{name: "external", about: "true: it is a credential of systemd's", schema: boolSchema, read: func(d *decoder, v *Data, n *node, key string) {
			v.external, _ = d.boolean(n, key)
		}},
		{name: "name", about: "of the credential, where it is another one; beside file, environment or content it is docker's name for a thing of its own, and means nothing", schema: textSchema, read: readWord(func(v *Data) *string { return &v.called })},
		{name: "target", about: "path in the container: /run/secrets/NAME of a secret, /NAME of a config", schema: textSchema, read: readWord(func(v *Data) *string { return &v.Target })},
		{name: "uid", about: "number of its owner; the container's user", schema: dataIDSchema, read: readDataID(func(v *Data) **uint32 { return &v.UID })},
		{name: "gid", about: "number of its group; that of the container's user", schema: dataIDSchema, read: readDataID(func(v *Data) **uint32 { return &v.GID })},
		{name: "mode", about: "permission bits, octal: 0400; 0444 by default. Nobody may write", schema: intSchema, read: func(d *decoder, v *Data, n *node, key string) {
			if mode, ok := d.mode(n, key); ok {
				v.Mode = mode &^ 0o222
			}
		}},
		acceptedLabels[Data]("secrets and configs"),
		dataNotYet("driver", "drivers of secrets"),
		dataNotYet("driver_opts", "drivers of secrets"),
		dataNotYet("template_driver", "templates"),
	}
	// longDataFields are those of an entry of a list, which has its name in itself.
	longDataFields = append([]field[Data]{{name: "source", about: "its name", schema: textSchema, must: true, read: readNothingOf[Data]}}, dataFields...)
	dataSchema     = object{"oneOf": []object{listOf(textSchema, schemaOf(longDataFields)),
		{"type": "object", "additionalProperties": object{"oneOf": []object{{"type": "null"}, schemaOf(dataFields)}}}}}
	dataKeys = []field[Profile]{
		{name: secretsKey, about: "files with secrets, in memory alone, at /run/secrets/NAME: a list of names, or a mapping of names to where the content is", schema: dataSchema, read: readData},
		{name: configsKey, about: "files in memory, at /NAME: a list of names, or a mapping of names to where the content is", schema: dataSchema, read: readData},
	}
)

func readNothingOf[T any](*decoder, *T, *node, string) {}

func dataNotYet(name, what string) field[Data] {
	return field[Data]{name: name, about: "not yet", schema: absentSchema, read: func(d *decoder, _ *Data, n *node, key string) {
		d.notYetProblem(n.pos, key, "remove it", what)
	}}
}

func readContent(d *decoder, v *Data, n *node, key string) {
	if strings.HasPrefix(key, secretsKey) { // it would be in the profile's file, which is shown and kept
		d.bad(n, key, "write it to a file of mode 0600, and say file:; or environment: NAME", "a secret's text has no place in a profile")
		return
	}
	if n.kind != scalar || n.tag == "null" {
		d.bad(n, key, "write text: |", "expected text, got %s", n.describe())
		return
	}
	text := n.text
	v.Content = &text
}

func readDataID(at func(*Data) **uint32) func(*decoder, *Data, *node, string) {
	return func(d *decoder, v *Data, n *node, key string) {
		if n.kind == scalar && (n.tag == "str" || n.tag == "int") {
			if id, err := strconv.ParseUint(n.text, 10, 32); err == nil && validID(n.text) {
				number := uint32(id)
				*at(v) = &number
				return
			}
		}
		d.bad(n, key, `write a number: "103"`, "expected a user's or group's number, got %s", n.describe())
	}
}

func (d *decoder) dataNamed(n *node, key, name string) bool {
	if !dataName.MatchString(name) || strings.Trim(name, ".") == "" {
		d.bad(n, key, "letters, digits, _ . and -", "%q can't be a name", abridged(name))
		return false
	}
	return true
}

// A dataState is what has been read of secrets or configs so far.
type dataState struct {
	defined map[string]Data // by name: where the content is
	granted []Data
}

func (d *decoder) dataOf(key string) *dataState {
	if d.data == nil {
		d.data = map[string]*dataState{}
	}
	if d.data[key] == nil {
		d.data[key] = &dataState{defined: map[string]Data{}}
	}
	return d.data[key]
}

// readData reads compose's list of a service, whose entries may say here where the content is, and a mapping, as compose has it at
// the top of its file: in a profile what is described is given to the container, too.
func readData(d *decoder, _ *Profile, n *node, key string) {
	switch n.kind {
	case list:
		for i, item := range n.items {
			d.dataEntry(item, key, index(key, i))
		}
	case mapping:
		for name, v := range d.dataDefinitions(n, key) {
			d.dataOf(key).defined[name] = v
		}
		for _, p := range n.pairs {
			if v, ok := d.dataOf(key).defined[p.key]; ok {
				d.grant(key, v, p.pos)
			}
		}
	default:
		d.bad(n, key, "write a list of names, or a mapping: token: {file: ./token}", "expected a list or a mapping, got %s", n.describe())
	}
}

// dataDefinitions reads a mapping of names to where the content is.
func (d *decoder) dataDefinitions(n *node, key string) map[string]Data {
	all := map[string]Data{}
	if n.kind != mapping {
		d.bad(n, key, "write a mapping: token: {file: ./token}", "expected a mapping, got %s", n.describe())
		return all
	}
	for _, p := range n.pairs {
		at := join(key, p.key)
		d.mark(at, p.pos)
		v := Data{Name: p.key, Key: at}
		before := d.report.added
		if !d.dataNamed(&node{pos: p.pos}, at, p.key) {
			continue
		}
		if p.value.kind != scalar || p.value.tag != "null" {
			readFields(d, &v, p.value, at, dataFields)
		}
		d.settleData(p.value, at, &v)
		if d.report.added == before {
			all[p.key] = v
		}
	}
	return all
}

func (d *decoder) dataEntry(item *node, key, at string) {
	v := Data{Key: at}
	before := d.report.added
	switch {
	case item.kind == mapping:
		if source := item.said("source"); source != nil {
			v.Name, _ = d.text(source.value, join(at, "source"))
		}
		readFields(d, &v, item, at, longDataFields)
		d.settleData(item, at, &v)
	default:
		v.Name, _ = d.text(item, at)
	}
	if d.report.added > before || !d.dataNamed(item, at, v.Name) {
		return
	}
	if v.sourced() {
		d.dataOf(key).defined[v.Name] = v
	}
	d.grant(key, v, item.pos)
}

// settleData wants at most one place where the content is. What has a name and no such place is a credential, as what is external.
func (d *decoder) settleData(n *node, at string, v *Data) {
	var places []string
	for _, p := range []struct {
		name string
		said bool
	}{{"file", v.File != ""}, {"environment", v.Variable != ""}, {"content", v.Content != nil}, {"external", v.external}} {
		if p.said {
			places = append(places, p.name)
		}
	}
	if len(places) > 1 {
		d.bad(n, at, "keep one of them", "%s: the content is in one place", strings.Join(places, " and "))
	}
	switch {
	case len(places) > 0 && !v.external:
	case v.called != "":
		if d.dataNamed(n.pair("name").value, join(at, "name"), v.called) {
			v.Credential = v.called
		}
	case v.external:
		v.Credential = v.Name
	}
}

// grant gives it to the container; one of an extended file of the same name gives way.
func (d *decoder) grant(key string, v Data, pos Position) {
	s := d.dataOf(key)
	v.level = d.level
	for i, have := range s.granted {
		switch {
		case have.Name != v.Name:
		case have.level != v.level:
			d.mark(v.Key, pos)
			s.granted[i] = v
			return
		case have.Target == v.Target:
			d.badAt(pos, v.Key, "remove one of the two", "%q stands twice: first in line %d", v.Name, d.profile.Lines[have.Key].Line)
			return
		}
	}
	d.mark(v.Key, pos)
	s.granted = append(s.granted, v)
}

// finishData settles where each content is, and where the file goes, when all files are read. What nothing describes is a
// credential of systemd's, as what compose calls external is one of docker's.
func (d *decoder) finishData() {
	taken := map[string]Data{}
	for _, key := range []string{secretsKey, configsKey} {
		s := d.data[key]
		if s == nil {
			continue
		}
		var all []Data
		for _, v := range s.granted {
			if !v.sourced() {
				v = v.from(s.defined[v.Name])
			}
			if !v.sourced() {
				v = v.from(d.shared[key][v.Name])
			}
			if !v.sourced() {
				v.Credential = v.Name
			}
			v.Target = dataTarget(key, v)
			if v.Mode == 0 {
				v.Mode = dataMode
			}
			if first, twice := taken[v.Target]; twice {
				d.badAt(d.profile.Lines[v.Key], v.Key, "give one of them another target:", "two files have the target %s: the first in line %d", v.Target, d.profile.Lines[first.Key].Line)
			}
			taken[v.Target] = v
			all = append(all, v)
		}
		if key == secretsKey {
			d.profile.Secrets = all
		} else {
			d.profile.Configs = all
		}
	}
}

// from adds where the content is, and what else the description says.
func (v Data) from(described Data) Data {
	v.File, v.Variable, v.Content, v.Credential = described.File, described.Variable, described.Content, described.Credential
	if v.Target == "" {
		v.Target = described.Target
	}
	if v.UID == nil {
		v.UID = described.UID
	}
	if v.GID == nil {
		v.GID = described.GID
	}
	if v.Mode == 0 {
		v.Mode = described.Mode
	}
	return v
}

// dataTarget completes a target: a secret's name lies below /run/secrets, a config's below the root.
func dataTarget(key string, v Data) string {
	target := v.Target
	if target == "" {
		target = v.Name
	}
	dir := "/"
	if key == secretsKey {
		dir = "/run/secrets"
	}
	if path.IsAbs(target) {
		dir = "/"
	}
	return path.Join(dir, path.Join("/", target))
}

// Describe says in words where the content is.
func (v Data) Describe() string {
	switch {
	case v.File != "":
		return "file " + v.File
	case v.Variable != "":
		return "environment variable " + v.Variable
	case v.Credential != "":
		return fmt.Sprintf("systemd credential %q", v.Credential)
	}
	return "the profile"
}
