package profiles

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
	"github.com/compose-spec/compose-go/v2/template"

	"hostrun.dev/hostrun/finding"
)

// FuzzLoad: whatever a file holds, Load gives a profile or an *InvalidError that a person can act on.
func FuzzLoad(f *testing.F) {
	for _, dir := range []string{"good", "bad"} {
		files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
		if err != nil || len(files) == 0 {
			f.Fatal("no seeds: ", err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		// What the file may name on the machine is not under test.
		if strings.Contains(string(text), "/proc") || strings.Contains(string(text), "/sys") {
			return
		}
		file := filepath.Join(dir, "fuzzed.yaml")
		must(t, os.WriteFile(file, text, 0o644))
		p, err := Load(Options{Cwd: dir, Env: testEnv}, file)
		if err == nil {
			if (p.Image == "") == (p.Rootfs == "") || p.Lines["image"].Line+p.Lines["rootfs"].Line < 1 {
				t.Errorf("a profile without a root, or with two: %+v", p)
			}
			return
		}
		var invalid *InvalidError
		if !errors.As(err, &invalid) || len(invalid.Problems) == 0 || p != nil {
			t.Fatalf("%T: %v", err, err)
		}
		if s := finding.StatusOf(err); s != finding.StatusProfile && s != finding.StatusNoPath && s != finding.StatusPermission {
			t.Errorf("status %d: %v", s, err)
		}
		checkProblems(t, invalid)
	})
}

// FuzzInterpolate compares with compose's own substitution wherever that one gives an answer without guessing: it
// takes missing variables for empty ones, so every variable has a value here.
func FuzzInterpolate(f *testing.F) {
	for _, s := range []string{"a", "$A", "${A}", "${A:-x}", "${B-x}", "${B:-x}", "${A:+y}", "${B:+y}", "${B+y}", "${A:?no}", "$$A", "$${A}", "${A:-${B:-c}}", "x${A}y${B}z", "${A}}", "${", "$", "$1", "${A:-a:-b}", "${A-b}c${B+d}", "${B:-{x}}", "${A:+${A}$$}"} {
		f.Add(s)
	}
	values := map[string]string{"A": "1", "B": ""}
	f.Fuzz(func(t *testing.T, s string) {
		all := true
		find := func(name string) (string, bool) {
			v, ok := values[name]
			all = all && ok
			return v, ok
		}
		got, err := interpolate(s, find)
		if err != nil || !all || !simple(s) {
			return
		}
		want, composeErr := template.Substitute(s, find)
		if composeErr == nil && want != got {
			t.Errorf("%q: got %q, compose %q", s, got, want)
		}
	})
}

// simple keeps text out that compose's regular expressions read in ways that its specification does not describe:
// variables beside other braces, several operators, and line breaks.
func simple(s string) bool {
	return !strings.ContainsAny(s, "\n\r") && strings.Count(s, "{") <= 1 && strings.Count(s, "}") <= 1 &&
		strings.Count(s, "$") <= 2 && !strings.Contains(s, "{$") && !strings.Contains(s, "$$") && countOperators(s) <= 1
}

func countOperators(s string) int {
	return strings.Count(s, "-") + strings.Count(s, "+") + strings.Count(s, "?")
}

// FuzzDotenv compares with compose's own reader of env files where both take the text.
func FuzzDotenv(f *testing.F) {
	for _, name := range []string{"one.env", "two.env", "derived.env", ".env"} {
		text, err := os.ReadFile(filepath.Join("testdata/good", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	for _, s := range []string{"A=1", "A = 1 ", "export A=1", "A: 1", "A='x\ny'", "A=\"x\\ny\"", "A=x # c", "A=#c", "A=", "A", "A='a' # c", "# c\n\nA=1", "A=\"\\$B\"", "A=\"a\\\\b\"", "A='it\\'s'", "A=a=b", "A=${B:-x}", "\uFEFFA=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		find := func(string) (string, bool) { return "", false }
		r := &report{}
		parser := dotenvParser{file: "f", find: find, report: r}
		got := map[string]string{}
		for _, e := range parser.parse(text) {
			got[e.name] = e.value
		}
		if len(r.problems) > 0 || !plainDotenv(text) {
			return
		}
		want, err := dotenv.ParseWithLookup(strings.NewReader(text), find)
		if err != nil {
			return
		}
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%q: %s is %q, compose %q", text, name, got[name], value)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%q: got %q, compose %q", text, got, want)
		}
	})
}

// plainDotenv keeps text out for which compose differs on purpose or by accident: bare names, white space other than
// blanks, escapes next to each other, variables.
func plainDotenv(text string) bool {
	for _, r := range text {
		if r > '~' || r < ' ' && r != '\n' {
			return false
		}
	}
	for _, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' && !strings.ContainsAny(line, "=:") {
			return false
		}
	}
	return strings.Count(text, "$") == 0 && strings.Count(text, "\\") <= 1
}
