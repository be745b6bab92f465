package profiles

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"hostrun.dev/hostrun/finding"
)

// A decoder fills one Profile from the files that make it: the file itself after those that it extends. Each key's
// reader merges into what is there, by the rules of compose: scalars and commands replace, mappings merge, lists grow,
// volumes and devices replace by target.
type decoder struct {
	profile *Profile
	report  *report
	env     map[string]string // the caller's, over .env
	level   int               // of the file being read: 0 for the deepest base
	name    string
	inStack bool

	sharesService bool // network_mode: service:NAME, rather than container:NAME

	counts       map[string]int // key -> entries so far, of volumes and tmpfs
	levels       map[string]int // key path of an entry -> level of the file that it came from
	vars         []variableEntry
	envFiles     []envFile
	data         map[string]*dataState      // of secrets and configs
	shared       map[string]map[string]Data // likewise, where the file describes them for several profiles
	vendor       string                     // whose OCI runtime the profile asks for: "nvidia", "ascend"
	implied      []Dependency               // that other keys than depends_on bring
	services     map[string]bool            // keys that name a profile as compose's service:
	volumesFrom  []volumesFrom
	labelFiles   []envFile
	refreshAfter time.Duration       // pull_refresh_after
	deployed     map[string]deployed // limits of deploy, by the key that says the same
	restart      *deployedRestart    // of deploy; nil where it says nothing
}

// A field is a key of a mapping: what it means, what it may hold, and who reads it into a T.
type field[T any] struct {
	name   string
	about  string // for editors
	schema object
	must   bool
	read   func(d *decoder, to *T, n *node, path string)
}

// absent reports whether n is no value of the field: null, or, of a field that takes text, the empty one that ${USER_OF:-} comes to.
// Compose takes both as a key that is not there.
func (f *field[T]) absent(n *node) bool {
	return n.empty() || !f.must && n.blank() && f.schema.takesText()
}

// takesText reports whether a plain text, or one of some words, is what a schema begins with.
func (o object) takesText() bool {
	for _, any := range []string{"oneOf", "anyOf"} {
		if of, ok := o[any].([]object); ok && len(of) > 0 {
			return of[0].takesText()
		}
	}
	_, words := o["enum"]
	return words || o["type"] == "string"
}

// An object is a part of a JSON Schema.
type object map[string]any

// bad reports a problem with the value n of the key at path.
func (d *decoder) bad(n *node, path, remedy, format string, args ...any) {
	d.badAt(n.pos, path, remedy, format, args...)
}

func (d *decoder) badAt(pos Position, path, remedy, format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	if path != "" {
		message = path + ": " + message
	}
	d.report.add(Problem{Position: pos, Key: path, Message: message, Remedy: remedy})
}

// mark notes where the key at path stands.
func (d *decoder) mark(path string, pos Position) {
	d.profile.Lines[path] = pos
	d.levels[path] = d.level
}

func (d *decoder) lookup(name string) (string, bool) {
	v, ok := d.env[name]
	return v, ok
}

// readFields reads the mapping n, whose keys are fields, into to. A known key without a value is one that is not there: generated files
// have device_ids: null beside count.
func readFields[T any](d *decoder, to *T, n *node, path string, fields []field[T]) bool {
	if n.kind != mapping {
		d.bad(n, path, "write KEY: VALUE on lines of their own, indented", "expected a mapping of %s, got %s", fieldNames(fields), n.describe())
		return false
	}
	seen := map[string]bool{}
	for _, p := range n.pairs {
		f := findField(fields, p.key)
		sub := join(path, p.key)
		if f != nil && f.absent(p.value) {
			continue
		}
		seen[p.key] = true
		switch {
		case f != nil:
			d.mark(sub, p.pos)
			f.read(d, to, p.value, sub)
		case !strings.HasPrefix(p.key, "x-"):
			d.unknownField(p, path, fieldNameList(fields))
		}
	}
	for _, f := range fields {
		if f.must && !seen[f.name] {
			d.bad(n, path, fmt.Sprintf("add %s:", f.name), "%s is missing", f.name)
			return false
		}
	}
	return true
}

