package integration

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/runtime"
)

// TestBorrowsAWheel installs real wheels with native code on the host, and imports them in an image that has none.
func TestBorrowsAWheel(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	env := s.path("env")
	if out, err := exec.Command("/usr/bin/python3", "-m", "venv", env).CombinedOutput(); err != nil {
		skip(t, "/usr/bin/python3 -m venv: %v\n%s", err, out)
	}
	if out, err := exec.Command(filepath.Join(env, "bin/python3"), "-m", "pip", "install", "-q", "--only-binary=:all:", "markupsafe", "numpy").CombinedOutput(); err != nil {
		skip(t, "pip install markupsafe numpy: %v\n%s", err, out)
	}
	s.load(slim(t, "job"))
	s.profile("job", fmt.Sprintf("image: job\npull_policy: never\npython: {interpreter: %q, packages: [markupsafe, numpy]}\n", env+"/bin/python3"))
	s.must("check", "job")
	script := `
import sys, markupsafe, markupsafe._speedups, numpy
assert numpy.linalg.inv(numpy.eye(3)).sum() == 3
for m in (markupsafe, numpy):
    assert m.__file__.startswith("/opt/hostrun/site/"), m.__file__
try:
    open(markupsafe.__file__, "a")
except OSError as err:
    assert err.errno == 30, err  # EROFS
else:
    raise SystemExit("the host's packages are writable")
print(sys.prefix, markupsafe.escape("<ok>"))
`
	if out := s.must("run", "job", "--", "python3", "-c", script); !strings.Contains(out, "/usr &lt;ok&gt;") {
		t.Errorf("the job printed %q", out)
	}
}

// TestCheckLeavesNothing: the proof reads files; it starts nothing and keeps nothing but its cache.
func TestCheckLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	venv(t, s, "env")
	s.load(slim(t, "job"))
	borrowing(s, "env")
	before := s.inventory()
	for _, when := range []string{"first", "cached"} {
		r := s.hostrun("check", "job")
		if r.status != 0 {
			t.Fatalf("%s: %v", when, r)
		}
		s.nothingLeft(before)
	}
	must(t, os.RemoveAll(s.path("cache")))
	s.must("check", "job") // a lost cache costs time only
	s.nothingLeft(before)
}

// TestSpecIsWhatRuns: the spec that containerd keeps equals the one that `hostrun spec` prints.
func TestSpecIsWhatRuns(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	venv(t, s, "env")
	s.load(slim(t, "job"))
	borrowing(s, "env")
	before := s.inventory()
	printed := parse[specs.Spec](t, s.must("spec", "job"))
	s.must("up", "job")
	record, err := s.client.ContainerService().Get(s.context(), "job")
	must(t, err)
	stored := parse[specs.Spec](t, string(record.Spec.GetValue()))
	if diff := cmp.Diff(printed, stored); diff != "" {
		t.Errorf("-printed +stored:\n%s", diff)
	}
	s.must("down", "--timeout", "1s", "job")
	s.nothingLeft(before)
}

