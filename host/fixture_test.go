package host

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/finding"
)

func writeFile(tb testing.TB, p, content string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
		tb.Fatal(err)
	}
}

func symlink(tb testing.TB, target, p string) {
	tb.Helper()
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := os.Symlink(target, p); err != nil {
		tb.Fatal(err)
	}
}

func onlyGlob(tb testing.TB, pattern string) string {
	tb.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) != 1 {
		tb.Fatalf("%s: %v %v", pattern, found, err)
	}
	return found[0]
}

// makeVenv makes a virtual environment without pip; flags go to python -m venv.
func makeVenv(tb testing.TB, python string, flags ...string) string {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), "venv")
	args := append([]string{"-m", "venv", "--without-pip"}, flags...)
	command(tb, nil, python, append(args, dir)...)
	return dir
}

// command runs a program in the given environment (nil: a bare one) and returns what it prints.
func command(tb testing.TB, env []string, name string, args ...string) string {
	tb.Helper()
	c := exec.Command(name, args...)
	c.Env = append([]string{"PATH=/usr/bin:/bin", "HOME=/nonexistent"}, env...)
	out, err := c.Output()
	if err != nil {
		stderr := ""
		if e, ok := err.(*exec.ExitError); ok {
			stderr = string(e.Stderr)
		}
		tb.Fatalf("%s %v: %v\n%s%s", name, args, err, out, stderr)
	}
	return string(out)
}

// fillCache probes until the cache holds an entry: changes younger than the file system's clock can tell are not cached.
func fillCache(tb testing.TB, opt Options, needs Needs) {
	tb.Helper()
	for range 100 {
		if _, err := Probe(context.Background(), opt, needs); err != nil {
			tb.Fatal(err)
		}
		if found, _ := filepath.Glob(opt.CacheDir + "/python-*"); len(found) == 1 {
			return
		}
		time.Sleep(justNow)
	}
	tb.Fatal("nothing was cached")
}

// fakeRoot makes a machine's files: "-> target" is a link, "#!..." an executable script, a name that ends in a slash an
// empty directory, "elf" this machine's smallest interpreter.
func fakeRoot(tb testing.TB, files map[string]string) string {
	tb.Helper()
	root := tb.TempDir()
	for name, content := range files {
		p := filepath.Join(root, name)
		switch {
		case strings.HasSuffix(name, "/"):
			if err := os.MkdirAll(p, 0o755); err != nil {
				tb.Fatal(err)
			}
		case strings.HasPrefix(content, "-> "):
			symlink(tb, content[3:], p)
		case content == "elf":
			copyProgram(tb, p)
		default:
			writeFile(tb, p, content)
		}
		if strings.HasPrefix(content, "#!") {
			if err := os.Chmod(p, 0o755); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return root
}

// copyProgram copies an interpreter whose code is in the executable, with the C library that it names.
func copyProgram(tb testing.TB, p string) {
	tb.Helper()
	b, err := os.ReadFile("/usr/bin/python3")
	if err != nil {
		skip(tb, "no /usr/bin/python3 to copy")
	}
	writeFile(tb, p, string(b))
	if err := os.Chmod(p, 0o755); err != nil {
		tb.Fatal(err)
	}
}

// systemPython tells major.minor of /usr/bin/python3, "python3.11".
func systemPython(tb testing.TB) string {
	tb.Helper()
	target, err := os.Readlink("/usr/bin/python3")
	if err != nil {
		skip(tb, "/usr/bin/python3 is no link to a version")
	}
	return filepath.Base(target)
}

// findingsOf lists "ID severity subject" of the findings.
func findingsOf(all []finding.Finding) []string {
	list := []string{}
	for _, f := range all {
		list = append(list, f.ID+" "+string(f.Severity)+" "+f.Subject)
	}
	return list
}

func find(tb testing.TB, all []finding.Finding, id string) finding.Finding {
	tb.Helper()
	for _, f := range all {
		if f.ID == id {
			return f
		}
	}
	tb.Fatalf("no %s among %v", id, findingsOf(all))
	return finding.Finding{}
}
