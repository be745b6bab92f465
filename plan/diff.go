package plan

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// maxValue is the most of one side of a difference that is shown, in bytes.
const maxValue = 160

// Diff says in which fields two specs differ, one line each, sorted: "process.args: [a] -> [b]", "mounts[/data].source: /a -> /b",
// "process.env[A]: (none) -> 1". A field that is absent on one side is "(none)" there.
func Diff(a, b *specs.Spec) []string {
	left, right := map[string]string{}, map[string]string{}
	flatten(left, "", generic(a))
	flatten(right, "", generic(b))
	both := map[string]bool{}
	for k := range left {
		both[k] = true
	}
	for k := range right {
		both[k] = true
	}
	var lines []string
	for k := range both {
		if l, r := value(left, k), value(right, k); l != r {
			l, r = apart(l, r)
			lines = append(lines, k+": "+shorten(l)+" -> "+shorten(r))
		}
	}
	sort.Strings(lines)
	return lines
}

// apart leaves out of two lists of words that are too long to be shown what both have: "[... CAP_MKNOD] -> [...]".
func apart(l, r string) (string, string) {
	left, lok := strings.CutPrefix(l, "[")
	right, rok := strings.CutPrefix(r, "[")
	if max(len(l), len(r)) <= maxValue || !lok || !rok || strings.ContainsAny(l+r, "{\"") {
		return l, r
	}
	a, b := strings.Fields(strings.TrimSuffix(left, "]")), strings.Fields(strings.TrimSuffix(right, "]"))
	only := func(these, those []string) string {
		words := []string{"..."}
		for _, w := range these {
			if !slices.Contains(those, w) {
				words = append(words, w)
			}
		}
		return "[" + strings.Join(words, " ") + "]"
	}
	if x, y := only(a, b), only(b, a); x != y {
		return x, y
	}
	return l, r // another order
}

func value(m map[string]string, k string) string {
	if v, ok := m[k]; ok {
		return v
	}
	return "(none)"
}

func shorten(s string) string {
	if len(s) <= maxValue {
		return s
	}
	return strings.ToValidUTF8(s[:maxValue], "") + "..."
}

// generic is a value as JSON sees it.
func generic(s any) any {
	text, err := json.Marshal(s)
	if err != nil {
		return nil
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil {
		return nil
	}
	return v
}

// flatten gives every leaf a name. Lists whose elements have a name of their own are named by it, so that one more in
// front does not make all of them differ.
func flatten(out map[string]string, at string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			flatten(out, strings.TrimPrefix(at+"."+k, "."), e)
		}
	case []any:
		flattenList(out, at, v)
	case nil:
	default:
		out[at] = fmt.Sprint(v)
	}
}

func flattenList(out map[string]string, at string, list []any) {
	if at == "process.env" {
		for _, e := range list {
			name, val, _ := strings.Cut(fmt.Sprint(e), "=")
			out[at+"["+name+"]"] = val
		}
		return
	}
	keys := map[string]bool{}
	for _, e := range list {
		k, ok := nameOf(at, e)
		if !ok || keys[k] {
			out[at] = leaf(list)
			return
		}
		keys[k] = true
	}
	for _, e := range list {
		k, _ := nameOf(at, e)
		rest := without(e, elementNames[at])
		if len(rest) == 0 { // a namespace is only its type
			out[at+"["+k+"]"] = "yes"
		}
		flatten(out, at+"["+k+"]", rest)
	}
}

// elementNames are the fields that name the elements of a list.
var elementNames = map[string]string{
	"mounts": "destination", "linux.devices": "path", "linux.namespaces": "type", "process.rlimits": "type",
	"environment": "name", "volumes": "target", "devices": "target", "networks": "name", "depends_on": "name", "secrets": "name", "configs": "name", "extra_hosts": "name", // of a profile
}

func nameOf(at string, e any) (string, bool) {
	m, ok := e.(map[string]any)
	if !ok || elementNames[at] == "" {
		return "", false
	}
	name, ok := m[elementNames[at]].(string)
	return name, ok
}

func without(e any, field string) map[string]any {
	rest := map[string]any{}
	fields, _ := e.(map[string]any)
	for k, v := range fields {
		if k != field {
			rest[k] = v
		}
	}
	return rest
}

// leaf writes a list of plain values as Go does, others as JSON.
func leaf(list []any) string {
	for _, e := range list {
		switch e.(type) {
		case map[string]any, []any:
			text, err := json.Marshal(list)
			if err != nil {
				return fmt.Sprint(list)
			}
			return string(text)
		}
	}
	return fmt.Sprint(list)
}
