package main

import (
	"bytes"
	"testing"

	"hostrun.dev/hostrun/finding"
)

// TestTemplateNamesWhatARowLeavesOut: {{.stopped_by}} was an error for the first row that nobody had stopped.
func TestTemplateNamesWhatARowLeavesOut(t *testing.T) {
	type inner struct {
		Deep string `json:"deep,omitempty"`
	}
	type row struct {
		Name  string   `json:"name"`
		By    string   `json:"by,omitempty"`
		At    *int     `json:"at,omitempty"`
		Many  []string `json:"many,omitempty"`
		Count int      `json:"count,omitempty"`
		inner
		Unseen string `json:"-"`
	}
	five := 5
	rows := []row{{Name: "a"}, {Name: "b", By: "user", At: &five, Many: []string{"x", "y"}, Count: 2, inner: inner{"d"}}}
	var out bytes.Buffer
	if err := writeTemplate(&out, `{{.name}} {{.by}}|{{.at}}|{{join .many ","}}|{{.count}}|{{.deep}}`, rows); err != nil {
		t.Fatal(err)
	}
	if want := "a ||" + "|0|\nb user|5|x,y|2|d\n"; out.String() != want {
		t.Errorf("%q, want %q", &out, want)
	}
	if err := writeTemplate(&out, "{{.nothing}}", rows); finding.StatusOf(err) != finding.StatusUsage {
		t.Errorf("a field that there is not: %v", err)
	}
}
