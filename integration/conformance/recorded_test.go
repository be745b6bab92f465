package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestRecorded holds hostrun against what docker compose did to the same services when `make conformance` ran last.
func TestRecorded(t *testing.T) {
	skip := t.Skipf
	if os.Getenv("HOSTRUN_REQUIRE_ALL") != "" {
		skip = t.Fatalf
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		skip("needs root")
	}
	if _, err := os.Stat(filepath.Join(root, "bin", "hostrun")); err != nil {
		skip("there are no binaries: make build")
	}
	for _, program := range []string{"containerd", "unshare", "ip", "/bin/busybox"} {
		if _, err := exec.LookPath(program); err != nil {
			skip("there is no %s: integration/setup.sh installs it", program)
		}
	}
	program := filepath.Join(t.TempDir(), "conformance")
	for _, args := range [][]string{{"go", "build", "-o", program, "./integration/conformance"}, {program, "-recorded"}} {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir = root
		text, err := cmd.CombinedOutput()
		t.Logf("%s", text)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestTable looks at the table alone: names are unique, enough cases, and every difference says why.
func TestTable(t *testing.T) {
	all, err := chosen("")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 120 {
		t.Errorf("%d cases", len(all))
	}
	check := func(where string, list []difference) {
		for _, d := range list {
			if d.reason == "" || d.field == "*" || d.field == "" {
				t.Errorf("%s: a difference without a reason, or of everything: %+v", where, d)
			}
		}
	}
	check("general", general)
	for _, c := range all {
		check(c.name, c.differ)
		if c.about == "" || c.group == "" {
			t.Errorf("%s does not say what it looks at", c.name)
		}
	}
}

func TestLike(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{{"a.*", "a.b.c", true}, {"a.*", "b.a.c", false}, {"*", "", true}, {"a", "ab", false}, {"*.b", "a\nb.b", true}, {"a(b", "a(b", true}} {
		if like(c.pattern, c.text) != c.want {
			t.Errorf("%q, %q: want %v", c.pattern, c.text, c.want)
		}
	}
}

// TestJudge: what differs fails unless a table says so, and so does a table that says too much.
func TestJudge(t *testing.T) {
	o := outcome{docker: view{"a": "1", "b": "2", "~x": "y"}, ours: view{"a": "1", "b": "3"}}
	if o.judge(); len(o.problems) == 0 {
		t.Error("a difference was passed over")
	}
	o = outcome{docker: view{"b": "2"}, ours: view{"b": "3"}, scene: scene{differ: []difference{{"b", "2", "3", "why"}}}}
	if o.judge(); len(o.problems) != 0 || len(o.found) != 1 {
		t.Errorf("%+v", o)
	}
	o = outcome{docker: view{"b": "2"}, ours: view{"b": "2"}, scene: scene{differ: []difference{{"b", "2", "3", "why"}}}}
	if o.judge(); len(o.problems) != 1 {
		t.Errorf("a difference that is none any more: %+v", o)
	}
	o = outcome{}
	if o.judge(); len(o.problems) == 0 {
		t.Error("nothing was seen, and that passed")
	}
}
