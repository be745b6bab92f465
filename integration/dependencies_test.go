package integration

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// TestDependenciesAreExplained: each module that go.mod requires for itself has a row in docs/dependencies.md, and each
// row a requirement.
func TestDependenciesAreExplained(t *testing.T) {
	required := firsts(t, "../go.mod", `(?m)^\t(\S+) v\S+$`) // "// indirect" follows the others
	required = append(required, "honnef.co/go/tools")        // a tool: its requirement is marked indirect
	explained := firsts(t, "../docs/dependencies.md", `(?m)^\| ((?:[a-z-]+\.)+[a-z]+/\S+) \|`)
	for _, m := range required {
		if !slices.Contains(explained, m) {
			t.Errorf("docs/dependencies.md does not say what %s is for", m)
		}
	}
	for _, m := range explained {
		if !slices.Contains(required, m) {
			t.Errorf("docs/dependencies.md explains %s, which go.mod does not require", m)
		}
	}
}

// firsts returns the first group of each match in a file; none at all is a fault of the pattern.
func firsts(t *testing.T, file, pattern string) []string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(b), -1) {
		found = append(found, m[1])
	}
	if len(found) == 0 {
		t.Fatalf("%s: nothing matches %s", file, pattern)
	}
	return found
}
