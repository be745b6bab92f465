package integration

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"hostrun.dev/hostrun/integration/fixture"
)

// locked is a stage with a venv of its own, in which install puts the one version of a package; built tells its wheels apart.
func locked(t *testing.T) (s *stage, install func(name, version, built string)) {
	t.Helper()
	s = newStage(t)
	s.write("venv/pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = false\n")
	must(t, os.MkdirAll(s.path("venv/bin"), 0o755))
	must(t, os.Symlink("/usr/bin/python3", s.path("venv/bin/python3")))
	site := fmt.Sprintf("venv/lib/python3.%d/site-packages/", thePython(t).minor)
	return s, func(name, version, built string) {
		old, _ := os.ReadDir(s.path(site))
		for _, e := range old {
			if strings.HasPrefix(e.Name(), name+"-") {
				must(t, os.RemoveAll(s.path(site, e.Name())))
			}
		}
		if version == "" {
			return
		}
		s.write(site+name+".py", "")
		s.write(site+name+"-"+version+".dist-info/METADATA", "Metadata-Version: 2.1\nName: "+name+"\nVersion: "+version+"\n")
		s.write(site+name+"-"+version+".dist-info/RECORD", name+".py,sha256="+built+",0\n"+name+"-"+version+".dist-info/RECORD,,\n")
	}
}

func (s *stage) lockText() string {
	s.t.Helper()
	b, err := os.ReadFile(s.path("profiles/hostrun.lock"))
	must(s.t, err)
	return string(b)
}

// refusedBy runs a command that the lock has to refuse, in words.
func (s *stage) refusedBy(id string, words []string, args ...string) {
	s.t.Helper()
	r := s.hostrun(args...)
	if r.status != 78 {
		s.t.Errorf("want status 78: %v", r)
	}
	for _, w := range append([]string{"error[" + id + "]: "}, words...) {
		if !strings.Contains(r.stderr, w) {
			s.t.Errorf("no %q: %v", w, r)
		}
	}
}

// TestLock: what lock writes, that the same is written again byte for byte, and each difference by its name, its line of the lock and what
// to type: packages, an entry that is missing, a lock that can't be read.
func TestLock(t *testing.T) {
	t.Parallel()
	s, install := locked(t)
	install("thing", "1.0", "a")
	install("other", "0.1", "a")
	s.profile("job", "rootfs: host\nstop_signal: SIGKILL\ncommand: sleep 1000\npython: ../venv\n")
	s.profile("plain", "rootfs: host\ncommand: \"true\"\ndepends_on: {job: {condition: started}}\n")
	s.refusedBy("HR371", []string{"job is not locked", "hostrun lock job", "there is no " + s.path("profiles/hostrun.lock")}, "up", "--locked", "job")
	if r := s.hostrun("lock", "--check", "job"); r.status != 3 || r.stdout != "job: not in profiles/hostrun.lock\n" {
		t.Errorf("%v", r)
	}
	equal(t, "lock", s.must("lock", "plain"), "job: locked in profiles/hostrun.lock\nplain: locked in profiles/hostrun.lock\n")
	first := s.lockText()
	for _, line := range []string{"  job:\n    system: ", "      packages:\n        other: 0.1 sha256:", "        thing: 1.0 sha256:", "  plain:\n    system: "} {
		if !strings.Contains(first, line) {
			t.Errorf("no %q in\n%s", line, first)
		}
	}
	equal(t, "again", s.must("lock"), "job: as profiles/hostrun.lock says\nplain: as profiles/hostrun.lock says\n")
	equal(t, "the lock", s.lockText(), first)
	equal(t, "check", s.must("lock", "--check"), "job: as profiles/hostrun.lock says\nplain: as profiles/hostrun.lock says\n")
	s.must("up", "--locked", "job")

	line := func(of string) string {
		for i, l := range strings.Split(first, "\n") {
			if strings.Contains(l, of) {
				return fmt.Sprintf("profiles/hostrun.lock:%d", i+1)
			}
		}
		t.Fatalf("no %q in\n%s", of, first)
		return ""
	}
	install("thing", "2.0", "a")
	s.refusedBy("HR370", []string{"the host's package thing: 1.0 -> 2.0", line("thing: 1.0 sha256:"), "hostrun lock job"}, "up", "--locked", "job")
	for _, verb := range []string{"check", "spec"} {
		s.env = append(s.env, "HOSTRUN_LOCKED=1")
		if r := s.hostrun(verb, "job"); r.status != 78 || !strings.Contains(r.stdout+r.stderr, "thing: 1.0 -> 2.0") {
			t.Errorf("%v", r)
		}
		s.env = s.env[:len(s.env)-1]
		s.must(verb, "job")
	}
	if r := s.hostrun("run", "--locked", "plain"); r.status != 125 || !strings.Contains(r.stderr, "thing: 1.0 -> 2.0") {
		t.Errorf("a dependency that differs: %v", r)
	}
	if r := s.hostrun("lock", "--check", "job"); r.status != 3 || !strings.Contains(r.stdout, "job: not what profiles/hostrun.lock says\n  the host's package thing: 1.0 -> 2.0 (profiles/hostrun.lock:") {
		t.Errorf("%v", r)
	}
	install("thing", "1.0", "b") // another build of the same version
	s.refusedBy("HR370", []string{"the host's package thing 1.0: other files than before: sha256:"}, "up", "--locked", "job")
	install("other", "", "")
	s.refusedBy("HR370", []string{"the host's package other: 0.1 -> (none)"}, "up", "--locked", "job")
	if out := s.must("lock", "job"); !strings.HasPrefix(out, "job: locked anew in profiles/hostrun.lock\n  the host's package other: ") {
		t.Errorf("%q", out)
	}
	s.must("run", "--locked", "plain")
	s.refusedBy("HR370", []string{"the host's Python: ", " -> (none)"}, "spec", "--locked", "--python", "none", "job")
	s.write("profiles/hostrun.lock", "<<<<<<< HEAD\n"+first)
	if r := s.hostrun("up", "--locked", "job"); r.status != 65 || !strings.Contains(r.stderr, "error[HR372]: ") || !strings.Contains(r.stderr, "profiles/hostrun.lock:1\n") {
		t.Errorf("%v", r)
	}
	s.must("up", "job")
	s.must("down", "job")
}

