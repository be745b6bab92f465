package profiles

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

func schema(t *testing.T) map[string]any {
	t.Helper()
	var s map[string]any
	must(t, json.Unmarshal(Schema(), &s))
	return s
}

// Every key that the decoder reads, or refuses by name, is in the schema, and no other.
func TestSchemaHasEveryKey(t *testing.T) {
	properties := schema(t)["properties"].(map[string]any)
	want := map[string]bool{"<<": true}
	for _, f := range profileFields() {
		if want[f.name] || notYet[f.name] != "" {
			t.Errorf("%s stands in two tables", f.name)
		}
		if f.about == "" || len(f.schema) == 0 {
			t.Errorf("%s has no description or schema", f.name)
		}
		want[f.name] = true
	}
	for name := range notYet {
		want[name] = true
	}
	for name := range want {
		if properties[name] == nil {
			t.Errorf("the schema lacks %s", name)
		}
	}
	if len(properties) != len(want) {
		t.Errorf("the schema has %d keys, the decoder %d", len(properties), len(want))
	}
}

// A key of Profile that no field reads would be a promise without a way to ask for it.
func TestReferenceNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile("../docs/profile.md")
	must(t, err)
	for _, f := range profileFields() {
		if !strings.Contains(string(text), "`"+f.name+"`") {
			t.Errorf("docs/profile.md does not name %s", f.name)
		}
	}
	for name := range notYet {
		if !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("docs/profile.md does not name %s", name)
		}
	}
}

func TestSchemaTakesGoodProfiles(t *testing.T) {
	s := schema(t)
	ours, err := filepath.Glob("builtin/*.yaml")
	must(t, err)
	for _, file := range append(profilesOf(t, "good"), ours...) {
		if err := validate(s, document(t, file)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// The schema refuses what it can see without variables, files and merged bases.
func TestSchemaRefuses(t *testing.T) {
	s := schema(t)
	for _, name := range []string{"unknown_key", "wrong_type_image", "wrong_type_list", "not_yet", "no_image", "command_type", "volume_long", "ulimits", "python_mapping", "ipc", "network_mode", "env_file_form", "compose_file"} {
		if err := validate(s, document(t, filepath.Join("testdata/bad", name+".yaml"))); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// document reads a profile as an editor does: merge keys resolved, variables as they stand.
func document(t *testing.T, file string) any {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	var v any
	must(t, yaml.Unmarshal(text, &v))
	b, err := json.Marshal(v)
	must(t, err)
	must(t, json.Unmarshal(b, &v))
	return v
}

// validate checks v by the keywords of draft 2020-12 that Schema uses; a keyword that it does not know is an error, so
// that none goes unchecked.
func validate(s map[string]any, v any) error {
	for keyword, want := range s {
		if err := keywordError(s, keyword, want, v); err != nil {
			return fmt.Errorf("%s: %w", keyword, err)
		}
	}
	return nil
}

func keywordError(s map[string]any, keyword string, want, v any) error {
	object, isObject := v.(map[string]any)
	array, isArray := v.([]any)
	text, isText := v.(string)
	switch keyword {
	case "$schema", "title", "description", "patternProperties":
	case "type":
		return typeError(want, v)
	case "not":
		if validate(want.(map[string]any), v) == nil {
			return fmt.Errorf("%v is not allowed", v)
		}
	case "enum":
		for _, w := range want.([]any) {
			if reflect.DeepEqual(w, v) {
				return nil
			}
		}
		return fmt.Errorf("%v is none of %v", v, want)
	case "oneOf", "anyOf":
		return someError(keyword, want.([]any), v)
	case "pattern":
		if isText && !regexp.MustCompile(want.(string)).MatchString(text) {
			return fmt.Errorf("%q does not match", text)
		}
	case "minLength":
		if isText && float64(len(text)) < want.(float64) {
			return fmt.Errorf("%q is too short", text)
		}
	case "items":
		for i := 0; isArray && i < len(array); i++ {
			if err := validate(want.(map[string]any), array[i]); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
	case "required":
		for _, name := range want.([]any) {
			if _, ok := object[name.(string)]; isObject && !ok {
				return fmt.Errorf("%s is missing", name)
			}
		}
	case "propertyNames", "properties", "additionalProperties":
		return propertiesError(s, keyword, want, object)
	default:
		return fmt.Errorf("the test does not know this keyword")
	}
	return nil
}

func someError(keyword string, schemas []any, v any) error {
	n := 0
	var last error
	for _, one := range schemas {
		if err := validate(one.(map[string]any), v); err != nil {
			last = err
		} else {
			n++
		}
	}
	if n == 0 || keyword == "oneOf" && n > 1 {
		return fmt.Errorf("%v fits %d: %w", v, n, last)
	}
	return nil
}

func propertiesError(s map[string]any, keyword string, want any, object map[string]any) error {
	properties, _ := s["properties"].(map[string]any)
	patterns, _ := s["patternProperties"].(map[string]any)
	for name, value := range object {
		own, known := properties[name].(map[string]any)
		for pattern := range patterns {
			known = known || regexp.MustCompile(pattern).MatchString(name)
		}
		var err error
		switch {
		case keyword == "propertyNames":
			err = validate(want.(map[string]any), name)
		case keyword == "properties" && own != nil:
			err = validate(own, value)
		case keyword == "additionalProperties" && !known && want == false:
			err = fmt.Errorf("unknown")
		case keyword == "additionalProperties" && !known:
			err = validate(want.(map[string]any), value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func typeError(want, v any) error {
	types, ok := want.([]any)
	if !ok {
		types = []any{want}
	}
	is := map[string]bool{"null": v == nil}
	switch x := v.(type) {
	case string:
		is["string"] = true
	case bool:
		is["boolean"] = true
	case float64:
		is["number"], is["integer"] = true, x == math.Trunc(x)
	case []any:
		is["array"] = true
	case map[string]any:
		is["object"] = true
	}
	for _, name := range types {
		if is[name.(string)] {
			return nil
		}
	}
	return fmt.Errorf("%v is no %v", v, want)
}
