package finding

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"testing"
)

// TestEveryIDHasItsStory reads the constants from the source: an id without an entry would exit with 1 and explain nothing.
func TestEveryIDHasItsStory(t *testing.T) {
	source, err := os.ReadFile("catalog.go")
	if err != nil {
		t.Fatal(err)
	}
	ids := regexp.MustCompile(`= "(HR\d{3})"`).FindAllStringSubmatch(string(source), -1)
	if len(ids) < 30 || len(ids) != len(catalog) {
		t.Errorf("%d ids in the source, %d stories", len(ids), len(catalog))
	}
	seen := map[string]bool{}
	for _, m := range ids {
		e := Explain(m[1])
		if seen[m[1]] || e.Title == "" || e.Story == "" || e.ExitStatus < StatusProfile {
			t.Errorf("%s: twice (%v), or incomplete: %+v", m[1], seen[m[1]], e)
		}
		seen[m[1]] = true
	}
	if e := Explain("HR999"); e.ExitStatus != StatusFailed || e.Story != "" {
		t.Errorf("an unknown id: %+v", e)
	}
}

func TestStatusAndHint(t *testing.T) {
	err := fmt.Errorf("outer: %w", Errorf(StatusNoPath, "do this\nor that", "mount %s: %w", "/data", os.ErrNotExist))
	if got := StatusOf(err); got != StatusNoPath {
		t.Errorf("StatusOf = %d", got)
	}
	if got := HintOf(err); len(got) != 2 || got[1] != "or that" {
		t.Errorf("HintOf = %q", got)
	}
	if !errors.Is(err, os.ErrNotExist) || err.Error() != "outer: mount /data: file does not exist" {
		t.Errorf("error %q does not wrap its cause", err)
	}
	if StatusOf(nil) != 0 || StatusOf(os.ErrClosed) != StatusFailed || HintOf(os.ErrClosed) != nil {
		t.Error("an error without a class")
	}
	all := []Finding{{ID: ShadowedPackage, Severity: Warning}, {ID: DeviceMissing, Severity: Error}, {ID: PythonVersion, Severity: Error}}
	if got := ExitStatus(all); got != StatusNoDevice || len(Errors(all)) != 2 || ExitStatus(all[:1]) != 0 {
		t.Errorf("ExitStatus = %d, Errors = %v", got, Errors(all))
	}
}