func parse[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// ps returns the one container of the stage, or fails.
func (s *stage) ps() runtime.Container {
	s.t.Helper()
	return parse[runtime.Container](s.t, s.must("ps", "-a", "--format", "json"))
}

func TestUpIsIdempotentAndNamesWhatChanged(t *testing.T) {
	s := newStage(t)
	s.load(tiny(t, "job"))
	up := plain(s, "environment: {COLOR: red}", "stop_grace_period: 1s")
	before := s.inventory()
	s.must(up...)
	first := s.ps()
	s.must(up...)
	if second := s.ps(); second.PID != first.PID || !second.CreatedAt.Equal(first.CreatedAt) {
		t.Errorf("the second up of the same spec replaced it: %+v, then %+v", first, second)
	}
	plain(s, "environment: {COLOR: blue}", "stop_grace_period: 1s")
	r := s.hostrun(up...)
	if r.status != 0 || !strings.Contains(r.stdout+r.stderr, "COLOR") {
		t.Errorf("the replacement does not name what changed:\n%v", r)
	}
	if third := s.ps(); third.PID == first.PID {
		t.Errorf("the changed spec did not replace the container")
	}
	s.must("down", "job")
	s.nothingLeft(before)
}

func TestLifeOfAContainer(t *testing.T) {
	s := newStage(t)
	s.load(tiny(t, "job"))
	up := plain(s, "command: [sh, -c, 'echo out; echo err >&2; exec sleep 1000']", "stop_grace_period: 1s")
	before := s.inventory()
	s.must(up...)
	if out := s.must("exec", "job", "--", "echo", "hello"); out != "hello\n" {
		t.Errorf("exec printed %q", out)
	}
	if r := s.hostrun("exec", "job", "--", "sh", "-c", "exit 7"); r.status != 7 {
		t.Errorf("want the status of the process, 7:\n%v", r)
	}
	s.must("stop", "job")
	if c := s.ps(); c.Status != "exited" || c.ExitStatus == nil || *c.ExitStatus != 137 {
		t.Errorf("after stop: %+v", c)
	}
	if r := s.hostrun("logs", "job"); r.stdout != "out\n" || r.stderr != "err\n" {
		t.Errorf("logs after stop:\n%v", r)
	}
	s.must("start", "job")
	s.must("kill", "--signal", "KILL", "job")
	if r := s.hostrun("wait", "job"); !strings.Contains(r.stdout, "137") && r.status != 137 {
		t.Errorf("wait does not tell 137:\n%v", r)
	}
	s.must("rm", "job")
	s.nothingLeft(before)
}

// TestInterruptAtEveryStage sends what ^C sends, sooner and later. Whatever `up` was doing: it either went back to
// nothing or finished, and the next one works.
func TestInterruptAtEveryStage(t *testing.T) {
	s := newStage(t)
	s.load(tiny(t, "job"))
	up := plain(s, "stop_signal: SIGKILL")
	before := s.inventory()
	for delay := time.Duration(0); delay <= 400*time.Millisecond; delay += 25 * time.Millisecond {
		cmd := s.command(up...)
		must(t, cmd.Start())
		time.Sleep(delay)
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		err := cmd.Wait()
		status := exitStatus(cmd)
		if status != 0 && status != 130 {
			t.Fatalf("^C after %v: exit status %d (%v), want 130, or 0 where it came too late", delay, status, err)
		}
		if status == 130 {
			s.nothingLeft(before)
			continue
		}
		s.must("down", "job")
		s.nothingLeft(before)
	}
}

// TestInterruptReachesTheJob: in the foreground, ^C is the job's to handle first.
func TestInterruptReachesTheJob(t *testing.T) {
	s := newStage(t)
	s.load(tiny(t, "job"))
	plain(s, "stop_signal: SIGINT")
	before := s.inventory()
	cmd := s.command("run", "job", "--", "sh", "-c", "trap 'echo saved; exit 42' INT; echo ready; while :; do sleep 0.1; done")
	pipe, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	stdout := bufio.NewReader(pipe)
	if line, err := stdout.ReadString('\n'); line != "ready\n" {
		t.Fatalf("the job says %q, %v", line, err)
	}
	must(t, cmd.Process.Signal(os.Interrupt))
	rest, err := io.ReadAll(stdout)
	must(t, err)
	err = cmd.Wait()
	if string(rest) != "saved\n" {
		t.Errorf("the job did not end by itself; it says %q", rest)
	}
	if status := exitStatus(cmd); status != 42 {
		t.Errorf("exit status %d (%v), want the job's own 42", status, err)
	}
	s.nothingLeft(before)
}

// TestKilledRunIsRemovedAtOnce: a one-off container ends with the command that runs it also where that is killed with
// SIGKILL, and no other command is needed.
func TestKilledRunIsRemovedAtOnce(t *testing.T) {
	s := newStage(t)
	s.load(tiny(t, "job"))
	plain(s, "stop_signal: SIGKILL")
	before := s.inventory()
	cmd := s.command("run", "job", "--", "sh", "-c", "echo ready; sleep 1000")
	pipe, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	if line, err := bufio.NewReader(pipe).ReadString('\n'); line != "ready\n" {
		t.Errorf("the job says %q, %v", line, err)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait() // it was killed
	s.nothingLeft(before)
}

// TestRunWhoseStandbyWasKilled: the process that would remove a one-off container is missed, and another one does it.
func TestRunWhoseStandbyWasKilled(t *testing.T) {
	s := newStage(t)
	s.load(tiny(t, "job"))
	plain(s, "stop_signal: SIGKILL")
	before := s.inventory()
	cmd := s.command("run", "-i", "job", "--", "sh", "-c", "echo ready; read word; echo $word")
	stdin, err := cmd.StdinPipe()
	must(t, err)
	pipe, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	stdout := bufio.NewReader(pipe)
	if line, err := stdout.ReadString('\n'); line != "ready\n" {
		t.Errorf("the job says %q, %v", line, err)
	}
	standing := fixture.Processes(func(args string) bool { return strings.Contains(args, "hostrun-reap") && strings.Contains(args, s.dir) })
	if len(standing) != 1 {
		t.Fatalf("processes that stand by: %v, want one", standing)
	}
	must(t, syscall.Kill(standing[0], syscall.SIGKILL))
	for syscall.Kill(standing[0], 0) == nil { // on a busy machine it is a while until it has died, and until then nobody can miss it
		time.Sleep(5 * time.Millisecond)
	}
	_, err = io.WriteString(stdin, "over\n")
	must(t, err)
	if line, err := stdout.ReadString('\n'); line != "over\n" {
		t.Errorf("the job says %q, %v", line, err)
	}
	must(t, cmd.Wait())
	s.nothingLeft(before)
}

// TestKilledAnywhereTheSameCommandHeals ends hostrun with SIGKILL directly after each of its effects, then says the same
// again: it has to work, and after down nothing may be left, whichever step was the last.
func TestKilledAnywhereTheSameCommandHeals(t *testing.T) {
	s := newStage(t)
	s.load(tiny(t, "job"))
	up := plain(s, "stop_signal: SIGKILL") // busybox as PID 1 heeds no other: each stop would take its grace
	before := s.inventory()
	for _, c := range []struct {
		name string
		die  []string // the command that dies
		heal []string // the command after it
		own  int      // steps that it comes to at least; those of a removal in the background are its child's
	}{
		{"up", up, up, 3},
		{"run", []string{"run", "job", "--", "true"}, []string{"run", "job", "--", "true"}, 3},
		{"down", []string{"down", "job"}, []string{"down", "job"}, 2},
		{"replace", []string{"up", "--force-recreate", "job"}, up, 3},
	} {
		reached := 0
		for _, at := range runtime.Steps {
			if c.name == "down" || c.name == "replace" {
				s.must(up...)
			}
			if s.diesAt(at, c.die...) {
				reached++
			} else if c.name == "run" { // it went through, and nothing is to heal
				continue
			}
			s.reapersEnd() // they die at that step too: a second death, which the command that follows the first can't foresee
			if r := s.hostrun(c.heal...); r.status != 0 {
				t.Errorf("%s killed at %s: the same command again: %v", c.name, at, r)
			}
			if r := s.hostrun("down", "--all"); r.status != 0 {
				t.Errorf("%s killed at %s: down afterwards: %v", c.name, at, r)
			}
			if extra, gone := s.settled(before); len(extra)+len(gone) > 0 {
				t.Fatalf("%s killed at %s: left behind: %q, gone: %q", c.name, at, extra, gone)
			}
		}
		if reached < c.own {
			t.Errorf("%s reached %d steps of %q: this test no longer kills it where it should", c.name, reached, runtime.Steps)
		}
	}
}

// reapersEnd waits until no removal of this stage goes on in the background.
func (s *stage) reapersEnd() {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); s.reaps(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("a removal in the background does not end")
		}
	}
}

func (s *stage) reaps() bool {
	return len(fixture.Processes(func(args string) bool {
		return strings.Contains(args, runtime.ReapVerb) && strings.Contains(args, s.dir)
	})) > 0
}

// diesAt runs a command that ends itself at a step, and reports whether it came there.
func (s *stage) diesAt(step string, args ...string) bool {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(theatre.dir, "mortal", "hostrun"), args...)
	cmd.Dir, cmd.Env = s.dir, append(slices.Clone(s.env), "HOSTRUN_DIE_AT="+step)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	killed := signalOf(cmd.ProcessState) == int(syscall.SIGKILL)
	if !killed && err != nil {
		s.t.Errorf("hostrun %v, to be killed at %s: %v\n%s", args, step, err, out)
	}
	return killed
}
