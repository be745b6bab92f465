package profiles

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// A variableEntry is a variable of environment, with or without a value.
type variableEntry struct {
	EnvVar
	bare bool
	pos  Position
}

// An envFile is one entry of env_file.
type envFile struct {
	Path     string
	Required bool
	Raw      bool // format: raw, values as they are
	shown    string
	node     *node
}

var envFileFields = []field[envFile]{
	{name: "path", about: "the file, relative to the profile", schema: textSchema, must: true, read: readWord(func(f *envFile) *string { return &f.Path })},
	{name: "required", about: "false: it may be missing", schema: boolSchema, read: func(d *decoder, f *envFile, n *node, path string) {
		if b, ok := d.boolean(n, path); ok {
			f.Required = b
		}
	}},
	{name: "format", about: "raw: values as they are, without quotes and variables", schema: enum("raw"), read: func(d *decoder, f *envFile, n *node, path string) {
		_, f.Raw = d.oneOf(n, path, "raw")
	}},
}

func readEnvFile(d *decoder, _ *Profile, n *node, path string) {
	if n.kind == mapping { // compose knows it in a list only
		d.bad(n, path, "write a list: - {path: FILE, required: false}", "expected a file or a list of files, got a mapping")
		return
	}
	items := []*node{n}
	if n.kind == list {
		items = n.items
	}
	for i, item := range items {
		f := envFile{Required: true, node: item}
		at := path
		if n.kind == list {
			at = index(path, i)
		}
		if item.kind == mapping {
			if !readFields(d, &f, item, at, envFileFields) {
				continue
			}
		} else if s, ok := d.text(item, at); ok {
			f.Path = s
		}
		if f.Path != "" {
			f.shown = shownBeside(item.pos.File, f.Path)
			f.Path = d.hostPath(item, at, f.Path)
			d.addEnvFile(f, path)
		}
	}
}

// shownBeside names a file that a profile names, as seen from where the profile is.
func shownBeside(profile, file string) string {
	if filepath.IsAbs(file) || strings.HasPrefix(file, "~") || strings.HasPrefix(profile, builtinPrefix) {
		return file
	}
	return filepath.Join(filepath.Dir(profile), file)
}

func (d *decoder) addEnvFile(f envFile, path string) {
	for _, have := range d.envFiles {
		if have.Path == f.Path {
			return
		}
	}
	if f.Path != "" {
		d.mark(index(path, len(d.envFiles)), f.node.pos)
		d.envFiles = append(d.envFiles, f)
	}
}

func readEnvironment(d *decoder, _ *Profile, n *node, path string) {
	d.named(n, path, func(e entry) {
		if strings.ContainsAny(e.name, "= \t\n") {
			d.badAt(e.pos, path, "correct the name", "%q is no name of a variable", e.name)
			return
		}
		d.setVariable(variableEntry{EnvVar{e.name, e.value}, e.bare, e.pos})
	})
}

func (d *decoder) setVariable(v variableEntry) {
	for i := range d.vars {
		if d.vars[i].Name == v.Name {
			d.vars[i] = v
			return
		}
	}
	d.vars = append(d.vars, v)
}

// variables are the container's, in order; a later value takes the place of an earlier one.
type variables struct {
	all []EnvVar
	at  map[string]int
}

func (v *variables) set(name, value string) {
	if i, ok := v.at[name]; ok {
		v.all[i].Value = value
		return
	}
	v.at[name] = len(v.all)
	v.all = append(v.all, EnvVar{name, value})
}

func (v *variables) get(name string) (string, bool) {
	i, ok := v.at[name]
	if !ok {
		return "", false
	}
	return v.all[i].Value, true
}

// visibility are the variables by which programs choose among devices, by numbers that hold for one machine or container.
var visibility = map[string]bool{"CUDA_VISIBLE_DEVICES": true, "ASCEND_RT_VISIBLE_DEVICES": true}

// finishEnvironment puts the variables of env_file before those of environment, which win.
func (d *decoder) finishEnvironment() {
	env := variables{at: map[string]int{}}
	for _, f := range d.envFiles {
		for _, line := range d.readEnvFile(f, env.get) {
			env.set(line.name, line.value)
			d.profile.Lines[join("environment", line.name)] = line.pos
		}
	}
	for _, v := range d.vars {
		value, ok := v.Value, true
		if v.bare && visibility[v.Name] { // the caller's devices have other numbers than the container's
			continue
		}
		if v.bare {
			value, ok = d.lookup(v.Name)
		}
		if ok {
			env.set(v.Name, value)
			d.profile.Lines[join("environment", v.Name)] = v.pos
		}
	}
	d.profile.Environment = env.all
}

// readEnvFile returns the lines of f. have is what files before it set.
func (d *decoder) readEnvFile(f envFile, have lookup) []entry {
	text, err := readBounded(f.Path, maxFile)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !f.Required:
		return nil
	case err != nil:
		d.missingFile(f.node, "env_file", f.shown, err, "make the file, or say required: false")
		return nil
	}
	find := func(name string) (string, bool) {
		if v, ok := d.lookup(name); ok { // the caller's environment goes first, as in compose
			return v, true
		}
		return have(name)
	}
	parser := dotenvParser{file: f.shown, find: find, report: d.report, raw: f.Raw}
	return parser.parse(string(text))
}

// missingFile reports a host file that the profile needs and that can't be read.
func (d *decoder) missingFile(n *node, path, shown string, err error, remedy string) {
	d.report.add(Problem{Position: n.pos, Key: path, Status: finding.StatusNoPath, Remedy: remedy,
		Message: fmt.Sprintf("%s: read %q: %v", path, shown, cause(err))})
}

// cause is the last part of a path error: the path is in the message already.
func cause(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
