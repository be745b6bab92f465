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
func Schema() []byte { return schemaText(profileSchema(), "hostrun profile") }

// StackSchema returns that of a file with several profiles.
func StackSchema() []byte {
	return schemaText(object{"type": "object", "additionalProperties": false, "required": []string{"profiles"}, "patternProperties": object{"^x-": object{}}, "properties": object{
		"name":     object{"type": "string", "description": "the stack's name, for people"},
		"networks": object{"type": []string{"object", "null"}, "description": "how networks are to be", "additionalProperties": object{"oneOf": []object{{"type": "null"}, schemaOf(sharedNetworkFields())}}},
		"volumes":  object{"type": []string{"object", "null"}, "description": "named volumes", "additionalProperties": object{"oneOf": []object{{"type": "null"}, schemaOf(sharedVolumeFields)}}},
		"profiles": object{"type": "object", "description": "profiles by their names", "additionalProperties": profileSchema()},
	}}, "hostrun stack")
}

func schemaText(s object, title string) []byte {
	s["$schema"], s["title"] = "https://json-schema.org/draft/2020-12/schema", title
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil { // the table holds nothing that JSON can't
		panic("profiles: the table of keys is no JSON: " + err.Error())
	}
	return append(b, '\n')
}

func profileSchema() object {
	s := schemaOf(profileFields())
	s["anyOf"] = []object{{"required": []string{"image"}}, {"required": []string{"build"}}, {"required": []string{"rootfs"}}, {"required": []string{"extends"}}, {"required": []string{"<<"}}}
	properties := s["properties"].(object)
	properties["<<"] = object{"description": "YAML's merge key"}
	for name := range notYet {
		properties[name] = object{"not": object{}, "description": "a key of compose that hostrun does not act on yet"}
	}
	return s
}
