package main

import (
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A meantDifference is one that hostrun has on purpose: docs/import.md and docs/profile.md tell of it.
type meantDifference struct {
	field  string
	reason string
	is     func(c *comparison, d difference, theirs view) bool // theirs is all of the service
}

var meant = []meantDifference{
	{importField, "a stack has a profile; there is nothing to start", func(_ *comparison, d difference, _ view) bool { return d.theirs == 0 }},
	{refusedField, "a variable that is not set is empty, as the report says of it; what comes of that is refused when it is started", func(_ *comparison, d difference, _ view) bool {
		r, _ := d.ours.(refusal)
		return r.Variables
	}},
	{"profiles", "what COMPOSE_PROFILES of .env names is started with the others; so is a profile without a name", func(c *comparison, d difference, _ view) bool {
		names, _ := d.theirs.([]string)
		return d.ours == nil && slices.ContainsFunc(names, func(name string) bool { return slices.Contains(c.started, name) })
	}},
	{"scale", "one container that has a name is not counted", func(_ *comparison, d difference, theirs view) bool {
		return d.theirs == "1" && d.ours == nil && theirs["~container_name"] != ""
	}},
	{"restart", "docker takes 0 attempts as any number", func(_ *comparison, d difference, _ view) bool {
		return d.theirs == "on-failure:0" && d.ours == "on-failure"
	}},
	{"runtime", "hostrun gives the devices itself", func(_ *comparison, d difference, _ view) bool { return d.theirs == "nvidia" && d.ours == nil }},
	{"gpus", "likewise", func(_ *comparison, d difference, theirs view) bool {
		return d.theirs == nil && theirs["runtime"] == "nvidia"
	}},
	{"environment", "likewise: the variable is for that runtime", func(_ *comparison, d difference, theirs view) bool {
		variables, _ := d.theirs.(map[string]string)
		variables = maps.Clone(variables)
		delete(variables, "NVIDIA_VISIBLE_DEVICES")
		ours, _ := d.ours.(map[string]string)
		return theirs["runtime"] == "nvidia" && maps.Equal(variables, ours)
	}},
	{"devices", "rw by default, not rwm: with m a job could make nodes of devices that it was not given", func(_ *comparison, d difference, _ view) bool {
		ours, _ := d.ours.([]device)
		ours = slices.Clone(ours)
		for i := range ours {
			ours[i].Permissions = cmp.Or(ours[i].Permissions, "rwm")
		}
		return same(d.theirs, ours)
	}},
	{"shm_size", "docker ignores it beside ipc: host", func(_ *comparison, d difference, theirs view) bool { return d.ours == nil && theirs["ipc"] == "host" }},
	{"security_opt.apparmor", "a container has no profile of AppArmor's by default", func(_ *comparison, d difference, _ view) bool { return d.theirs == "unconfined" && d.ours == nil }},
	{"security_opt.label", "a container has no label by default", func(_ *comparison, d difference, _ view) bool { return d.theirs == "disable" && d.ours == nil }},
	{"volumes", "two slashes at the beginning of a path are one", func(_ *comparison, d difference, _ view) bool {
		theirs, _ := d.theirs.([]mount)
		theirs = slices.Clone(theirs)
		for i := range theirs {
			if rest, ok := strings.CutPrefix(theirs[i].Source, "//"); ok {
				theirs[i].Source = "/" + rest
			}
		}
		return same(sorted(theirs), d.ours)
	}},
}

// isMeant reports whether the table has the difference.
func (c *comparison) isMeant(d difference, theirs view) bool {
	return slices.ContainsFunc(meant, func(m meantDifference) bool { return m.field == d.field && m.is(c, d, theirs) })
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
	if r, ok := v.(refusal); ok {
		v = r.Why
	}
	if v == nil {
		return "-"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
