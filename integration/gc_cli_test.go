package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"

	"hostrun.dev/hostrun/runtime"
)

// garbage is what gc says, by kind.
func (s *stage) garbage(args ...string) map[string][]runtime.Garbage {
	s.t.Helper()
	all := map[string][]runtime.Garbage{}
	for line := range strings.Lines(s.must(append([]string{"gc", "--format", "json"}, args...)...)) {
		g := parse[runtime.Garbage](s.t, line)
		all[g.Kind] = append(all[g.Kind], g)
	}
	return all
}

// TestGarbage: what nothing needs is found, named with its size, and removed; what lives, what is about to live and what is
// not old enough stays.
func TestGarbage(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, ref := range []string{"job", "spare", "starting"} {
		s.load(tiny(t, ref))
	}
	up := plain(s, "command: [sleep, '1000']", "stop_grace_period: 0s")
	s.must(up...)
	before := s.inventory()
	if all := s.garbage(); len(all) != 0 {
		t.Errorf("of a tidy stage gc took %+v", all)
	}
	s.nothingLeft(before)

	// The log of a container whose record is gone, a mount of it, and a snapshot.
	s.write("data/containers/"+s.namespace+"/lost/log", strings.Repeat("x", 100_000))
	at := s.path("data/containers", s.namespace, "lost/mnt")
	must(t, os.MkdirAll(at, 0o755))
	must(t, syscall.Mount("tmpfs", at, "tmpfs", 0, ""))
	t.Cleanup(func() { _ = syscall.Unmount(at, syscall.MNT_DETACH) })
	sn := s.client.SnapshotService("")
	_, err := sn.Prepare(s.context(), "lost-abcdefghij", "", snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "x"})) // or containerd has it first
	must(t, err)
	// A cache entry of last year, and one of today.
	old := s.write("cache/engine/old.json", "{}")
	year := time.Now().Add(-365 * 24 * time.Hour)
	must(t, os.Chtimes(old, year, year))
	fresh := s.write("cache/engine/fresh.json", "{}")
	// A command that is about to start a container holds its image by a lock on a file of the state directory.
	hold, err := os.Open(s.path("state", "images.lock"))
	must(t, err)
	defer hold.Close()
	must(t, syscall.Flock(int(hold.Fd()), syscall.LOCK_SH))

	dry := s.garbage("--dry-run", "--all")
	if len(dry["files"]) != 1 || dry["files"][0].Size < 100_000 || len(dry["mount"]) != 1 || len(dry["snapshot"]) != 1 || len(dry["cache"]) != 1 || len(dry["image"]) != 2 || len(dry) != 5 {
		t.Errorf("gc --dry-run --all says %+v", dry)
	}
	for _, path := range []string{at, old} {
		if _, err := os.Stat(path); err != nil {
			t.Errorf("gc --dry-run removed %v", err)
		}
	}
	if r := s.hostrun("gc", "--all", "-y"); r.status != 0 || strings.Contains(r.stdout, "image ") || !strings.Contains(r.stderr, "image docker.io/library/starting:latest stays") {
		t.Errorf("gc while a command is about to start something:\n%v", r)
	}
	must(t, hold.Close())
	for _, path := range []string{filepath.Dir(at), old} {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("gc left %s", path)
		}
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("gc removed an entry of today: %v", err)
	}
	if all := s.garbage("--dry-run"); len(all) != 0 {
		t.Errorf("after gc there is %+v", all)
	}
	if all := s.garbage("--older-than", "0", "-y"); len(all["image"]) != 2 {
		t.Errorf("gc --older-than 0 took %+v", all)
	}
	if have := strings.Fields(s.must("images", "-q")); !slices.Equal(have, []string{"docker.io/library/job:latest"}) {
		t.Errorf("the images %v stay", have)
	}
	must(t, mount.UnmountAll(at, 0))

	s.must("stop", "job")
	if all := s.garbage("--older-than", "1h", "--stopped"); len(all) != 0 {
		t.Errorf("gc --stopped took what ended a moment ago: %+v", all)
	}
	if all := s.garbage("--older-than", "0s", "--stopped", "--dry-run"); len(all["container"]) != 1 {
		t.Errorf("gc --stopped found %+v", all)
	}
	s.must("start", "job") // it was not touched
	s.refused(2, `"soon" is no duration`, "7d", "gc", "--older-than", "soon")
	s.must("down", "job")
}

// TestSeveralLogs: each line says whose it is, in the order of the names, and whole; and ps tells by filters.
func TestSeveralLogs(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job"))
	for name, script := range map[string]string{"a": "echo one; echo two >&2; exit 3", "longer": "busybox printf three; exec sleep 1000"} {
		s.profile(name, "image: job\npull_policy: never\nstop_grace_period: 0s\ncommand: [sh, -c, '"+script+"']\n")
	}
	s.must("up", "a", "longer")
	s.hostrun("wait", "a")
	want := "a       | one\nlonger  | three\n"
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		r := s.hostrun("logs", "a", "longer")
		if r.status == 0 && r.stdout == want && r.stderr == "a       | two\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("logs of two:\n%v", r)
		}
	}
	if r := s.hostrun("logs", "--no-log-prefix", "a", "longer"); r.stdout != "one\nthree" {
		t.Errorf("logs --no-log-prefix:\n%v", r)
	}
	if r := s.hostrun("logs", "--all"); r.stdout != want {
		t.Errorf("logs --all:\n%v", r)
	}
	for line, want := range map[string]string{
		"ps -q": "longer\n", "ps -aq": "a\nlonger\n", "ps --status exited -q": "a\n", "ps --filter exited=3 -q": "a\n", "ps --filter exited=4 -q": "",
		"ps --filter status=running --status exited -q": "a\nlonger\n", "ps --services": "longer\n", "ps -a --filter name=ong --filter ancestor=job -q": "longer\n", "ps -a -q a": "a\n",
	} {
		if out := s.must(strings.Fields(line)...); out != want {
			t.Errorf("%s: %q, want %q", line, out, want)
		}
	}
	s.refused(2, "no filter", "status", "ps", "--filter", "colour=red")
	s.refused(2, "no status", "created", "ps", "--status", "asleep")
	s.must("down", "a", "longer")
}
