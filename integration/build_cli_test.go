package integration

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// newBuildStage is a stage in which buildah, and nothing else, can build: its files lie with the test's.
func newBuildStage(t *testing.T) *stage {
	t.Helper()
	if _, err := exec.LookPath("buildah"); err != nil {
		skip(t, "there is no buildah: apt-get install buildah")
	}
	s := newStage(t)
	conf := s.write("storage.conf", "[storage]\ndriver = \"vfs\"\nrunroot = \""+s.path("buildah/run")+"\"\ngraphroot = \""+s.path("buildah/store")+"\"\n")
	s.env = append(s.env, "CONTAINERS_STORAGE_CONF="+conf, "DOCKER_HOST=unix:///nonexistent.sock", "BUILDKIT_HOST=unix:///nonexistent.sock", "BUILDAH_ISOLATION=chroot")
	if err := os.MkdirAll(s.path("profiles/app"), 0o755); err != nil {
		t.Fatal(err)
	}
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		skip(t, "there is no /bin/busybox: apt-get install busybox-static")
	}
	s.write("profiles/app/busybox", string(busybox))
	if err := os.Chmod(s.path("profiles/app/busybox"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.write("profiles/app/Dockerfile", "FROM scratch AS base\nCOPY busybox /bin/sh\nFROM base\nARG WORD=default\nENV WORD=$WORD\nCOPY word /word\nCMD [\"/bin/sh\", \"-c\", \"read -r file </word; echo $WORD $file\"]\n")
	s.write("profiles/app/word", "one\n")
	return s
}

// TestBuild builds from FROM scratch by buildah: where the image is missing, on request, and each time; what it has built runs.
func TestBuild(t *testing.T) {
	t.Parallel()
	s := newBuildStage(t)
	s.profile("app", "build: {context: ./app, args: {WORD: given}, tags: [\"app:second\"]}\npython: none\n")
	if out := s.must("run", "app"); out != "given one\n" {
		t.Errorf("built where it is missing: %q", out)
	}
	s.write("profiles/app/word", "two\n")
	if out := s.must("run", "app"); out != "given one\n" {
		t.Errorf("not built where it is there: %q", out)
	}
	if out := s.must("run", "--build", "app"); out != "given two\n" {
		t.Errorf("--build: %q", out)
	}
	if out := s.must("images", "-q"); !strings.Contains(out, "app:second") || !strings.Contains(out, "app:latest") {
		t.Errorf("names: %q", out)
	}
	if out := s.must("build", "--build-arg", "WORD=line", "app"); out != "docker.io/library/app:latest\ndocker.io/library/app:second\n" {
		t.Errorf("build prints %q", out)
	}
	s.profile("always", "image: app\nbuild: ./app\npull_policy: build\npython: none\n")
	s.write("profiles/app/word", "three\n")
	if out := s.must("run", "always"); out != "default three\n" {
		t.Errorf("pull_policy: build: %q", out)
	}
	s.write("profiles/app/Dockerfile", "FROM scratch\nCOPY nowhere /\n")
	refuse(s, 65, []string{"HR296", "nowhere", "always.yaml:2"}, "up", "always")
}

// TestNothingBuilds names the three ways, and the image that the Dockerfile begins with; and what is not there to build from.
func TestNothingBuilds(t *testing.T) {
	t.Parallel()
	s := newBuildStage(t)
	s.write("profiles/app/Dockerfile", "ARG BASE=python:3.11-slim\nFROM ${BASE}\n")
	s.profile("app", "build: ./app\npython: none\n")
	s.env = append(s.env, "PATH="+s.path("bin"))
	refuse(s, 66, []string{"HR295", "buildkitd", "docker", "buildah", "python:3.11-slim", "app.yaml:1"}, "up", "app")
	refuse(s, 1, []string{"hostrun build app"}, "check", "app")
	s.profile("gone", "build: ./nowhere\npython: none\n")
	refuse(s, 66, []string{"HR297", "nowhere is not there", "gone.yaml:1"}, "build", "gone")
	s.profile("file", "build: {context: ./app, dockerfile: Nofile, secrets: [{id: a, file: ./nosecret}]}\npython: none\n")
	refuse(s, 66, []string{"Nofile is not there", "nosecret is not there"}, "build", "file")
	s.profile("none", "image: app\npython: none\n")
	refuse(s, 65, []string{"has no build:"}, "build", "none")
}

// refuse runs a command line that has to end with that status and name each of the words.
func refuse(s *stage, status int, words []string, args ...string) {
	s.t.Helper()
	r := s.hostrun(args...)
	if r.status != status {
		s.t.Errorf("want status %d:\n%v", status, r)
	}
	for _, w := range words {
		if !strings.Contains(r.stdout+r.stderr, w) {
			s.t.Errorf("want %q:\n%v", w, r)
		}
	}
}
