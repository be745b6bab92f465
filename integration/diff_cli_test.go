package integration

import (
	"os"
	"strings"
	"testing"

	"hostrun.dev/hostrun/plan"
)

// TestDiffNamesWhatChanged: nothing, the profile, the image, a package of the host, a mount, a device's number, and what up says of it.
func TestDiffNamesWhatChanged(t *testing.T) {
	s := newStage(t)
	s.load(tiny(t, "job"))
	site := "venv/lib/python3.11/site-packages/"
	s.write("a/file", "")
	s.write("b/file", "")
	profile := func(color, dir string) {
		s.profile("job", "image: job:latest\npull_policy: never\nstop_signal: SIGKILL\ncommand: sleep 1000\nenvironment: {COLOR: "+color+"}\nvolumes: [\"../"+dir+":/data\"]\n")
	}
	profile("red", "a")
	differs := func(status int, want ...string) {
		t.Helper()
		r := s.hostrun("diff", "job", "--exit-code")
		if r.status != status {
			t.Errorf("want status %d: %v", status, r)
		}
		for _, w := range want {
			if !strings.Contains(r.stdout, w) {
				t.Errorf("no %q: %v", w, r)
			}
		}
	}
	differs(3, "job: it is not there: up would create it\n")
	s.must("up", "job")
	if out := s.must("diff", "job"); out != "job: up would leave it as it is\n" {
		t.Errorf("%q", out)
	}
	differs(0)
	s.must("stop", "job")
	differs(3, "job: it does not run: up would start it\n")
	profile("blue", "b")
	differs(3, "job: up would replace it\n", "the profile's environment[COLOR].value: red -> blue (", "profiles/job.yaml:5)", "the variable COLOR: red -> blue (profile job.yaml:5)",
		"the mount at /data (source): "+s.path("a")+" -> "+s.path("b"))
	if out := s.must("up", "--dry-run", "job"); !strings.Contains(out, "DRY-RUN MODE - job would be replaced\nDRY-RUN MODE -   the mount at /data (source): ") {
		t.Errorf("a dry run: %q", out)
	}
	if out := s.must("up", "job"); !strings.Contains(out, "job replaced\n") || !strings.Contains(out, "  the variable COLOR: red -> blue (profile job.yaml:5)\n") {
		t.Errorf("up: %q", out)
	}
	other := tiny(t, "job")
	other.Config.Labels = map[string]string{"another": "one"}
	s.load(other)
	differs(3, "the image's digest: sha256:")
	type result struct {
		Container, Action string
		Changes           []plan.Change
	}
	found := parse[result](t, s.must("diff", "job", "--format", "json"))
	if found.Action != "replaced" || len(found.Changes) == 0 || found.Changes[0].What != "image" || !strings.HasPrefix(found.Changes[0].Is, "sha256:") {
		t.Errorf("%+v", found)
	}
	s.must("up", "job")
	differs(0)

	// A package of the host that is exchanged is none of the specification's.
	s.write("venv/pyvenv.cfg", "home = /usr/bin\nversion = 3.11.2\n")
	must(t, os.MkdirAll(s.path("venv/bin"), 0o755))
	must(t, os.Symlink("/usr/bin/python3", s.path("venv/bin/python3")))
	install := func(version string) {
		_ = os.RemoveAll(s.path(site))
		s.write(site+"thing.py", "")
		s.write(site+"thing-"+version+".dist-info/METADATA", "Metadata-Version: 2.1\nName: thing\nVersion: "+version+"\n")
		s.write(site+"thing-"+version+".dist-info/RECORD", "thing.py,,\n")
	}
	install("1.0")
	s.profile("job", "rootfs: host\nstop_signal: SIGKILL\ncommand: sleep 1000\npython: ../venv\n")
	s.must("up", "job")
	differs(0)
	install("2.0")
	differs(3, "job: up would leave it as it is\n", "the host's package thing: 1.0 -> 2.0\n")
	if out := s.must("up", "--force-recreate", "job"); !strings.HasPrefix(out, "job replaced\n  the host's package thing: 1.0 -> 2.0\n") {
		t.Errorf("up: %q", out)
	}
	s.must("down", "job")
}
