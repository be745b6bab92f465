package plan_test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSameFactsSamePlan builds every case twice, once from facts that went through JSON, and expects the same plan and
// unchanged facts.
func TestSameFactsSamePlan(t *testing.T) {
	for name, facts := range cases {
		t.Run(name, func(t *testing.T) {
			f := facts()
			before := text(t, f)
			first, err := plan.Build(f)
			second, _ := plan.Build(f)
			if diff := cmp.Diff(text(t, first), text(t, second)); diff != "" {
				t.Errorf("the second plan differs:\n%s", diff)
			}
			if diff := cmp.Diff(before, text(t, f)); diff != "" {
				t.Errorf("Build changed its facts:\n%s", diff)
			}
			var replayed plan.Facts
			if err := json.Unmarshal([]byte(before), &replayed); err != nil {
				t.Fatal(err)
			}
			third, again := plan.Build(replayed)
			if diff := cmp.Diff(text(t, first), text(t, third)); diff != "" || (err == nil) != (again == nil) {
				t.Errorf("recorded facts give another plan (%v, %v):\n%s", err, again, diff)
			}
		})
	}
}

// TestRecordedPlanReplays: a plan is JSON too, and loses nothing by it.
func TestRecordedPlanReplays(t *testing.T) {
	pl := build(t, dinov2())
	var again plan.Plan
	if err := json.Unmarshal([]byte(text(t, pl)), &again); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(text(t, pl), text(t, again)); diff != "" {
		t.Error(diff)
	}
}

// TestImports holds the law that the package decides by facts alone.
func TestImports(t *testing.T) {
	direct, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	// os is here for os.FileMode alone, which specs.LinuxDevice is made of; TestNoEffects looks at its use.
	for _, p := range strings.Fields(string(direct)) {
		for _, no := range []string{"time", "net", "io", "io/fs", "os/exec", "os/user", "runtime", "syscall", "math/rand", "math/rand/v2", "crypto/rand"} {
			if p == no {
				t.Errorf("plan imports %s: it must be pure", p)
			}
		}
	}
	deps, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range strings.Fields(string(deps)) {
		for _, no := range []string{"github.com/containerd/containerd", "google.golang.org/", "hostrun.dev/hostrun/runtime", "net/http"} {
			if strings.HasPrefix(p, no) {
				t.Errorf("plan depends on %s", p)
			}
		}
	}
}

// TestNoEffects: of package os, only the type of permission bits is used.
func TestNoEffects(t *testing.T) {
	out, err := exec.Command("grep", "-nE", `\bos\.[A-Z]`, "--include=*.go", "--exclude=*_test.go", "--exclude-dir=testdata", "-r", ".").Output()
	if err != nil {
		t.Fatalf("grep: %v", err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if !strings.Contains(line, "os.FileMode(") {
			t.Errorf("plan uses the machine: %s", line)
		}
	}
}

// TestHashTellsContainersApart: all that makes another container changes the hash, and what does not, does not.
func TestHashTellsContainersApart(t *testing.T) {
	base := build(t, simple())
	if len(base.Hash) != 64 || base.Labels[plan.LabelHash] != base.Hash {
		t.Fatalf("hash %q, label %q", base.Hash, base.Labels[plan.LabelHash])
	}
	for name, c := range map[string]struct {
		change func(*plan.Facts)
		same   bool
	}{
		"command":      {change: func(f *plan.Facts) { f.Profile.Command = command("true") }},
		"digest":       {change: func(f *plan.Facts) { f.Image.Digest = "sha256:" + digits('c') }},
		"stop signal":  {change: func(f *plan.Facts) { f.Profile.StopSignal = "SIGQUIT" }},
		"label":        {change: func(f *plan.Facts) { f.Profile.Labels = map[string]string{"a": "b"} }},
		"hosts":        {change: func(f *plan.Facts) { f.Profile.ExtraHosts = []profiles.Host{{Name: "a", IP: "192.0.2.1"}} }},
		"more memory":  {change: func(f *plan.Facts) { f.Host.MemoryBytes += 4096 }, same: true},
		"a finding":    {change: func(f *plan.Facts) { f.Findings = []finding.Finding{{ID: "HR024", Severity: finding.Info}} }, same: true},
		"another line": {change: func(f *plan.Facts) { f.Profile.Lines["image"] = at(40) }, same: true},
	} {
		f := simple()
		c.change(&f)
		if got := build(t, f).Hash; (got == base.Hash) != c.same {
			t.Errorf("%s: same hash %v, want %v", name, got == base.Hash, c.same)
		}
	}
}

func TestFindingsOfAllStagesAreMergedOnceWorstFirst(t *testing.T) {
	f := simple()
	twice := finding.Finding{ID: "HR031", Severity: finding.Warning, Subject: "torch", Message: "incomplete"}
	f.Host.Findings = []finding.Finding{{ID: "HR024", Severity: finding.Info, Message: "i"}, twice}
	f.Findings = []finding.Finding{{ID: "HR070", Severity: finding.Error, Subject: "/dev/x", Message: "absent", File: "f.yaml", Line: 3}, twice}
	f.Image.Findings = []finding.Finding{{ID: "HR020", Severity: finding.Warning, Message: "w"}}
	f.Profile.Lines["python"] = at(5)
	f.Profile.CPUs = 100
	pl, err := plan.Build(f)
	var got []string
	for _, have := range pl.Findings {
		got = append(got, have.ID)
	}
	if want := []string{"HR070", "HR080", "HR020", "HR031", "HR024"}; !slices.Equal(got, want) {
		t.Errorf("findings %v, want %v", got, want)
	}
	if pl.Findings[2].Line != 5 {
		t.Errorf("a finding about Python has no line of the profile: %+v", pl.Findings[2])
	}
	if finding.StatusOf(err) != finding.StatusNoDevice || err.Error() != "job: absent" {
		t.Errorf("error %v, status %d", err, finding.StatusOf(err))
	}
}

func FuzzBuild(f *testing.F) {
	for _, facts := range cases {
		b, err := json.Marshal(facts())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"profile":{"volumes":[{"type":"bind"}],"devices":[{}],"python":{"interpreter":"x","target":"/"},"cuda":"auto"},"image":{"pythons":[{}],"paths":{"":{},"a":{"real":"a","dir":true}}},"host":{"python":{"kind":"conda","prefix":"/","sites":[{}]},"cuda":{"real":"x","stubs":["/"]}},"engine":{"seccomp":{"syscalls":[null,{}]}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var facts plan.Facts
		if json.Unmarshal(data, &facts) != nil {
			return
		}
		pl, err := plan.Build(facts)
		if pl.Spec == nil {
			t.Fatal("no spec")
		}
		if err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
		if (err != nil) != (len(finding.Errors(pl.Findings)) > 0) {
			t.Errorf("%v does not agree with the findings", err)
		}
		seen := map[string]bool{}
		for _, m := range pl.Spec.Mounts {
			if err == nil && seen[m.Destination] {
				t.Errorf("two mounts at %s", m.Destination)
			}
			seen[m.Destination] = true
		}
		plan.Diff(pl.Spec, &specs.Spec{})
		plan.Needs(&facts.Profile)
		plan.BindSources(&facts.Profile)
	})
}
