package main

import (
	"fmt"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/consts"
	"github.com/compose-spec/compose-go/v2/format"
	"github.com/compose-spec/compose-go/v2/interpolation"
	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/tree"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

// The library reads a text only when its variables have their values, and then they are gone. So what it is given in the place of a text
// with variables is a mark, in the form of what the text comes to by now: a path of the file's directory, an entry of a list. It does with
// the mark what it would do with the value; where it has gone through, the text is put back, and what the library has written before
// the mark is the directory of the file that the text is from.

// A kind is what a marked text is.
type kind int

const (
	whole    kind = iota // put back as it was
	aPath                // of the host
	aVolume              // SOURCE, or SOURCE:TARGET[:OPTIONS]: SOURCE is a path only where it begins like one
	aContext             // of a build: a path, or what a builder fetches
)

type mark struct {
	text string
	kind kind
}

// These enclose a mark's number: Unicode has them for private use.
const markBegin, markEnd = "\uE000", "\uE001"

// shortKey is a key of what stands for the short form of an entry.
const shortKey = markBegin

// firstLimit is the number that stands for the first marked text of ulimits, where the library takes numbers alone.
const firstLimit = math.MinInt

// A Note tells what could not be put together for every value of a variable.
type Note struct {
	Key  string `json:"key"`
	Note string `json:"note"`
}

// texts are those of the files while the library has them.
type texts struct {
	known map[string]string // the variables of the caller and of .env, which whoever starts the stack has, too
	find  lookup            // all of the file whose text was read last
	marks []mark
	index map[mark]int
	notes []Note
	told  map[string]*held // by variable
}

// apply has the library ask for what it is to read. An included file has variables of its own, those of the env_file of its entry, or
// of the .env beside it; caller and project go before them (compose-spec, 14-include.md). The one file that is made of all has no place
// for that, so they become defaults.
func (t *texts) apply(o *loader.Options) {
	casts := map[tree.Path]interpolation.Cast{
		"volumes.*.driver_opts.device": t.marked(aPath),
		"configs.*.file":               t.marked(aPath),
		"secrets.*.file":               t.marked(aPath),
	}
	for _, p := range []tree.Path{"include.*", "include.*.path", "include.*.path.*", "include.*.project_directory", "include.*.env_file", "include.*.env_file.*"} {
		casts[p] = t.read
	}
	for _, container := range []tree.Path{"services.*", "jobs.*", "services.*.pre_start.*"} {
		for key, cast := range map[tree.Path]interpolation.Cast{
			"extends": t.read, "extends.file": t.read, "extends.service": t.read,
			"env_file": t.marked(aPath), "env_file.*": t.marked(aPath), "env_file.*.path": t.marked(aPath),
			"label_file": t.marked(aPath), "label_file.*": t.marked(aPath),
			"build": t.marked(aContext), "build.context": t.marked(aContext), "build.additional_contexts.*": t.namedContext,
			"volumes.*": t.short(aVolume, volumeTarget), "volumes.*.source": t.marked(aVolume),
			"devices.*": t.short(whole, deviceTarget), "ports.*": t.short(whole, func(string) string { return "" }),
			"ulimits.*": t.limit, "build.ulimits.*": t.limit,
			"environment.[]": t.passedOn,
		} {
			casts[container+"."+key] = cast
		}
	}
	o.Interpolate = &interpolation.Options{LookupValue: o.Interpolate.LookupValue, TypeCastMapping: casts, Substitute: func(text string, find template.Mapping) (string, error) {
		t.find = lookup(find)
		return withDefaults(text, t.included), nil
	}}
}

// included finds the variables that the file alone knows.
func (t *texts) included(name string) (string, bool) {
	if _, known := t.known[name]; known || name == consts.ComposeProjectName {
		return "", false
	}
	return t.find(name)
}

func (t *texts) outside(name string) (string, bool) {
	value, ok := t.known[name]
	return value, ok
}

// read is the cast of what the library itself has to know.
func (t *texts) read(text string) (any, error) {
	return template.SubstituteWithOptions(text, template.Mapping(t.find), template.WithoutLogging)
}

func (t *texts) mark(text string, k kind) string {
	m := mark{text, k}
	i, ok := t.index[m]
	if !ok {
		if t.index == nil {
			t.index = map[mark]int{}
		}
		i = len(t.marks)
		t.marks, t.index[m] = append(t.marks, m), i
	}
	return markBegin + strconv.Itoa(i) + markEnd
}

func hasVariable(text string) bool {
	_, _, _, ok := cut(text)
	return ok
}

// marked is the cast of a path.
func (t *texts) marked(k kind) interpolation.Cast {
	return func(text string) (any, error) {
		if !hasVariable(text) {
			return text, nil
		}
		return "./" + t.mark(text, k), nil
	}
}

// namedContext is the cast of a path, or of NAME=PATH.
func (t *texts) namedContext(text string) (any, error) {
	name, _, found := strings.Cut(text, "=")
	if before, _, _, _ := cut(text); found && len(name) < len(before) {
		path, err := t.marked(aContext)(text[len(name)+1:])
		return fmt.Sprint(name, "=", path), err
	}
	return t.marked(aContext)(text)
}

// short is the cast of an entry in its short form. A later one of the same target takes its place, where the library knows targets.
func (t *texts) short(k kind, target func(value string) string) interpolation.Cast {
	return func(text string) (any, error) {
		if !hasVariable(text) {
			return text, nil
		}
		at := target(valueOf(text, t.find))
		if at == "" {
			at = text
		}
		return map[string]any{shortKey: true, "type": "bind", "source": "./" + t.mark(text, k), "target": at}, nil
	}
}

func volumeTarget(value string) string {
	v, err := format.ParseVolume(value)
	if err != nil || v.Target == "" {
		return ""
	}
	return path.Clean(v.Target)
}

func deviceTarget(value string) string {
	parts := strings.Split(value, ":")
	return parts[min(1, len(parts)-1)]
}

// limit is the cast of one of ulimits.
func (t *texts) limit(text string) (any, error) {
	if !hasVariable(text) {
		return strconv.Atoi(text)
	}
	t.mark(text, whole)
	return firstLimit + t.index[mark{text, whole}], nil
}

// passedOn is the cast of an entry of a list of environment: one without a value is passed on at the start, if it is known there.
func (t *texts) passedOn(text string) (any, error) {
	if strings.ContainsAny(text, "=$") {
		return text, nil
	}
	if value, ok := t.included(text); ok {
		return text + "=" + escaped(value), nil
	}
	return text + "=" + t.mark(text, whole), nil
}

// modes are the numbers that are written in octal: hostrun reads them so, however they are written.
var modes = []tree.Path{"services.*.volumes.*.tmpfs.mode", "services.*.secrets.*.mode", "services.*.configs.*.mode", "services.*.build.secrets.*.mode", "services.*.umask"}

// putBack is a part of what the library has made, with the texts in the places of their marks.
func (t *texts) putBack(model any, at tree.Path) any {
	switch v := model.(type) {
	case string:
		before, rest, found := strings.Cut(v, markBegin)
		number, _, ended := strings.Cut(rest, markEnd)
		i, err := strconv.Atoi(number)
		if !found || !ended || err != nil || i >= len(t.marks) {
			return v
		}
		return t.moved(t.marks[i], path.Clean(before))
	case int:
		if i := v - firstLimit; v < 0 && i < len(t.marks) {
			return t.marks[i].text
		}
		for _, p := range modes {
			if at.Matches(p) {
				return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: fmt.Sprintf("0%o", v)}
			}
		}
	case map[string]any:
		if v[shortKey] == true {
			return t.putBack(v["source"], at)
		}
		if at.Matches("secrets.*") || at.Matches("configs.*") {
			t.fromVariable(v, at)
		}
		for _, key := range slices.Sorted(maps.Keys(v)) { // so the notes have one order
			v[key] = t.putBack(v[key], at.Next(key))
		}
	case []any:
		for i := range v {
			v[i] = t.putBack(v[i], at.Next(tree.PathMatchList))
		}
	}
	return model
}

// fromVariable takes away what the library has looked up for a secret or config: it is read at the start, and stands in no file.
func (t *texts) fromVariable(data map[string]any, at tree.Path) {
	name, ok := data["environment"].(string)
	if !ok {
		return
	}
	_, secret := data[types.SecretConfigXValue]
	content, config := data["content"].(string)
	delete(data, types.SecretConfigXValue)
	delete(data, "content")
	if _, known := t.known[name]; known {
		return
	}
	if config {
		delete(data, "environment")
		data["content"] = escaped(content)
	}
	if secret {
		t.notes = append(t.notes, Note{string(at), "$" + name + " is in the environment of an included file alone: export it where the stack is started"})
	}
}
