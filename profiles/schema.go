package profiles

import (
	"encoding/json"
)

// schemaOf makes the schema of a mapping from the table that reads it.
func schemaOf[T any](fields []field[T]) object {
	properties := object{}
	var required []string
	for _, f := range fields {
		property := object{"description": f.about}
		for k, v := range f.schema {
			property[k] = v
		}
		property["description"] = f.about
		properties[f.name] = property
		if f.must {
			required = append(required, f.name)
		}
	}
	o := object{"type": "object", "properties": properties, "patternProperties": object{"^x-": object{}}, "additionalProperties": false}
	if required != nil {
		o["required"] = required
	}
	return o
}

// Schema returns the JSON Schema (draft 2020-12) of a profile, for editors.
func Schema() []byte {
	s := schemaOf(profileFields())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "hostrun profile"
	s["anyOf"] = []object{{"required": []string{"image"}}, {"required": []string{"build"}}, {"required": []string{"rootfs"}}, {"required": []string{"extends"}}, {"required": []string{"<<"}}}
	properties := s["properties"].(object)
	properties["<<"] = object{"description": "YAML's merge key"}
	for name := range notYet {
		properties[name] = object{"not": object{}, "description": "a key of compose that hostrun does not act on yet"}
	}
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil { // the table holds nothing that JSON can't
		panic("profiles: the table of keys is no JSON: " + err.Error())
	}
	return append(b, '\n')
}
