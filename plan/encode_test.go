package plan

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestEncodeSpec: the quicker encoding is encoding/json's of the whole type, also once the specification has a new field.
func TestEncodeSpec(t *testing.T) {
	foreign := map[string]bool{"Solaris": true, "Windows": true, "VM": true, "ZOS": true, "FreeBSD": true}
	var full specs.Spec
	fill(reflect.ValueOf(&full).Elem(), 0)
	for _, s := range []*specs.Spec{nil, {}, {Version: "1.0.2", Windows: &specs.Windows{}}, &full, linuxOnly(full)} {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := EncodeSpec(s)
		if err != nil || string(got) != string(want) {
			t.Errorf("%v: got  %.300s\nwant %.300s", err, got, want)
		}
	}
	ours, theirs := reflect.TypeFor[linuxSpec](), reflect.TypeFor[specs.Spec]()
	n := 0
	for f := range fields(theirs) {
		if foreign[f.Name] {
			continue
		}
		if g := ours.Field(n); g.Name != f.Name || g.Type != f.Type || g.Tag.Get("json") != f.Tag.Get("json") {
			t.Errorf("field %d is %s %s, and %s %s in specs.Spec", n, g.Name, g.Type, f.Name, f.Type)
		}
		n++
	}
	if n != ours.NumField() {
		t.Errorf("%d fields, and %d in specs.Spec", ours.NumField(), n)
	}
}

func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

func linuxOnly(s specs.Spec) *specs.Spec {
	s.Solaris, s.Windows, s.VM, s.ZOS, s.FreeBSD = nil, nil, nil, nil, nil
	return &s
}

// fill gives every field a value.
func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth+1)
	case reflect.Struct:
		for i := range v.NumField() {
			if depth < 8 {
				fill(v.Field(i), depth+1)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), depth+1)
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, depth+1)
		fill(value, depth+1)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(strings.Repeat("<&>é", 2))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(7)
	}
}
