package imports

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// parseBriefly is parse as scans use it: of a buffer that changes afterwards.
func parseBriefly(src string, f facts, self string) *unit {
	buf := []byte(src)
	u := parseBytes(buf, f, self)
	for i := range buf {
		buf[i] = '?'
	}
	return u
}

// parseExactly reads every line, as parse does for those that are not dull.
func parseExactly(src string, f facts, self string) *unit {
	p := &parser{lex: newLexer(src), facts: f, self: self, unit: &unit{}}
	p.lex.exact = true
	u := p.parse()
	u.body = consequent(u.body)
	return u
}

// consequent leaves out functions that do not import, and statements that are empty then: to call them changes nothing
// of what is imported.
func consequent(body []statement) []statement {
	var kept []statement
	for _, s := range body {
		some := false
		for i := range s.arms {
			s.arms[i].body = consequent(s.arms[i].body)
			some = some || len(s.arms[i].body) > 0
		}
		if s.arms == nil || some && (s.action != doDefer || mayImport(s.arms[0].body)) {
			kept = append(kept, s)
		}
	}
	return kept
}

func mayImport(body []statement) bool {
	return slices.ContainsFunc(body, func(s statement) bool {
		return s.action == doImport || s.action == doFrom || s.action == doDynamic ||
			slices.ContainsFunc(s.arms, func(a arm) bool { return mayImport(a.body) })
	})
}

func sameUnits(a, b *unit) bool {
	x, y := *a, *b
	x.body, y.body = consequent(x.body), consequent(y.body)
	return reflect.DeepEqual(x, y)
}

// TestDullLinesSayNothing holds the parser that leaves lines out against the one that reads them all, on the standard
// library and the packages of this machine.
func TestDullLinesSayNothing(t *testing.T) {
	known := newFacts(fuzzPython)
	count := 0
	check := func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, ".py") || !everything() && count > 2000 {
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil
		}
		count++
		self := ""
		if filepath.Base(file) == "__init__.py" {
			self = "p"
		}
		if !sameUnits(parseBriefly(string(text), known, self), parseExactly(string(text), known, self)) {
			t.Errorf("%s is read otherwise without its dull lines", file)
		}
		return nil
	}
	python := pythons(t)[0]
	dirs := []string{detect(t, python).Stdlib}
	if everything() {
		dirs = append(dirs, filepath.Join(filepath.Dir(demoPython), "../lib"))
	}
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, check)
	}
	t.Logf("%d files", count)
	if count < 100 {
		t.Error("too few files to tell")
	}
}

func TestDullLines(t *testing.T) {
	for _, body := range []string{
		"x = 1\nif y:\n    import a", "x = (1,\n2); import a", "x = '''\nimport a\n'''", "f'{x!r:{y}}' ; import a", "f(\n# )\n)\nimport a", "x = 1 \\\n  + 2\nimport a",
		"x = rb'\\''; import a", "sys.path.append('a')", "y = sys.path\nimport a", "z = self.modules\n", "case 1: import a", "else: import a", "x: int = 5\nimport a", "lambda: 0\nimport a",
		"1if x else 2\nimport a", "0f'x'\nimport a", "1.f'{'\nimport a", "...\n....5\nimport a", "x = f'{'a'}'\nimport a", "exec('a')", "exec'a'", "a.import_module('b')", "@x\ndef g():\n  import a",
		"x = [\n'a' # ]\n]\n\nimport a", "x = '\nimport a\n'", "x = 1\n\n\timport a", "x = 1\n  import a\n import b", "if x: pass\ny = 1\nelse: import a", "try: pass\nexcept: pass\ny\nfinally: import a",
		"match x:\n  case 1:\n    import a", "x = {a: b\n for a in c:", "global a; a = 1", "print \"a\"; import a", "u\"\"\"\nimport a\"\"\"\nimport b", "\\\nimport a", "x \\", "'", "(", "x = a if b else\\\n c\nimport d",
		"def A():(:\n import A", "0\n)(:\n import A", "x = (\nimport a\n)\nimport b", "x = (1,\nyield_ + 2)\nimport a", "x = '''\nreturn\n'''\ny = (\n)\nimport a", "x = (y # (\n)\nimport a",
	} {
		for _, head := range []string{"", "def f():\n", "class C:\n", "def f():\n '''doc'''\n", "class C:\n  x = 1\n  def f(self):\n", "if x:\n"} {
			indent := strings.Repeat(" ", 2*strings.Count(head, "\n"))
			src := head + indent + strings.ReplaceAll(body, "\n", "\n"+indent) + "\nx = 1\nimport z\n"
			if got, want := parseBriefly(src, newFacts(fuzzPython), "p"), parseExactly(src, newFacts(fuzzPython), "p"); !sameUnits(got, want) {
				t.Errorf("%q:\n%+v\nnot\n%+v", src, got, want)
			}
		}
	}
}