func (d *decoder) unknownField(p pair, path string, names []string) {
	if d.report.full() {
		return
	}
	remedy := "known here: " + strings.Join(names, ", ")
	if near := finding.Nearest(p.key, names, 1); len(near) > 0 {
		remedy = fmt.Sprintf("did you mean %s? Keys that begin with x- pass unread", near[0])
	}
	d.badAt(p.pos, join(path, p.key), remedy, "unknown key")
}

func findField[T any](fields []field[T], name string) *field[T] {
	for i := range fields {
		if fields[i].name == name {
			return &fields[i]
		}
	}
	return nil
}

func fieldNameList[T any](fields []field[T]) []string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	return names
}

func fieldNames[T any](fields []field[T]) string { return strings.Join(fieldNameList(fields), ", ") }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// text reads a string that is not empty.
func (d *decoder) text(n *node, path string) (string, bool) {
	if n.kind != scalar {
		d.bad(n, path, "write one value", "expected text, got %s", n.describe())
		return "", false
	}
	if n.tag == "null" {
		d.bad(n, path, "write a value, or remove the key", "the value is empty")
		return "", false
	}
	if n.tag != "str" {
		d.bad(n, path, fmt.Sprintf("put it in quotes: %q", n.text), "expected text, got %s", n.describe())
		return "", false
	}
	if strings.TrimSpace(n.text) == "" {
		d.bad(n, path, "write a value, or remove the key", "the value is empty")
		return "", false
	}
	return n.text, true
}

// boolean reads true or false. Text that says so counts too, as in compose: it comes from variables.
func (d *decoder) boolean(n *node, path string) (bool, bool) {
	if n.kind == scalar && (n.tag == "bool" || n.tag == "str") {
		switch strings.ToLower(n.text) {
		case "true", "yes", "on", "y":
			return true, true
		case "false", "no", "off", "n":
			return false, true
		}
	}
	d.bad(n, path, "write true or false", "expected true or false, got %s", n.describe())
	return false, false
}

// integer reads a whole number, also from text.
func (d *decoder) integer(n *node, path string) (int64, bool) {
	if n.kind == scalar && n.tag == "int" {
		switch v := scalarValue(n).(type) { // 0x10, 0o17, 1_000
		case int:
			return int64(v), true
		case int64:
			return v, true
		}
	}
	if n.kind == scalar && n.tag == "str" {
		if v, err := strconv.ParseInt(n.text, 10, 64); err == nil {
			return v, true
		}
	}
	d.bad(n, path, "write a whole number", "expected a whole number, got %s", n.describe())
	return 0, false
}

// oneOf reads one of a few words.
func (d *decoder) oneOf(n *node, path string, words ...string) (string, bool) {
	s, ok := d.text(n, path)
	if !ok {
		return "", false
	}
	for _, w := range words {
		if s == w {
			return s, true
		}
	}
	d.bad(n, path, "write one of: "+strings.Join(words, ", "), "%q is not known", s)
	return "", false
}

// texts reads a list of strings; with single, a bare string counts as a list of one.
func (d *decoder) texts(n *node, path string, single bool, each func(item *node, s string)) {
	if single && n.kind == scalar && n.tag != "null" {
		if s, ok := d.text(n, path); ok {
			each(n, s)
		}
		return
	}
	if n.kind != list {
		want := "a list of text"
		if single {
			want = "text or a list of text"
		}
		d.bad(n, path, "write each entry on a line of its own, after a dash", "expected %s, got %s", want, n.describe())
		return
	}
	for i, item := range n.items {
		if s, ok := d.text(item, index(path, i)); ok {
			each(item, s)
		}
	}
}

// appendOnce appends s to list unless it has it, and notes its place: compose takes these lists for sets.
func (d *decoder) appendOnce(list []string, s string, n *node, path string) []string {
	if contains(list, s) {
		return list
	}
	d.mark(index(path, len(list)), n.pos)
	return append(list, s)
}

// appendNew is appendOnce for lists in which one file may name a thing once, as in compose's.
func (d *decoder) appendNew(list []string, s string, n *node, path string) []string {
	if i := slices.Index(list, s); i >= 0 && d.levels[index(path, i)] == d.level {
		d.bad(n, path, "remove one of the two", "%q stands twice: first in line %d", s, d.profile.Lines[index(path, i)].Line)
	}
	return d.appendOnce(list, s, n, path)
}