// TestLockedImage: a tag that was moved is refused, an image that is not here is pulled by the lock's digest although its tag has moved, and
// pull --locked brings it back.
func TestLockedImage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	registry := fixture.StartRegistry(t)
	ref := registry.Host + "/team/tool:v1"
	first, second := fixture.BusyboxImage(t, ""), fixture.BusyboxImage(t, "")
	first.Config.Labels, second.Config.Labels = map[string]string{"is": "first"}, map[string]string{"is": "second"}
	registry.Add("team/tool:v1", first)
	s.profile("job", "image: "+ref+"\npull_policy: always\nstop_signal: SIGKILL\ncommand: sleep 1000\n")
	if r := s.hostrun("lock", "job"); r.status == 0 || !strings.Contains(r.stderr, "hostrun pull "+ref) {
		t.Errorf("an image that is not here: %v", r)
	}
	equal(t, "lock", s.must("lock", "--pull", "missing", "job"), "job: locked in profiles/hostrun.lock\n")
	text := s.lockText()
	_, digest, _ := strings.Cut(text, "digest: ")
	digest, _, _ = strings.Cut(digest, "\n")
	label := func(want string) {
		t.Helper()
		if out := s.must("inspect", "--image", ref); !strings.Contains(out, `"`+want+`"`) {
			t.Errorf("the image is not the %s: %s", want, out)
		}
	}

	registry.Add("team/tool:v1", second)
	s.must("rmi", ref)
	s.must("up", "--locked", "job") // pull_policy: always would fetch the other one
	label("first")
	if out := s.must("images"); strings.Contains(out, "@sha256") {
		t.Errorf("the digest has become a name: %s", out)
	}
	s.must("pull", ref)
	label("second")
	s.refusedBy("HR370", []string{"the image's digest: " + digest + " -> sha256:", "profiles/hostrun.lock:", "hostrun pull --locked job"}, "up", "--locked", "job")
	equal(t, "pull", s.must("pull", "--locked", "job"), registry.Host+"/team/tool@"+digest+"\n")
	label("first")
	equal(t, "up", s.must("up", "--locked", "job"), "job unchanged\n")
	if out := s.must("lock", "--pull", "always", "job"); !strings.Contains(out, "job: locked anew in profiles/hostrun.lock\n  the image's digest: "+digest+" -> sha256:") {
		t.Errorf("%q", out)
	}
	s.must("down", "job")
}
