package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A whereRow is what this test needs of hostrun where --format json.
type whereRow struct {
	File, Side, Source, Kind string
	Imported                 bool
}

// TestWhereAgreesWithTheContainer: what where says of a module is its __file__ in the started container.
func TestWhereAgreesWithTheContainer(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	env := s.path("env")
	if out, err := exec.Command("/usr/bin/python3", "-m", "venv", env).CombinedOutput(); err != nil {
		skip(t, "/usr/bin/python3 -m venv: %v\n%s", err, out)
	}
	if out, err := exec.Command(filepath.Join(env, "bin/python3"), "-m", "pip", "install", "-q", "--only-binary=:all:", "markupsafe", "pyyaml").CombinedOutput(); err != nil {
		skip(t, "pip install markupsafe pyyaml: %v\n%s", err, out)
	}
	site, err := filepath.Glob(env + "/lib/python3*/site-packages")
	if err != nil || len(site) != 1 {
		t.Fatal(site, err)
	}
	write := func(name, text string) {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(site[0], name)), 0o755))
		must(t, os.WriteFile(filepath.Join(site[0], name), []byte(text), 0o644))
	}
	write("spread/part.py", "") // a namespace package
	write("random.py", "")      // behind the standard library
	write("more/inner.py", "")
	write("zz_more.pth", "more\n")
	s.load(slim(t, "job"))
	for _, precedence := range []string{"image", "host"} {
		s.profile("job", fmt.Sprintf("image: job\npull_policy: never\npython: {interpreter: %q, precedence: %s}\n", env+"/bin/python3", precedence))
		for _, module := range []string{"markupsafe", "markupsafe._speedups", "yaml", "_yaml", "spread", "spread.part", "random", "inner", "os", "os.path", "sys", "json.decoder", "_datetime", "pip"} {
			script := fmt.Sprintf("import importlib; m = importlib.import_module(%q); print('file', getattr(m, '__file__', None) or '', list(getattr(m, '__path__', []))[:1])", module)
			real := s.must("run", "job", "--", "python3", "-c", script)
			real = strings.TrimSpace(real[strings.Index(real, "file")+len("file"):])
			row := where(t, s, module)
			want := strings.TrimSpace(row.File + " [")
			if row.Kind == "namespace" {
				want = "['" + row.File + "']"
			}
			if !strings.HasPrefix(real, want) {
				t.Errorf("precedence %s: %s: where says %+v, the container %s", precedence, module, row, real)
			}
			if host := strings.HasPrefix(row.File, "/opt/hostrun/"); host != (row.Side == "host") || host && !strings.HasPrefix(row.Source, env) {
				t.Errorf("precedence %s: %s: side and source of %+v", precedence, module, row)
			}
		}
	}
}

// TestWhereLeavesNothing: it reads files; it starts nothing and keeps nothing but the cache.
func TestWhereLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(slim(t, "job"))
	s.profile("job", "image: job\npull_policy: never\npython: none\n")
	before := s.inventory()
	if row := where(t, s, "json"); row.Side != "image" || !strings.HasSuffix(row.File, "/json/__init__.py") || !row.Imported {
		t.Errorf("json: %+v", row)
	}
	if r := s.hostrun("where", "job", "nothing_of_this_name"); r.status != 1 || !strings.Contains(r.stderr, "No module named 'nothing_of_this_name'") {
		t.Errorf("a module that is nowhere: %v", r)
	}
	if r := s.hostrun("where", "job"); r.status != 2 {
		t.Errorf("no module: %v", r)
	}
	s.nothingLeft(before)
}

func where(t *testing.T, s *stage, module string) whereRow {
	t.Helper()
	var row whereRow
	first, _, _ := strings.Cut(s.must("where", "--format", "json", "job", module), "\n")
	if err := json.Unmarshal([]byte(first), &row); err != nil {
		t.Fatalf("%s: %v: %s", module, err, first)
	}
	return row
}
