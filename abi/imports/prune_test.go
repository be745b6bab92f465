package imports

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/exectest"
	"hostrun.dev/hostrun/rootfs"
)

// prune makes a second prefix of an interpreter, whose standard library lacks a module: links to all the others.
func prune(t *testing.T, exe string, without ...string) string {
	t.Helper()
	py := detect(t, exe)
	root := t.TempDir()
	stdlib := filepath.Join(root, "lib", filepath.Base(py.Stdlib))
	link := func(from, to string) {
		entries, err := os.ReadDir(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(to, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			stem, _, _ := strings.Cut(e.Name(), ".")
			if slices.Contains(without, stem) || slices.Contains([]string{"site-packages", "lib-dynload", "__pycache__"}, e.Name()) {
				continue
			}
			if err := os.Symlink(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
	}
	link(py.Stdlib, stdlib)
	link(py.Dynload, filepath.Join(stdlib, "lib-dynload"))
	program, err := os.ReadFile(py.Real)
	if err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(root, "bin", filepath.Base(py.Real))
	if err := os.MkdirAll(filepath.Dir(made), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := exectest.WriteFile(made, program, 0o755); err != nil {
		t.Fatal(err)
	}
	return made
}

// pruned are modules of the standard library that slim images lack, or that much depends on.
var pruned = []string{"ctypes", "_ctypes", "json", "decimal", "dataclasses", "queue", "http", "multiprocessing", "sqlite3", "lzma", "_lzma", "shutil", "gzip", "difflib",
	"numbers", "pickletools", "tarfile", "email", "html", "xml", "logging", "argparse", "unittest", "concurrent", "asyncio", "_ssl", "zoneinfo", "secrets", "uuid", "statistics",
	"fractions", "bz2", "_bz2", "hashlib", "urllib", "platform", "inspect", "pydoc", "doctest", "ast", "typing", "_socket", "select", "_datetime", "datetime", "locale"}

// plain imports a module in a process of its own, with no tracer that would need the standard library.
func plain(t *testing.T, python, name, site string) (failed bool, last string) {
	t.Helper()
	out, err := command(python, "-c", "import "+name, "PYTHONPATH="+site)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return err != nil, lines[len(lines)-1]
}

// TestTruthWithoutModules takes modules out of the standard library: what fails first is what the scan says first, word
// for word, and nothing is claimed that does not fail.
func TestTruthWithoutModules(t *testing.T) {
	t.Parallel()
	own, site := withPackages(t)
	exe := detect(t, own).Real
	if built, _ := filepath.Glob(filepath.Join(os.Getenv("HOME"), ".pyenv/versions/3.11.*/bin/python3.11")); len(built) > 0 && filepath.Base(exe) == "python3.11" {
		exe = built[0]
	}
	packages := []string{"numpy", "jinja2", "rich.console", "torch"}
	if !everything() {
		packages = packages[:2]
	}
	right, silent, wrong := 0, 0, 0
	for i, without := range pruned {
		if !everything() && i%6 != 0 {
			continue
		}
		python := prune(t, exe, without)
		py := detect(t, python)
		for _, name := range packages {
			if name == "torch" && i%10 != 0 {
				continue // its import takes seconds
			}
			report, err := Scan(t.Context(), rootfs.Dir("/"), Request{Python: py, Known: &parsed, Command: []string{python, "-c", "import " + name}, Env: map[string]string{"PYTHONPATH": site}})
			if err != nil {
				t.Fatal(err)
			}
			failed, last := plain(t, python, name, site)
			first := ""
			if m := report.First(); m != nil {
				first = fmt.Sprintf("%s: %s", m.Error, m.Message)
			}
			switch {
			case first != "" && first == last, failed && report.First() != nil && report.First().Raised:
				right++
			case first == "" && !failed:
				right++
			case first == "":
				silent++
				t.Logf("without %s, import %s: %q is not claimed", without, name, last)
			default:
				wrong++
				t.Errorf("without %s, import %s: %q, not %q", without, name, last, first)
			}
		}
	}
	t.Logf("%d right, %d failures not claimed, %d false", right, silent, wrong)
}
