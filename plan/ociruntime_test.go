package plan_test

import (
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// TestSeccompForOtherArchitectures: 32-bit programs run where the profile asks for it, and not for the price of everyone.
func TestSeccompForOtherArchitectures(t *testing.T) {
	for option, want := range map[string]int{"": 1, "multiarch": 3} {
		f := simple()
		f.Engine.Seccomp, f.Profile.Seccomp = defaultSeccomp(t), option
		got := build(t, f).Spec.Linux.Seccomp
		if got == nil || len(got.Architectures) != want || got.Architectures[0] != specs.ArchX86_64 {
			t.Errorf("%q: %v", option, got.Architectures)
		}
		if last := got.Syscalls[len(got.Syscalls)-1]; last.Names[0] != "get_mempolicy" || last.Action != specs.ActAllow {
			t.Errorf("%q: NUMA calls: %+v", option, last)
		}
	}
}

func TestOCIRuntime(t *testing.T) {
	f := simple()
	f.Engine.RuntimePath, f.Engine.RuntimeRoot = "/usr/bin/crun", "/run/oci"
	chosen := build(t, f)
	if chosen.RuntimePath != "/usr/bin/crun" || chosen.RuntimeRoot != "/run/oci" || chosen.Labels[plan.LabelRuntime] != "" {
		t.Errorf("%+v", chosen)
	}
	f.Engine.RuntimePath = ""
	if other := build(t, f); other.Hash != chosen.Hash {
		t.Error("hostrun's own choice makes another container of it")
	}
	f.Profile.Runtime = "runc"
	if asked := build(t, f); asked.Hash == chosen.Hash || asked.Labels[plan.LabelRuntime] != "runc" {
		t.Error("what the profile asks for does not")
	}
	f.Profile.Runtime, f.Engine.RuntimeError = "crun", "crun is not on the PATH of containerd"
	_, err := plan.Build(f)
	if got := finding.StatusOf(err); got != finding.StatusMisfit {
		t.Errorf("status %d: %v", got, err)
	}
}
