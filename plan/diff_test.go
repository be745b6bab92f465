package plan_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

func TestDiffNamesTheFields(t *testing.T) {
	before, after := simple(), simple()
	before.Profile.Command = command("python3", "a.py")
	before.Profile.Environment = []profiles.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "1"}}
	before.Profile.Volumes = []profiles.Volume{{Type: "bind", Source: "/a", Target: "/data", Key: "volumes[0]"}}
	after.Profile.Command = command("python3", "b.py")
	after.Profile.Environment = []profiles.EnvVar{{Name: "Z", Value: "1"}, {Name: "A", Value: "1"}}
	after.Profile.Volumes = []profiles.Volume{
		{Type: "bind", Source: "/a", Target: "/a", Key: "volumes[0]"}, {Type: "bind", Source: "/b", Target: "/data", Key: "volumes[1]", ReadOnly: true},
	}
	after.Profile.IPC = "host"
	after.Profile.MemLimit = 1 << 30
	after.Profile.Privileged = true
	sources := map[string]plan.Source{"/a": {Exists: true, Dir: true}, "/b": {Exists: true, Dir: true}}
	before.Sources, after.Sources = sources, sources

	got := plan.Diff(build(t, before).Spec, build(t, after).Spec)
	for _, want := range []string{
		"process.args: [python3 a.py] -> [python3 b.py]",
		"process.env[B]: 1 -> (none)",
		"process.env[Z]: (none) -> 1",
		"mounts[/data].source: /a -> /b",
		"mounts[/data].options: [rbind rprivate] -> [rbind rprivate rro]",
		"mounts[/a].source: (none) -> /a",
		"linux.namespaces[ipc]: yes -> (none)",
		"linux.resources.memory.limit: (none) -> 1073741824",
		"process.noNewPrivileges: true -> (none)",
	} {
		if !contains(got, want) {
			t.Errorf("lacks %q", want)
		}
	}
	for _, no := range []string{"process.env[A]", "process.cwd", "mounts[/proc]"} {
		for _, line := range got {
			if len(line) > len(no) && line[:len(no)] == no {
				t.Errorf("tells of what is equal: %s", line)
			}
		}
	}
	if t.Failed() {
		t.Log(cmp.Diff([]string{}, got))
	}
}

func contains(all []string, s string) bool {
	for _, have := range all {
		if have == s {
			return true
		}
	}
	return false
}

func TestDiffOfEqualSpecsIsEmpty(t *testing.T) {
	a, b := build(t, simple()), build(t, simple())
	if got := plan.Diff(a.Spec, b.Spec); got != nil {
		t.Errorf("%q", got)
	}
	if got := plan.Diff(a.Spec, nil); len(got) == 0 {
		t.Error("a spec and none are equal")
	}
}
