package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/profiles"
)

// placeOnly are fields of a profile that say where something stands.
var placeOnly = []string{"dir", "lines", "seccomp_profile"}

// present is the value of an element that is nothing but its name: a network without options.
const present = "yes"

// profileChanges says which keys are otherwise in b, with b's lines.
func profileChanges(a, b profiles.Profile, lines map[string]profiles.Position) []Change {
	left, right := flatProfile(a), flatProfile(b)
	var all []Change
	for _, k := range bothKeys(left.values, right.values) {
		was, is := value(left.values, k), value(right.values, k)
		if was == is || slices.Contains(placeOnly, k) || isPresence(was, is) && (left.more[k] || right.more[k]) {
			continue
		}
		was, is = readable(k, was), readable(k, is)
		all = append(all, profileChange(k, was, is, fmt.Sprintf("%s -> %s", shorten(was), shorten(is)), right, lines))
	}
	for _, k := range bothKeys(left.orders, right.orders) {
		if was, is := left.orders[k], right.orders[k]; was != is && left.values[k] == "" && sameWords(was, is) {
			all = append(all, profileChange(k, listed(was), listed(is), "in another order", right, lines))
		}
	}
	return all
}

func profileChange(key, was, is, words string, now flat, lines map[string]profiles.Position) Change {
	c := Change{What: "profile", Field: key, Was: was, Is: is, Text: "the profile's " + key + ": " + words}
	if at, ok := lineOf(now.place(key), lines); ok {
		c.Where = at
		c.Text += " (" + at + ")"
	}
	return c
}

func isPresence(was, is string) bool { return was == present || is == present }

// A flat is a profile as names and values.
type flat struct {
	values map[string]string
	places map[string]string // of elements, as Profile.Lines has them: "volumes[/data]" -> "volumes[2]"
	more   map[string]bool   // elements that have fields
	orders map[string]string // of lists whose elements have names: the names
}

func flatProfile(p profiles.Profile) flat {
	p.Lines = nil
	f := flat{values: map[string]string{}, places: map[string]string{}, more: map[string]bool{}, orders: map[string]string{}}
	tree, _ := generic(p).(map[string]any)
	for at, v := range tree {
		switch v := v.(type) {
		case []any:
			f.orders[at] = strings.Join(placeless(at, v), "\x00")
		case map[string]any: // replicas, blkio_config
			for below, inner := range v {
				if list, ok := inner.([]any); ok {
					placeless(at+"."+below, list)
				}
			}
		}
	}
	if replicas, ok := tree["replicas"].(map[string]any); ok {
		delete(replicas, "key")
	}
	flatten(f.values, "", tree)
	for k, v := range f.values {
		if element, ok := strings.CutSuffix(k, ".key"); ok && strings.HasSuffix(element, "]") {
			f.places[element] = v
			delete(f.values, k)
		}
	}
	for element := range f.places {
		for k := range f.values {
			f.more[element] = f.more[element] || strings.HasPrefix(k, element+".")
		}
		f.values[element] = present
	}
	return f
}

// placeless are the names of a list's elements. Elements without names lose what says where they stand.
func placeless(at string, list []any) (names []string) {
	for _, e := range list {
		if name, ok := nameOf(at, e); ok {
			names = append(names, name)
		} else if fields, ok := e.(map[string]any); ok {
			delete(fields, "key")
		}
	}
	return names
}

// place is the key as Profile.Lines may have it: elements of a list are counted there.
func (f flat) place(key string) string {
	if i := strings.LastIndexByte(key, ']') + 1; i > 0 {
		if place, ok := f.places[key[:i]]; ok {
			return place + key[i:]
		}
	}
	return key
}

// sameWords says whether two texts are of the same names.
func sameWords(a, b string) bool {
	x, y := strings.Split(a, "\x00"), strings.Split(b, "\x00")
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

func listed(names string) string { return "[" + strings.ReplaceAll(names, "\x00", " ") + "]" }

// readable writes what JSON has as a number or an object as the profile says it.
func readable(field, text string) string {
	if field == "ports" {
		return readablePorts(text)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch last := field[strings.LastIndexByte(field, '.')+1:]; {
	case err != nil:
	case slices.Contains([]string{"stop_grace_period", "interval", "timeout", "start_period", "start_interval"}, last):
		return profiles.Span(n)
	case last == "umask", last == "mode", last == "tmpfs_mode":
		return fmt.Sprintf("%#04o", n)
	}
	return text
}

// readablePorts are ports in compose's short form.
func readablePorts(text string) string {
	var ports []profiles.Port
	if json.Unmarshal([]byte(text), &ports) != nil {
		return text
	}
	words := make([]string, len(ports))
	for i, p := range ports {
		words[i] = p.Short()
	}
	return "[" + strings.Join(words, " ") + "]"
}

// lineOf is where the key stands, or what it is below: "environment[A].value" is in Lines as "environment.A".
func lineOf(key string, lines map[string]profiles.Position) (string, bool) {
	for key != "" {
		for _, k := range []string{key, strings.ReplaceAll(strings.ReplaceAll(key, "[", "."), "]", "")} {
			if at, ok := lines[k]; ok && at.Line > 0 {
				return fmt.Sprintf("%s:%d", at.File, at.Line), true
			}
		}
		key = key[:max(strings.LastIndexAny(key, ".["), 0)]
	}
	return "", false
}

// unordered are lists whose order makes no other container: a variable is what its name says, and mounts lie by their depth.
var unordered = []string{"environment", "volumes", "depends_on"}

// OnlyReordered says whether the profile and the image of m are those of was, but for the order of lists whose order does not matter.
func (m Made) OnlyReordered(was Made) bool {
	a, b := flatProfile(was.Profile), flatProfile(m.Profile)
	for _, k := range unordered {
		delete(a.orders, k)
		delete(b.orders, k)
	}
	return m.Reference == was.Reference && m.Digest == was.Digest && maps.Equal(a.values, b.values) && maps.Equal(a.orders, b.orders)
}