// FuzzDull: no text is read otherwise for the lines that are left out.
func FuzzDull(f *testing.F) {
	for _, c := range cases {
		for _, text := range c.files {
			f.Add("def f():\n " + strings.ReplaceAll(text, "\n", "\n "))
			f.Add(text)
		}
	}
	known := newFacts(fuzzPython)
	f.Fuzz(func(t *testing.T, src string) {
		for _, text := range []string{src, "def f():\n " + strings.ReplaceAll(src, "\n", "\n ")} {
			if got, want := parseBriefly(text, known, "p"), parseExactly(text, known, "p"); !sameUnits(got, want) {
				t.Errorf("%q:\n%+v\nnot\n%+v", text, got, want)
			}
		}
	})
}

func TestLiterals(t *testing.T) {
	src := "x = 'a.b'\ndef f():\n  g(\"c\", '''d''', f'e', b'f', 'not one', 'h\\\\i', r'j')\n  # 'k'\n  import sys; sys.modules['l.m'] = 'n'\n"
	want := []string{"a.b", "c", "d", "j", "l.m", "n"}
	if got := newLexer(src).literals(); !reflect.DeepEqual(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
}

// TestHardTexts: no text of some megabytes takes long, or much memory.
func TestHardTexts(t *testing.T) {
	known := newFacts(fuzzPython)
	var names, stars strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&names, "x%d = 1\n", i)
		fmt.Fprintf(&stars, "y%d = 1\nfrom a import *\n", i)
	}
	for name, text := range map[string]string{
		"f-strings that are not closed": strings.Repeat("f'{", 1<<16),
		"triple ones":                   strings.Repeat("f'''{", 1<<16),
		"escapes":                       "'''" + strings.Repeat("\\a", 2<<18) + "'''",
		"escaped quotes":                "'''" + strings.Repeat("\\'''a", 1<<16),
		"brackets":                      strings.Repeat("(", 1<<20),
		"names":                         "x = [" + strings.Repeat("sys.path[0], ", 1<<16),
		"statements":                    strings.Repeat("import a\n", 1<<16),
		"semicolons":                    strings.Repeat("a;", 1<<16),
		"stars":                         names.String() + stars.String(),
		"nested":                        strings.Repeat("def f():\n ", 1<<17),
		"deep":                          nested(95) + strings.Repeat(strings.Repeat(" ", 95)+"x = 1\n", 1<<11) + strings.Repeat(" ", 95) + "import a\n",
		"lines that end in a backslash": strings.Repeat("\\\n", 1<<16),
		"quotes":                        strings.Repeat("'\n", 1<<16),
		"colons":                        "if " + strings.Repeat("lambda:", 1<<16) + "0: pass",
		"conditions":                    "if " + strings.Repeat("not ", 1<<17) + "x: pass",
		"parentheses in conditions":     "if " + strings.Repeat("(", 1<<17) + "x: pass",
		"elif":                          "if x: pass\n" + strings.Repeat("elif x: pass\n", 1<<17),
		"try":                           strings.Repeat("try: pass\nexcept: pass\n", 1<<17),
	} {
		began := time.Now()
		parseBytes([]byte(text), known, "p")
		newLexer(text).literals()
		if took := time.Since(began); took > 2*time.Minute {
			t.Errorf("%s: %v", name, took)
		} else if took > time.Second {
			t.Logf("%s: %v", name, took)
		}
	}
}

// nested is a function in a function, that many times.
func nested(deep int) string {
	var b strings.Builder
	for i := range deep {
		b.WriteString(strings.Repeat(" ", i) + "def f():\n")
	}
	return b.String()
}
