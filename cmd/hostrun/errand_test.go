package main

import (
	"slices"
	"strings"
	"testing"
)

// TestPrivately: an errand's command line names the private engine, whatever it said before, and no word of the container's.
func TestPrivately(t *testing.T) {
	for line, want := range map[string]string{
		"up job":                               "--engine=private up job",
		"--engine auto up job":                 "--engine=private up job",
		"up --engine=auto job":                 "--engine=private up job",
		"run job -- tool --engine x":           "--engine=private run job -- tool --engine x",
		"--address /run/e.sock run job -- -- ": "--address /run/e.sock run job -- --",
	} {
		s := newSession(nil, nil, nil, deps{})
		s.args = strings.Fields(line)
		var err error
		if s.line, err = arrange(newApp(s), s.args); err != nil {
			t.Fatal(err)
		}
		if got := s.privately(); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
