// Package composefile turns a compose file into a stack of profiles. The file keeps its order, comments, anchors and variables: what a
// stack has in compose's words stands as it was, and only what means something else there is written anew. What hostrun does not do is
// found by reading the result as hostrun would.
//
// The rules are those of the compose specification (spec.md, 05-services.md, 06-networks.md, 07-volumes.md, 12-interpolation.md).
package composefile

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// An Outcome is what became of a key.
type Outcome string

const (
	Carried Outcome = "carried" // as it was
	Changed Outcome = "changed" // written anew, for the same effect as far as the note does not say otherwise
	Dropped Outcome = "dropped" // hostrun does not do it
	Open    Outcome = "open"    // it stands as it was, and hostrun refuses it: it is to be decided by hand
)

// A Field is what became of one key of the compose file.
type Field struct {
	Service string  `json:"service"` // "" for keys beside services:
	Key     string  `json:"key"`     // its path: deploy.resources, volumes[0]
	Line    int     `json:"line"`    // of the compose file
	Outcome Outcome `json:"outcome"`
	Note    string  `json:"note,omitempty"` // how and why; with what follows from it
}

// A File is a compose file.
type File struct {
	Path  string // absolute; the stack will lie beside it, and relative paths mean the same
	Shown string // as the caller named it
	Text  []byte
}

// Several says why a compose file is left to compose's own library first: it has parts in other files or several documents, is one that
// changes others, or a service of it takes over what is rewritten for another one. It is "" for all others.
func Several(file File) (string, error) {
	if documents(file.Text) > 1 {
		return "several documents", nil
	}
	if root, err := profiles.Parse(file.Shown, file.Text); err == nil {
		if _, v := entry(root, "include"); v != nil {
			return "include:", nil
		}
	}
	root, err := read(file)
	if err != nil {
		return "", err
	}
	_, services := entry(root, "services")
	named := map[string]bool{}
	for _, s := range pairs(followed(services)) {
		for _, m := range append([]*yaml.Node{followed(s.value)}, allMerged(followed(s.value))...) {
			_, name := entry(m, "container_name")
			named[s.key.Value] = named[s.key.Value] || name != nil
		}
	}
	for _, s := range pairs(followed(services)) {
		for _, m := range append([]*yaml.Node{followed(s.value)}, allMerged(followed(s.value))...) {
			_, of := entry(m, "extends")
			if of == nil {
				continue
			}
			if _, other := entry(followed(of), "file"); other != nil {
				return "extends: {file: ...}", nil
			}
			if named[extended(of)] || named[s.key.Value] {
				return "extends: and container_name:", nil
			}
		}
	}
	return mergeTag(root, map[*yaml.Node]bool{}), nil
}

// extended is the service that an extends: names.
func extended(of *yaml.Node) string {
	if _, service := entry(followed(of), "service"); service != nil {
		return followed(service).Value
	}
	return followed(of).Value
}

// documents counts those of a YAML stream, as far as it can be read.
func documents(text []byte) (n int) {
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var doc yaml.Node
		if d.Decode(&doc) != nil {
			return n
		}
		n++
	}
}

// mergeTag is a tag of compose's own below n, which its library acts on while it merges; "" without.
func mergeTag(n *yaml.Node, seen map[*yaml.Node]bool) string {
	if seen[n] {
		return ""
	}
	seen[n] = true
	if n.Tag == "!reset" || n.Tag == "!override" {
		return n.Tag
	}
	for _, child := range n.Content {
		if tag := mergeTag(child, seen); tag != "" {
			return tag
		}
	}
	return ""
}

// Convert returns the text of the stack that does what the compose file does, and what became of each key, in the order of the
// file. The error of a file that is none is an *profiles.InvalidError or a finding.Err.
func Convert(file File, opt profiles.Options) (stack []byte, fields []Field, err error) {
	root, err := read(file)
	if err != nil {
		return nil, nil, err
	}
	c := &converter{file: file, opt: opt, root: root, env: profiles.DotEnv(opt, filepath.Dir(file.Path)), hosts: map[string]string{}, supposedly: map[string]bool{}, emptied: map[string]bool{}, undescribed: map[string]bool{}, said: map[*yaml.Node]bool{}, visited: map[*yaml.Node]bool{}}
	c.all = maps.Clone(c.env)
	maps.Copy(c.all, opt.Env)
	c.foot = footComment(file.Text)
	c.unshareSections()
	c.project = c.projectName()
	c.variables()
	c.machineNetworks()
	c.unshareKeys()
	c.builtImages()
	c.asWritten()
	c.containers()
	c.undefined()
	for _, s := range c.services() {
		c.service(s)
	}
	c.top()
	if stack, err = c.settle(); err != nil {
		return nil, nil, err
	}
	c.carried()
	sort.SliceStable(c.fields, func(i, j int) bool { return c.fields[i].Line < c.fields[j].Line })
	return stack, c.fields, nil
}

