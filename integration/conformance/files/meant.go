package main

import (
	"cmp"
	"encoding/json"
	"reflect"
)

// A meant difference is one that hostrun has on purpose (docs/import.md, docs/profile.md).
type meantDifference struct {
	field  string
	reason string
	is     func(theirs, ours any, s, p view) bool
}

var meant = []meantDifference{
	{"devices", "rw by default, not rwm: with m a job could make nodes of devices that it was not given", func(theirs, ours any, _, _ view) bool {
		a, _ := theirs.([]device)
		b, _ := ours.([]device)
		for i := range b {
			b[i].Permissions = cmp.Or(b[i].Permissions, "rwm")
		}
		return same(a, b)
	}},
	{"shm_size", "ignored beside ipc: host", func(_, ours any, s, _ view) bool { return ours == nil && s["ipc"] == "host" }},
	{"ports", "ignored on the machine's own network", func(_, ours any, s, _ view) bool { return ours == nil && s["network_mode"] == "host" }},
}

// isMeant reports whether the table has the difference.
func isMeant(field string, theirs, ours any, s, p view) bool {
	for _, m := range meant {
		if m.field == field && m.is(theirs, ours, s, p) {
			return true
		}
	}
	return false
}

// alsoOf are the fields that a key decides upon beside that of its own name.
var alsoOf = map[string][]string{
	"deploy":     {"mem_limit", "mem_reservation", "cpus", "pids_limit", "scale", "restart", "gpus"},
	"env_file":   {"environment"},
	"label_file": {"labels"},
	"networks":   {"network_mode"},
	"tmpfs":      {"volumes"},
}

// shortened are two values as text, without what both have.
func shortened(theirs, ours any) (a, b string) {
	x, y := reflect.ValueOf(theirs), reflect.ValueOf(ours)
	if x.IsValid() && y.IsValid() && x.Type() == y.Type() {
		switch x.Kind() {
		case reflect.Map:
			theirs, ours = withoutKeys(x, y), withoutKeys(y, x)
		case reflect.Slice:
			if l, m := withoutItems(x, y), withoutItems(y, x); l.Len()+m.Len() > 0 {
				theirs, ours = l.Interface(), m.Interface()
			}
		}
	}
	return text(theirs), text(ours)
}

func withoutKeys(m, other reflect.Value) any {
	rest := reflect.MakeMap(m.Type())
	for _, k := range m.MapKeys() {
		if o := other.MapIndex(k); !o.IsValid() || !same(m.MapIndex(k).Interface(), o.Interface()) {
			rest.SetMapIndex(k, m.MapIndex(k))
		}
	}
	return rest.Interface()
}

func withoutItems(list, other reflect.Value) reflect.Value {
	rest := reflect.MakeSlice(list.Type(), 0, list.Len())
next:
	for i := range list.Len() {
		for j := range other.Len() {
			if same(list.Index(i).Interface(), other.Index(j).Interface()) {
				continue next
			}
		}
		rest = reflect.Append(rest, list.Index(i))
	}
	return rest
}

func text(v any) string {
	if v == nil {
		return "-"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
