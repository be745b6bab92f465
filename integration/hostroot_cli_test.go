package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestHello is the first command of the README: no image is there, and none is pulled.
func TestHello(t *testing.T) {
	s := newStage(t)
	before := s.inventory()
	out := s.must("run", "hello")
	for _, want := range []string{"Hello", "system", "Linux", "python", "root (0:0)", "process 1", "read-only", "/root holds 0 files, /home 0"} {
		if !strings.Contains(out, want) {
			t.Errorf("hello does not say %q:\n%s", want, out)
		}
	}
	if lines := strings.Count(out, "\n"); lines != 5 {
		t.Errorf("hello prints %d lines:\n%s", lines, out)
	}
	if images := s.must("images", "--format", "json"); images != "" {
		t.Errorf("images: %s", images)
	}
	s.nothingLeft(before)
	s.must("check", "hello")
	s.nothingLeft(before)
}

// TestHostRootLife takes a container without an image through every verb.
func TestHostRootLife(t *testing.T) {
	s := newStage(t)
	before := s.inventory()
	s.profile("bare", "rootfs: host\ncommand: sleep 1000\nstop_grace_period: 0s\n")
	printed := parse[specs.Spec](t, s.must("spec", "bare"))
	s.must("up", "bare")
	first := s.ps()
	if first.Image != "" || first.Status != "running" {
		t.Errorf("ps: %+v", first)
	}
	if table := s.must("ps"); !strings.Contains(table, "(host)") {
		t.Errorf("ps:\n%s", table)
	}
	record, err := s.client.ContainerService().Get(s.context(), "bare")
	must(t, err)
	if diff := cmp.Diff(printed, parse[specs.Spec](t, string(record.Spec.GetValue()))); diff != "" {
		t.Errorf("-printed +stored:\n%s", diff)
	}
	if record.Image != "" || record.SnapshotKey != "" || record.Snapshotter != "" {
		t.Errorf("image %q, snapshot %q of %q", record.Image, record.SnapshotKey, record.Snapshotter)
	}
	if out := s.must("up", "bare"); out != "bare unchanged\n" {
		t.Errorf("the second up: %s", out)
	}
	if out := s.must("exec", "--user", "nobody", "bare", "--", "id", "-un"); out != "nobody\n" {
		t.Errorf("exec: %s", out)
	}
	s.must("restart", "bare")
	s.must("stop", "bare")
	s.must("start", "bare")
	s.must("inspect", "bare")
	s.profile("bare", "rootfs: host\nread_only: false\ncommand: sleep 1000\nstop_grace_period: 0s\n")
	if out := s.must("up", "bare"); !strings.HasPrefix(out, "bare replaced\n") || !strings.Contains(out, "the read-only root: true -> (none)") {
		t.Errorf("up of the writable one: %s", out)
	}
	s.must("exec", "bare", "--", "touch", "/usr/bin/hostrun-test-of-a-layer")
	if _, err := os.Stat("/usr/bin/hostrun-test-of-a-layer"); err == nil {
		t.Error("the container has written to the machine's /usr/bin")
	}
	s.must("down", "bare")
	s.nothingLeft(before)
}

// TestHostRootHidesThisMachine: on the very machine that runs the tests, its secrets are not in the container.
func TestHostRootHidesThisMachine(t *testing.T) {
	s := newStage(t)
	s.profile("look", "rootfs: host\ncommand: [sh]\n")
	script := "for f in /etc/shadow /etc/gshadow /etc/sudoers /etc/ssh /etc/ssl/private /etc/machine-id /etc/apt /root/.* /home/* /var/lib/* /boot /srv /mnt " + s.dir + "; do " +
		"case $f in */.|*/..|*'*') continue;; esac; test -e $f && echo $f; done; find / \\( -path /usr -o -path /proc -o -path /sys \\) -prune -o -type s -print 2>/dev/null; find /run /tmp /var -mindepth 1 ! -path /var/tmp ! -path /var/run ! -path /var/lock; " +
		"for d in / /usr /usr/local /opt /etc /bin; do touch $d/hostrun-test 2>/dev/null && echo written $d; done; true"
	if out := s.must("run", "look", "--", "sh", "-c", script); out != "" {
		t.Errorf("the container sees:\n%s", out)
	}
}

// TestHostRootBorrowsAnEnvironmentOutsideOfIt: the caller's virtual environment works at its own path, and nothing beside it is seen.
func TestHostRootBorrowsAnEnvironmentOutsideOfIt(t *testing.T) {
	s := newStage(t)
	env := s.path("home", "venv")
	if out, err := exec.Command("/usr/bin/python3", "-m", "venv", "--without-pip", env).CombinedOutput(); err != nil {
		skip(t, "/usr/bin/python3 -m venv: %v\n%s", err, out)
	}
	site, err := filepath.Glob(env + "/lib/python3*/site-packages")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(site[0], "borrowed.py"), []byte("where = __file__\n"), 0o644))
	s.write("home/secret", "secret")
	s.profile("job", fmt.Sprintf("rootfs: host\npython: %s\ncommand: [python3, -c, %q]\n", env,
		"import borrowed, os, sys; print(borrowed.where, sys.prefix, os.listdir('"+s.path("home")+"'))"))
	want := fmt.Sprintf("%s/borrowed.py %s ['venv']\n", site[0], env)
	for _, user := range []string{"root", "nobody"} {
		if out := s.must("run", "job", "--user", user); out != want {
			t.Errorf("as %s: %s, want %s", user, out, want)
		}
	}
	r := s.hostrun("run", "job", "--", "sh", "-c", "touch "+site[0]+"/x")
	if r.status == 0 || !strings.Contains(r.stderr, "Read-only file system") {
		t.Errorf("the environment can be written to: %v", r)
	}
}

// TestHostRootOfACarefulCaller: a umask that closes everything does not close the container's root to its user.
func TestHostRootOfACarefulCaller(t *testing.T) {
	s := newStage(t)
	for _, mode := range []string{"true", "false"} {
		s.profile("job", "rootfs: host\nread_only: "+mode+"\nuser: nobody\ncommand: [sh, -c, 'ls / >/dev/null && ls /etc /var >/dev/null && touch /tmp/x && echo fine']\n")
		cmd := s.command("run", "job")
		cmd.Args = append([]string{"sh", "-c", "umask 077; exec \"$0\" \"$@\"", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
		if r := finish(cmd); r.stdout != "fine\n" {
			t.Errorf("read_only: %s: %v", mode, r)
		}
	}
}

// TestHostRootReplays: recorded facts give the same spec, without a machine or containerd.
func TestHostRootReplays(t *testing.T) {
	s := newStage(t)
	recording := s.write("facts.json", s.must("facts", "hello"))
	here := s.must("spec", "hello")
	if there := s.must("--address", "/nowhere", "spec", "--facts", recording, "hello"); there != here {
		t.Errorf("the replay differs:\n%s", cmp.Diff(here, there))
	}
}

// TestHostRootGivesWayToAnImage of the command line.
func TestHostRootGivesWayToAnImage(t *testing.T) {
	s := newStage(t)
	s.load(tiny(t, "job"))
	spec := parse[specs.Spec](t, s.must("spec", "hello", "--image", "job"))
	if spec.Root.Readonly || len(spec.Mounts) > 15 {
		t.Errorf("root %+v with %d mounts", spec.Root, len(spec.Mounts))
	}
}
