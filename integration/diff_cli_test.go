package integration

import (
	"fmt"
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

// TestDiffSeesSecrets: a secret that has another content is what up replaces a container for, and diff and a dry run said that nothing differs.
func TestDiffSeesSecrets(t *testing.T) {
	s := newStage(t)
	s.load(tiny(t, "job"))
	s.profile("job", "image: job:latest\nstop_signal: SIGKILL\ncommand: sleep 1000\nsecrets: {token: {file: ../token}}\n")
	s.write("token", "one")
	s.must("up", "job")
	equal(t, "diff", s.must("diff", "--exit-code", "job"), "job: up would leave it as it is\n")
	s.write("token", "two")
	if r := s.hostrun("diff", "--exit-code", "job"); r.status != 3 || r.stdout != "job: up would replace it\n  secret token: another content\n" {
		t.Errorf("diff: %v", r)
	}
	equal(t, "a dry run", s.must("up", "--dry-run", "job"), "DRY-RUN MODE - job would be replaced\nDRY-RUN MODE -   secret token: another content\n")
	equal(t, "up", s.must("up", "job"), "job replaced\n  secret token: another content\n")
	s.must("down", "job")
}

// TestUpSaysWhichKeyReplaces: keys that are no part of the specification were told as "files that hostrun makes for it", and keys that make
// no other container were told of for ever.
func TestUpSaysWhichKeyReplaces(t *testing.T) {
	s := newStage(t)
	s.load(tiny(t, "job"))
	text := "image: job:latest\nstop_signal: SIGKILL\ncommand: sleep 1000\n"
	s.profile("job", text)
	s.must("up", "job")
	at := func(line int) string { return fmt.Sprintf(" (%s:%d)\n", s.path("profiles/job.yaml"), line) }
	for _, key := range []struct{ text, said string }{
		{"stop_grace_period: 90s\n", "  the profile's stop_grace_period: (none) -> 1m30s" + at(4)},
		{"logging: {driver: none}\n", "  the profile's logging.driver: (none) -> none" + at(5)},
		{"labels: {team: a}\n", "  the profile's labels.team: (none) -> a" + at(6) + "  the label team: (none) -> a\n"},
	} {
		text += key.text
		s.profile("job", text)
		if r := s.hostrun("diff", "--exit-code", "job"); r.status != 3 || r.stdout != "job: up would replace it\n"+key.said {
			t.Errorf("diff of %q: %v", key.text, r)
		}
		equal(t, "up", s.must("up", "job"), "job replaced\n"+key.said)
		equal(t, "diff afterwards", s.must("diff", "--exit-code", "job"), "job: up would leave it as it is\n")
	}
	s.profile("job", text+"pull_policy: never\nexpose: [80]\n")
	equal(t, "diff of what makes no other container", s.must("diff", "--exit-code", "job"), "job: up would leave it as it is\n")
	s.must("down", "job")
}

// TestAnotherOrderIsNoOtherContainer: variables, volumes and dependencies in another order replaced the container, for "files that hostrun
// makes for it". On a network its hosts file has more than the plan's.
func TestAnotherOrderIsNoOtherContainer(t *testing.T) {
	s := newStage(t)
	s.load(tiny(t, "job"))
	s.write("a/file", "")
	s.write("b/file", "")
	head := "image: job:latest\nstop_signal: SIGKILL\ncommand: sleep 1000\nnetworks: [order" + s.namespace + "]\n"
	s.profile("job", head+"environment: {A: 1, B: 2}\nvolumes: [../a:/a, ../b:/b]\n")
	equal(t, "up", s.must("up", "job"), "job created\n")
	s.profile("job", head+"# sorted\nvolumes: [../b:/b, ../a:/a]\nenvironment: [B=2, A=1]\n")
	equal(t, "diff", s.must("diff", "--exit-code", "job"), "job: up would leave it as it is\n")
	equal(t, "a dry run", s.must("up", "--dry-run", "job"), "DRY-RUN MODE - job would be left unchanged\n")
	equal(t, "up", s.must("up", "job"), "job unchanged\n")
	s.profile("job", head+"volumes: [../b:/b, ../a:/a]\nenvironment: [B=2, A=3]\n")
	if out := s.must("up", "job"); !strings.HasPrefix(out, "job replaced\n") || !strings.Contains(out, "the variable A: 1 -> 3 (profile job.yaml:6)\n") {
		t.Errorf("%q", out)
	}
	s.profile("job", strings.Replace(head, "order", "other", 1)+"volumes: [../b:/b, ../a:/a]\nenvironment: [B=2, A=3]\n")
	if out := s.must("up", "job"); !strings.HasPrefix(out, "job replaced\n") || !strings.Contains(out, "the profile's networks[other"+s.namespace+"]: (none) -> yes (") {
		t.Errorf("%q", out)
	}
	s.must("down", "job")
}
