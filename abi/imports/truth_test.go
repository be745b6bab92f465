package imports

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/rootfs"
)

// A run is what an interpreter really did.
type run struct {
	Modules map[string]string
	Asked   map[string][]any
	Error   []string
	Before  []string
	Path    []string
}

// noHome is a home directory that nobody can make: packages that are imported leave caches in theirs.
const noHome = "/proc/nonexistent"

func trace(t *testing.T, python, code string, env ...string) run {
	t.Helper()
	script, err := os.ReadFile("testdata/trace.py")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", string(script), code)
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "HOME=" + noHome, "PYTHONNOUSERSITE=1", "PYTHONDONTWRITEBYTECODE=1"}, env...)
	out, err := cmd.Output()
	_, text, ok := strings.Cut(string(out), "\x02")
	if !ok {
		t.Fatalf("%s: %s: %v: %s", python, code, err, out)
	}
	var r run
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func detect(t testing.TB, python string) abi.Python {
	t.Helper()
	p, err := abi.DetectPython(rootfs.Dir("/"), python, abi.Environment{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// disagreements holds a report against what really happened, and returns what is wrong with it.
func disagreements(report Report, real run) []string {
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	have := map[string]Module{}
	for _, m := range report.Modules {
		if old, ok := have[m.Name]; !ok || old.Reach == Deferred {
			have[m.Name] = m
		}
		file, there := real.Modules[m.Name]
		switch {
		case m.Reach != Required || m.Name == "__main__" || m.Fails:
		case !there && real.Error == nil && m.By.Module != "site":
			add("%s (%s) is not imported, by %s:%d", m.Name, m.File, m.By.File, m.By.Line)
		case there && file != "" && m.Kind != Namespace && m.Kind != Builtin && file != m.File:
			add("%s is from %q, not %q", m.Name, file, m.File)
		}
	}
	before := map[string]bool{}
	for _, name := range real.Before {
		before[name] = true
	}
	for name, file := range real.Modules {
		asked := real.Asked[name]
		if _, ok := have[name]; !ok && !before[name] && len(asked) == 4 && asked[3] == true && !hidden(report, name, fmt.Sprint(asked[0])) {
			add("%s (%s) is not in the report, asked for by %v", name, file, asked)
		}
	}
	first := report.First()
	switch {
	case first != nil && real.Error == nil:
		add("nothing fails, not: %s at %v", first.Message, first.At)
	case first != nil && !first.Raised && (real.Error[0] != first.Error || real.Error[1] != first.Message):
		add("it fails with %q, not with %s: %s at %v", real.Error, first.Error, first.Message, first.At)
	case first == nil && real.Error != nil && real.Error[0] == "ModuleNotFoundError" && !foreseen(report, real.Error[1]):
		add("it fails with %q, which was not foreseen", real.Error)
	}
	slices.Sort(wrong)
	return wrong
}

// hidden says of a file that files do not tell how it came to run: it is not in the report, or its import is dynamic.
func hidden(report Report, name, file string) bool {
	return slices.ContainsFunc(report.NotChecked, func(n NotChecked) bool {
		return n.What == "hook" && within(name, n.Name) || strings.HasPrefix(name, n.Name+".")
	}) ||
		!slices.ContainsFunc(report.Modules, func(m Module) bool { return m.File == file })
}

// foreseen says that a message is among those of imports that may fail, or that somebody raises another one.
func foreseen(report Report, message string) bool {
	return slices.ContainsFunc(report.Missing, func(m Missing) bool { return m.Message == message })
}

var interpreterName = regexp.MustCompile(`^python3\.\d+$`)

// everything says that all interpreters and all modules are to be compared, not a part: it takes a quarter of an hour.
func everything() bool { return os.Getenv("HOSTRUN_TRUTH_ALL") == "1" }

// pythons are the interpreters on this machine, those of make truth too; without HOSTRUN_TRUTH_ALL=1 some of the versions.
func pythons(t *testing.T) []string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(os.Getenv("HOME"), ".pyenv/versions/3.*/bin/python3.?*"))
	if everything() {
		more, _ := filepath.Glob(filepath.Join(truthCache(), "pythons/*/bin/python3.?*"))
		found = append(found, more...)
	}
	found = slices.DeleteFunc(found, func(p string) bool {
		name := filepath.Base(p)
		return !interpreterName.MatchString(name) || !everything() && !slices.Contains([]string{"python3.6", "python3.8", "python3.11", "python3.13"}, name)
	})
	if _, err := os.Stat("/usr/bin/python3"); err == nil {
		found = append(found, "/usr/bin/python3")
	}
	if len(found) == 0 {
		skip(t, "no interpreter of Python on this machine")
	}
	return found
}

// TestTruthPackages really imports what is in an environment with torch.
func TestTruthPackages(t *testing.T) {
	t.Parallel()
	python, _ := withPackages(t)
	py := detect(t, python)
	names := []string{"numpy", "rich.console", "pydantic", "PIL.Image"}
	if everything() {
		names = append(names, "torch", "torchvision", "sklearn.linear_model", "scipy.stats", "transformers", "huggingface_hub", "sympy", "networkx", "typer", "triton", "safetensors.torch")
	}
	for _, name := range names {
		code := "import " + name
		for _, w := range disagreements(scan(t, py, code), trace(t, python, code)) {
			t.Errorf("%s: %s", code, w)
		}
	}
}

// withPackages is a virtual environment with some packages: the demonstration's, with torch, where all is to be compared; else
// one that is made once, of the distribution's Python, and kept.
func withPackages(t *testing.T) (python, site string) {
	t.Helper()
	if everything() {
		if _, err := os.Stat(demoPython); err != nil {
			skip(t, "no environment with torch: ", err)
		}
		return demoPython, filepath.Join(filepath.Dir(demoPython), "../lib/python3.11/site-packages")
	}
	cache := os.Getenv("HOSTRUN_TEST_CACHE")
	if cache == "" {
		cache = "/var/cache/hostrun-test"
	}
	dir := filepath.Join(cache, "imports-venv")
	python, done := filepath.Join(dir, "bin/python3"), filepath.Join(dir, "complete")
	if _, err := os.Stat(done); err != nil {
		_ = os.RemoveAll(dir)
		for _, line := range [][]string{{"/usr/bin/python3", "-m", "venv", dir}, {python, "-m", "pip", "install", "-q", "numpy", "jinja2", "rich", "pydantic", "pillow"}} {
			if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
				skip(t, strings.Join(line, " "), ": ", string(out))
			}
		}
		must(t, os.WriteFile(done, nil, 0o644))
	}
	sites, _ := filepath.Glob(filepath.Join(dir, "lib/python3.*/site-packages"))
	if len(sites) != 1 {
		t.Fatalf("site directories of %s: %v", dir, sites)
	}
	return python, sites[0]
}

