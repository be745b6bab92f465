package integration

import (
	"fmt"
	"strings"
	"testing"

	"hostrun.dev/hostrun/integration/fixture"
)

const foregroundStack = `x-job: &job
  image: job:latest
  pull_policy: never
  stop_grace_period: 30s
profiles:
  test: {<<: *job, command: [sh, -c, "echo tested; exit 5"]}
  db: {<<: *job, command: [sh, -c, "trap 'exit 7' TERM; echo serving; while :; do sleep 0.05; done"]}
`

// TestUpStays: up of several stays in the foreground, as docker compose's does, and ends them when one has ended.
func TestUpStays(t *testing.T) {
	t.Parallel()
	s := stacked(t, foregroundStack)
	for _, c := range []struct {
		flags  []string
		status int
	}{
		{[]string{"--exit-code-from", "test"}, 5},
		{[]string{"--exit-code-from", "db"}, 7},
		{[]string{"--abort-on-container-exit"}, 5},
	} {
		r := s.hostrun(append([]string{"up", "./stack.yaml"}, c.flags...)...)
		if r.status != c.status || !strings.Contains(r.stdout, "test  | tested\n") {
			t.Errorf("%v: want status %d\n%v", c.flags, c.status, r)
		}
		if db := s.all()["db"]; db.Status != "exited" || db.ExitStatus == nil || *db.ExitStatus != 7 {
			t.Errorf("%v: the other one was not ended in order: %+v", c.flags, db)
		}
	}
	s.write("stack.yaml", strings.Replace(foregroundStack, "  test: {", "  first: {<<: *job, command: ['true']}\n  test: {depends_on: {first: {condition: completed_successfully}}, ", 1))
	r := s.hostrun("up", "./stack.yaml", "--abort-on-container-failure") // first ends well, which ends nothing
	if db := s.all()["db"]; r.status != 5 || !strings.Contains(r.stdout, "tested\n") || db.ExitStatus == nil || *db.ExitStatus != 7 {
		t.Errorf("--abort-on-container-failure: %v\n%+v", r, db)
	}
	s.refused(2, "not among those that are started", "name one of those", "up", "./stack.yaml", "--exit-code-from", "nobody")
	s.must("down", "./stack.yaml")
}

// TestRunTakesComposesFlags: entrypoint, ports, labels and capabilities of the line are as the profile's; --no-deps leaves the rest alone.
func TestRunTakesComposesFlags(t *testing.T) {
	t.Parallel()
	s := stacked(t, strings.Replace(foregroundStack, "  test: {", "  test: {depends_on: [db], network_mode: none, ", 1))
	if out := s.must("run", "--no-deps", "--entrypoint", "sh -c", "--cap-drop", "all", "test", "--", `grep CapEff /proc/self/status; echo "$$ is $0"`); !strings.Contains(out, "0000000000000000\n") || !strings.Contains(out, " is ") || s.names() != "" {
		t.Errorf("run: %q, and there is %q", out, s.names())
	}
	if r := s.hostrun("run", "--no-deps", "--entrypoint", "/bin/true", "test"); r.status != 0 {
		t.Errorf("the entrypoint of the line got the profile's command: %v", r)
	}
	one := s.command("run", "--no-deps", "--name", "one", "-l", "colour=red", "--label", "size=", "test", "--", "sleep", "1000")
	must(t, one.Start())
	s.comes("the labels of the line", func() error {
		text := s.hostrun("inspect", "one").stdout
		if !strings.Contains(text, `"colour": "red"`) || !strings.Contains(text, `"status": "running"`) { // a kill before that finds nothing to kill
			return fmt.Errorf("inspect says %s", text)
		}
		return nil
	})
	s.must("kill", "one")
	_ = one.Wait() // its status is that of the signal
	s.refused(2, "ports", "--help", "run", "--no-deps", "-p", "eighty", "test")
}

// TestNoRecreate: what the flag keeps stays as it was made, though its profile changed.
func TestNoRecreate(t *testing.T) {
	t.Parallel()
	s := stacked(t, foregroundStack)
	s.must("up", "--no-deps", "db")
	before := s.all()["db"]
	s.write("stack.yaml", strings.Replace(foregroundStack, "exit 7", "exit 8", 1))
	if out := s.must("up", "--no-recreate", "db"); out != "db unchanged\n" || s.all()["db"].PID != before.PID {
		t.Errorf("%q", out)
	}
	s.must("stop", "db")
	if out := s.must("up", "--no-recreate", "db"); out != "db started\n" {
		t.Errorf("%q", out)
	}
	if out := s.must("up", "-d", "-t", "10", "--pull", "never", "db"); !strings.HasPrefix(out, "db replaced\n") {
		t.Errorf("%q", out)
	}
	s.must("down", "db")
}

// TestOutOfMemory: a container that the kernel has ended for want of memory is told from one that somebody killed, while its cgroup is
// there and afterwards.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job"))
	hog := plain(s, "mem_limit: 16m", "command: [busybox, tail, /dev/zero]")
	for _, args := range [][]string{append(hog, "--attach"), {"run", "job"}} {
		if r := s.hostrun(args...); r.status != 137 || !strings.Contains(r.stderr, "out of memory") {
			t.Errorf("%v: %v", args, r)
		}
	}
	told := func(want string) {
		t.Helper()
		if got := s.must("ps", "-a", "--format", "{{.exit_status}} {{.oom_killed}}"); got != want {
			t.Errorf("ps: %q, want %q", got, want)
		}
	}
	told("137 true\n")
	s.must("up", "job")
	if r := s.hostrun("wait", "job"); r.status != 137 {
		t.Errorf("wait: %v", r)
	}
	told("137 true\n")
	s.must(plain(s, "mem_limit: 16m", "command: [sleep, '1000']")...)
	s.must("kill", "job")
	told("137 false\n")
	s.must("down", "job")

	// In a cgroup below another one the counter was not found.
	parent := "/" + s.namespace + "-jobs"
	t.Cleanup(func() { fixture.RemoveTraces(parent[1:]) })
	s.must(plain(s, "mem_limit: 16m", "cgroup_parent: "+parent, "command: [busybox, tail, /dev/zero]")...)
	if r := s.hostrun("wait", "job"); r.status != 137 {
		t.Errorf("wait: %v", r)
	}
	told("137 true\n")
	s.must("stop", "job")
	told("137 true\n")
	s.must("down", "job")
}
