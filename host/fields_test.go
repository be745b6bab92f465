package host

import (
	"reflect"
	"strings"
)

// jsonFields lists every field of Facts by its path in the JSON: python.sites[].path.
func jsonFields() map[string]bool {
	all := map[string]bool{}
	addFields(all, reflect.TypeFor[Facts](), "")
	return all
}

func addFields(all map[string]bool, t reflect.Type, prefix string) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && tag == "" {
			addFields(all, f.Type, prefix)
			continue
		}
		name := prefix + tag
		of := f.Type
		for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
			if of.Kind() == reflect.Slice {
				name += "[]"
			}
			of = of.Elem()
		}
		all[name] = true
		if of.Kind() == reflect.Struct {
			addFields(all, of, name+".")
		}
	}
}