// TestTruthStandardLibrary really imports each module of the standard library, with every interpreter here.
func TestTruthStandardLibrary(t *testing.T) {
	for _, python := range pythons(t) {
		py := detect(t, python)
		t.Run(py.Version.String(), func(t *testing.T) {
			t.Parallel()
			names := standardModules(py)
			for _, name := range names {
				code := "import " + name
				for _, w := range disagreements(scan(t, py, code), trace(t, python, code)) {
					t.Errorf("%s: %s", code, w)
				}
			}
			t.Logf("%d modules", len(names))
		})
	}
}

// loud are modules that do something else than define things when they are imported.
var loud = []string{"antigravity", "this", "idlelib", "__main__", "_pyrepl", "test", "turtledemo", "msilib", "lib2to3", "dummy_threading"}

// standardModules are those at the top of the interpreter's standard library; without HOSTRUN_TRUTH_ALL=1 a part of them.
func standardModules(py abi.Python) []string {
	entries, _ := os.ReadDir(py.Stdlib)
	var names []string
	for i, e := range entries {
		name, isPy := strings.CutSuffix(e.Name(), ".py")
		if (isPy || e.IsDir()) && isModuleName(name) && !strings.Contains(name, ".") && !slices.Contains(loud, name) && (everything() || i%10 == 0) {
			names = append(names, name)
		}
	}
	return names
}

// parsed are files that tests have read: each scan reads the same hundreds of the standard library.
var parsed Known

func scan(t *testing.T, py abi.Python, code string) Report {
	t.Helper()
	report, err := Scan(t.Context(), rootfs.Dir("/"), Request{Python: py, Known: &parsed, Command: []string{py.Executable, "-c", code}, Deep: true})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// command runs an interpreter in an environment of its own and returns what it printed.
func command(python string, args ...string) (string, error) {
	cmd := exec.Command(python)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + noHome, "PYTHONNOUSERSITE=1", "PYTHONDONTWRITEBYTECODE=1"}
	for _, a := range args {
		if name, _, ok := strings.Cut(a, "="); ok && strings.ToUpper(name) == name {
			cmd.Env = append(cmd.Env, a)
			continue
		}
		cmd.Args = append(cmd.Args, a)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// skip says why a test can't run here; with HOSTRUN_REQUIRE_ALL=1 that is a failure.
func skip(t testing.TB, why ...any) {
	t.Helper()
	if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
		t.Fatal(why...)
	}
	t.Skip(why...)
}