// read parses the file, as far as it is one of compose's.
func read(file File) (*yaml.Node, error) {
	if len(bytes.TrimSpace(file.Text)) == 0 {
		return nil, finding.Errorf(finding.StatusProfile, "check the path: a compose file has services:", "read %s: the file is empty", file.Shown)
	}
	root, err := profiles.Parse(file.Shown, file.Text)
	if err != nil {
		return nil, err
	}
	_, services := entry(root, "services")
	switch {
	case services == nil && looksLikeVersion1(root):
		return nil, finding.Errorf(finding.StatusProfile, "put its services below services:", "read %s: it is a compose file of version 1, whose services stand at the top", file.Shown)
	case services == nil:
		return nil, finding.Errorf(finding.StatusProfile, "check the path; a profile or a stack of hostrun needs no import", "read %s: it has no services:, so it is no compose file", file.Shown)
	case followed(services).Kind != yaml.MappingNode || len(followed(services).Content) == 0:
		return nil, finding.Errorf(finding.StatusProfile, "write services: {web: {image: NAME}}", "%s:%d: services: expected a mapping with at least one service", file.Shown, services.Line)
	}
	for _, p := range pairs(followed(services)) {
		if body := followed(p.value); body.Kind != yaml.MappingNode {
			return nil, finding.Errorf(finding.StatusProfile, "write at least "+p.key.Value+": {image: NAME}", "%s:%d: services.%s: expected a mapping", file.Shown, p.key.Line, p.key.Value)
		}
	}
	return root, nil
}

func looksLikeVersion1(root *yaml.Node) bool {
	for _, p := range pairs(root) {
		if v := followed(p.value); v.Kind == yaml.MappingNode {
			if _, image := entry(v, "image"); image != nil {
				return true
			}
		}
	}
	return false
}

// A converter rewrites the nodes of one file.
type converter struct {
	file    File
	opt     profiles.Options
	root    *yaml.Node
	env     map[string]string // of the .env beside the file
	all     map[string]string // that, and the caller's over it
	project string
	hosts   map[string]string // networks of the file that are docker's host or none, with the network_mode that is
	fields  []Field

	undescribed map[string]bool // "SERVICE networks.NAME" that undefined has told of
	emptied     map[string]bool // variables that were given an empty default here
	supposedly  map[string]bool // of them and of those without any: whose values were made up for reading the stack

	lines   map[string]string  // of the compose file, by those of the stack that was read last
	foot    string             // comments behind everything
	bare    bool               // the stack has no comments, as it would be no YAML with them
	written map[string]written // of each service: what it had before anything was rewritten

	said    map[*yaml.Node]bool // keys and items that have a Field
	visited map[*yaml.Node]bool // mappings that were rewritten: several services may merge one
}

// say notes what became of the key or item at node.
func (c *converter) say(node *yaml.Node, service, key string, outcome Outcome, format string, args ...any) {
	c.said[node] = true
	c.fields = append(c.fields, Field{Service: service, Key: key, Line: node.Line, Outcome: outcome, Note: fmt.Sprintf(format, args...)})
}

// projectVariable is the project's name for compose, which sets it where nobody else does (compose-spec, 04-version-and-name.md).
const projectVariable = "COMPOSE_PROJECT_NAME"

// projectName is compose's: the variable, else name:, else the directory's, in small letters, digits, - and _.
func (c *converter) projectName() string {
	name := filepath.Base(filepath.Dir(c.file.Path))
	if _, v := entry(c.root, "name"); v != nil {
		if text, err := profiles.Interpolate(v.Value, c.all); err == nil && text != "" {
			name = text
		}
	}
	if said := c.all[projectVariable]; said != "" {
		name = said
	}
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, strings.ToLower(name))
	if name = strings.TrimLeft(name, "-_"); name == "" {
		name = "stack"
	}
	if k, v := entry(c.root, "name"); v != nil && v.Value != "" && v.Value != name && !strings.Contains(v.Value, "$") && c.all[projectVariable] == "" {
		v.SetString(name)
		c.say(k, "", "name", Changed, "%s: so compose writes it", name)
	}
	return name
}

// carried notes the keys of which nothing has been said.
func (c *converter) carried() {
	_, services := entry(c.root, profilesKey)
	for _, p := range pairs(c.root) {
		if p.key.Line == 0 || p.value == services || c.said[p.key] {
			continue
		}
		c.say(p.key, "", p.key.Value, Carried, "")
	}
	for _, s := range c.services() {
		for _, p := range pairs(s.body) {
			if p.key.Line == 0 || c.said[p.key] || c.partly(p.value) { // what has no line is ours
				continue
			}
			c.say(p.key, s.name, p.key.Value, Carried, "")
		}
	}
}

// partly reports whether something below node has been told of.
func (c *converter) partly(node *yaml.Node) bool {
	for _, n := range node.Content {
		if c.said[n] || c.partly(n) {
			return true
		}
	}
	return false
}
