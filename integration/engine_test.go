package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	private "hostrun.dev/hostrun/engine"
	"hostrun.dev/hostrun/exectest"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/runtime"
)

// ensured is what a child says that held and ensured the engine.
type ensured struct {
	Started bool
	PID     int
	Status  int // of the error
	Error   string
}

func init() {
	runtimeHelpers["__ensure"] = func(args []string) error {
		l := private.Layout{StateDir: args[0], RootDir: args[1], LibexecDir: args[2]}
		return json.NewEncoder(os.Stdout).Encode(ensure(l))
	}
}

// ensure does what each command does before its first call to containerd.
func ensure(l private.Layout) (e ensured) {
	release, err := private.Hold(l)
	if err == nil {
		defer release()
		e.Started, err = private.Ensure(context.Background(), l, nil)
	}
	if err != nil {
		return ensured{Status: finding.StatusOf(err), Error: err.Error() + "\n" + strings.Join(finding.HintOf(err), "\n")}
	}
	s, err := private.State(l)
	if err != nil {
		return ensured{Status: finding.StatusOf(err), Error: err.Error()}
	}
	e.PID = s.PID
	return e
}

// enginePrograms is libexec with the engine.
var enginePrograms = sync.OnceValues(func() (string, error) {
	if _, err := built(private.Binary, []string{"CGO_ENABLED=0"}, "build", "-trimpath", "-ldflags=-s -w -X main.version=test", "hostrun.dev/hostrun/cmd/hostrun-engine"); err != nil {
		return "", err
	}
	return libexec()
})

func newPrivate(t *testing.T) *fixture.Private {
	t.Helper()
	programs, err := enginePrograms()
	ok(t, err)
	return fixture.NewPrivate(t, programs)
}

// startPrivate starts an engine and returns a client of it.
func startPrivate(t *testing.T) (*fixture.Private, *world) {
	t.Helper()
	p := newPrivate(t)
	mustEnsure(t, p)
	w := newWorld(t, &p.Containerd)
	w.load(fixture.BusyboxImage(t, busybox))
	return p, w
}

// child runs ensure in a process of its own, as somebody else if options of setpriv say so.
func child(p *fixture.Private, setpriv ...string) *exec.Cmd {
	return childOf(os.Args[0], p, setpriv...)
}

func childOf(program string, p *fixture.Private, setpriv ...string) *exec.Cmd {
	args := []string{program, "__ensure", p.Layout.StateDir, p.Layout.RootDir, p.Layout.LibexecDir}
	if len(setpriv) > 0 {
		args = append(append([]string{"setpriv"}, setpriv...), args...)
	}
	return exec.Command(args[0], args[1:]...)
}

func said(t *testing.T, cmd *exec.Cmd) ensured {
	t.Helper()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return parse[ensured](t, string(out))
}

func mustEnsure(t *testing.T, p *fixture.Private) ensured {
	t.Helper()
	e := ensure(p.Layout)
	if e.Error != "" {
		t.Fatalf("start the private engine: status %d: %s", e.Status, e.Error)
	}
	return e
}

// gone waits until no engine serves p.
func gone(t *testing.T, p *fixture.Private) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if len(p.Engines()) == 0 {
			return
		}
	}
	t.Fatalf("the engine does not leave:\n%s", p.Log())
}

// TestEngineStartsOnce: sixteen commands at once share one engine, which outlives them.
func TestEngineStartsOnce(t *testing.T) {
	p := newPrivate(t)
	all := make([]ensured, 16)
	var wait sync.WaitGroup
	for n := range all {
		cmd := child(p)
		wait.Go(func() { all[n] = said(t, cmd) })
	}
	wait.Wait()
	started := 0
	for _, e := range all {
		equal(t, "error", e.Error, "")
		equal(t, "the engine's pid", e.PID, all[0].PID)
		if e.Started {
			started++
		}
	}
	equal(t, "commands that started one", started, 1)
	if pids := p.Engines(); len(pids) != 1 || pids[0] != all[0].PID {
		t.Errorf("engines: %v, want %d alone", pids, all[0].PID)
	}
	s, err := private.State(p.Layout)
	ok(t, err)
	equal(t, "running", s.Running, true)
	equal(t, "version", s.Version, "test")
	equal(t, "outdated", s.Outdated, false)
	if session, _ := unix.Getsid(s.PID); session != s.PID {
		t.Errorf("the engine is in session %d, and ends with it; its pid is %d", session, s.PID)
	}
}

// TestEngineLeavesWhenIdle: without clients and tasks it goes after a while, leaves no socket, and comes back when asked.
func TestEngineLeavesWhenIdle(t *testing.T) {
	t.Setenv("HOSTRUN_ENGINE_IDLE", "100ms")
	p := newPrivate(t)
	release, err := private.Hold(p.Layout)
	ok(t, err)
	first := mustEnsure(t, p)
	time.Sleep(500 * time.Millisecond)
	equal(t, "the engine that is held", p.PID(), first.PID)
	release()
	gone(t, p)
	for _, path := range []string{p.Layout.Address(), p.Layout.EventAddress()} {
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
	s, err := private.State(p.Layout)
	ok(t, err)
	equal(t, "running", s.Running, false)
	equal(t, "started again", mustEnsure(t, p).Started, true)
}

// TestEngineStaysForOthers: a client of containerd that knows nothing of our lock keeps it too, as long as it is connected.
func TestEngineStaysForOthers(t *testing.T) {
	t.Setenv("HOSTRUN_ENGINE_IDLE", "100ms")
	p := newPrivate(t)
	release, err := private.Hold(p.Layout) // on a loaded machine it would have left before anybody connects
	ok(t, err)
	first := mustEnsure(t, p)
	conn, err := net.Dial("unix", p.Layout.Address())
	ok(t, err)
	release()
	defer conn.Close()
	time.Sleep(500 * time.Millisecond)
	equal(t, "the engine that somebody is connected to", p.PID(), first.PID)
	ok(t, conn.Close())
	gone(t, p)
}

// TestEngineStaysForTask: as long as a task lives it does not leave, for a task's exit status is lost without it.
func TestEngineStaysForTask(t *testing.T) {
	t.Setenv("HOSTRUN_ENGINE_IDLE", "100ms")
	p := newPrivate(t)
	release, err := private.Hold(p.Layout)
	ok(t, err)
	mustEnsure(t, p)
	w := newWorld(t, &p.Containerd)
	w.load(fixture.BusyboxImage(t, busybox))
	pl := quick(w.plan("lives", "sleep", "1000"))
	w.running(pl)
	release()
	pid := p.PID()
	ok(t, w.c.Close())
	time.Sleep(time.Second)
	equal(t, "the engine with a task", p.PID(), pid)
	w = newWorldAt(t, w)
	ok(t, w.c.Down(context.Background(), pl.ID, nil))
	w.clean()
	ok(t, w.c.Close())
	gone(t, p)
}

// newWorldAt connects anew.
func newWorldAt(t *testing.T, old *world) *world {
	t.Helper()
	w := newWorld(t, old.ctrd)
	_ = w.c.Close()
	w.opt = old.opt
	c, err := runtime.Open(context.Background(), w.opt)
	ok(t, err)
	t.Cleanup(func() { c.Close() })
	w.c = c
	return w
}

// TestEngineSecondOnSameRoot: bolt would let a second one wait for ever. It is refused, by name of the first.
func TestEngineSecondOnSameRoot(t *testing.T) {
	p := newPrivate(t)
	first := mustEnsure(t, p)
	for name, state := range map[string]string{"same state": p.Layout.StateDir, "other state": p.Path("other")} {
		cmd := exec.Command(p.Binary, "--state", state, "--root", p.Layout.RootDir)
		cmd.Env = []string{"PATH=/usr/bin:/bin"}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !strings.Contains(string(out), fmt.Sprintf("another one (pid %d) works on", first.PID)) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	equal(t, "the first one's pid", p.PID(), first.PID)
}

// TestEngineLayoutThatCannotWork: what is wrong is said before anything is made.
func TestEngineLayoutThatCannotWork(t *testing.T) {
	p := newPrivate(t)
	long := p.Layout
	long.StateDir = p.Path(strings.Repeat("n", 40))
	relative := p.Layout
	relative.RootDir = "root"
	absent := p.Layout
	absent.LibexecDir = p.Path("nowhere")
	for name, c := range map[string]struct {
		layout private.Layout
		status int
		words  []string
	}{
		"socket path too long": {long, finding.StatusUsage, []string{long.StateDir, "too long", "at most"}},
		"relative":             {relative, finding.StatusUsage, []string{"not an absolute path"}},
		"programs missing":     {absent, finding.StatusTryAgain, []string{absent.LibexecDir + "/hostrun-engine", "not there", "make install", "apt-get install containerd"}},
	} {
		_, err := private.Ensure(context.Background(), c.layout, nil)
		refused(t, name, err, c.status, c.words...)
	}
	if left, _ := filepath.Glob(p.Path("*")); len(left) > 0 {
		t.Errorf("made before it was refused: %v", left)
	}
}

// programsWith links the programs of p into a directory of their own, with name replaced by content.
func programsWith(t *testing.T, p *fixture.Private, name string, content []byte) string {
	t.Helper()
	dir := p.Path("programs")
	ok(t, os.MkdirAll(dir, 0o755))
	for _, program := range []string{private.Binary, private.Shim, "hostrun-log"} {
		b, err := os.ReadFile(filepath.Join(p.Layout.LibexecDir, program))
		ok(t, err)
		if program == name {
			b = content
		}
		ok(t, exectest.WriteFile(filepath.Join(dir, program), b, 0o755))
	}
	return dir
}

// TestEngineThatCannotStart: each says its cause, carries 75, and leaves no process behind.
func TestEngineThatCannotStart(t *testing.T) {
	for name, c := range map[string]struct {
		program string
		content string
		words   []string
	}{
		"engine dies":              {private.Binary, "#!/bin/sh\necho first line; echo the cause >&2; exit 3\n", []string{"ended before it was ready", "the cause", "engine.log"}},
		"engine is no program":     {private.Binary, "\x7fELF but not for this machine", []string{"exec format error"}},
		"shim is of another build": {private.Shim, "#!/bin/sh\n", []string{"its shim", "build and install them together"}},
		"idle time is not a time":  {"", "", []string{"HOSTRUN_ENGINE_IDLE=\"soon\""}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPrivate(t)
			status := finding.StatusTryAgain
			if c.program == "" {
				t.Setenv("HOSTRUN_ENGINE_IDLE", "soon")
				status = finding.StatusUsage
			} else {
				p.Layout.LibexecDir = programsWith(t, p, c.program, []byte(c.content))
			}
			started, err := private.Ensure(context.Background(), p.Layout, nil)
			equal(t, "started", started, false)
			refused(t, name, err, status, c.words...)
			gone(t, p)
		})
	}
}

// TestEngineFullDisk: a root without room is said with what to type; with room the same command works.
func TestEngineFullDisk(t *testing.T) {
	p := newPrivate(t)
	p.Layout.RootDir = p.Path("small")
	ok(t, os.Mkdir(p.Layout.RootDir, 0o700))
	ok(t, unix.Mount("tmpfs", p.Layout.RootDir, "tmpfs", 0, "size=64k"))
	stuffing := filepath.Join(p.Layout.RootDir, "stuffing")
	_ = os.WriteFile(stuffing, bytes.Repeat([]byte{1}, 1<<20), 0o600) // as much as fits
	_, err := private.Ensure(context.Background(), p.Layout, nil)
	refused(t, "full", err, finding.StatusTryAgain, "no space left on device", "df -h "+p.Layout.RootDir)
	ok(t, unix.Mount("", p.Layout.RootDir, "", unix.MS_REMOUNT, "size=16m"))
	ok(t, os.Remove(stuffing))
	equal(t, "started with room", mustEnsure(t, p).Started, true)
}

// TestEngineForUsers: members of the group use the engine that root has started; others are told what to type, and nobody
// but root starts one.
func TestEngineForUsers(t *testing.T) {
	if _, err := exec.LookPath("setpriv"); err != nil {
		fixture.Skip(t, "setpriv is missing: apt-get install util-linux")
	}
	t.Setenv("HOSTRUN_ENGINE_GROUP", "users")
	member := []string{"--reuid=65534", "--regid=65534", "--groups=100"}
	stranger := []string{"--reuid=65534", "--regid=65534", "--clear-groups"}
	p := newPrivate(t)
	program := copyOf(t, os.Args[0], p.Path("test")) // where others may run it
	for name, who := range map[string][]string{"member": member, "stranger": stranger} {
		e := said(t, childOf(program, p, who...))
		equal(t, name+" before root: status", e.Status, finding.StatusPermission)
		if !strings.Contains(e.Error, "sudo hostrun") {
			t.Errorf("%s is not told what to type: %s", name, e.Error)
		}
	}
	pid := mustEnsure(t, p).PID
	e := said(t, childOf(program, p, member...))
	if e.PID != pid || e.Started || e.Error != "" {
		t.Errorf("a member of the group: %+v, want pid %d", e, pid)
	}
	e = said(t, childOf(program, p, stranger...))
	equal(t, "stranger: status", e.Status, finding.StatusPermission)
	if !strings.Contains(e.Error, "permission denied") || !strings.Contains(e.Error, "usermod -aG hostrun") {
		t.Errorf("a stranger is not told what to type: %s", e.Error)
	}
}

func copyOf(t *testing.T, from, to string) string {
	t.Helper()
	b, err := os.ReadFile(from)
	ok(t, err)
	ok(t, exectest.WriteFile(to, b, 0o755))
	return to
}

// TestEngineOfAnotherVersion: after an upgrade it goes on while a container needs it, and says so; then it makes room.
func TestEngineOfAnotherVersion(t *testing.T) {
	p := newPrivate(t)
	p.Layout.LibexecDir = programsWith(t, p, "", nil)
	p.Binary = filepath.Join(p.Layout.LibexecDir, private.Binary)
	t.Setenv("HOSTRUN_ENGINE_IDLE", "2s") // it looks each tenth of a second
	release, err := private.Hold(p.Layout)
	ok(t, err)
	old := mustEnsure(t, p)
	w := newWorld(t, &p.Containerd)
	release()
	w.load(fixture.BusyboxImage(t, busybox))
	pl := quick(w.plan("lives", "sleep", "1000"))
	w.running(pl)
	next := copyOf(t, p.Binary, p.Path("next"))
	ok(t, os.Rename(next, p.Binary)) // as install(1) does
	s, err := private.State(p.Layout)
	ok(t, err)
	equal(t, "outdated", s.Outdated, true)
	equal(t, "started although a container lives", mustEnsure(t, p).Started, false)
	ok(t, w.c.Down(context.Background(), pl.ID, nil))
	ok(t, w.c.Close())
	gone(t, p)
	now := mustEnsure(t, p)
	if !now.Started || now.PID == old.PID {
		t.Errorf("after the upgrade: %+v, before %+v", now, old)
	}
}

// TestEngineKilledWhileStarting: an engine that is killed between its socket and its report leaves a stale socket; the
// next command removes it and starts one.
func TestEngineStaleSocket(t *testing.T) {
	p := newPrivate(t)
	first := mustEnsure(t, p)
	p.Kill()
	gone(t, p)
	if _, err := os.Lstat(p.Layout.Address()); err != nil {
		t.Fatalf("a killed engine leaves its socket: %v", err)
	}
	s, err := private.State(p.Layout)
	ok(t, err)
	equal(t, "running", s.Running, false)
	second := mustEnsure(t, p)
	if !second.Started || second.PID == first.PID {
		t.Errorf("%+v, want another than %+v", second, first)
	}
}

// TestEngineCancelled: a person who presses ^C while it starts waits no longer, and what was begun does no harm.
func TestEngineCancelled(t *testing.T) {
	p := newPrivate(t)
	ctx, cancel := context.WithCancel(context.Background())
	say := func(string) { cancel() }
	_, err := private.Ensure(ctx, p.Layout, say)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	equal(t, "error afterwards", ensure(p.Layout).Error, "")
	equal(t, "engines", len(p.Engines()), 1)
}

// TestEngineEnvironment: what the shell of whoever starts it holds does not reach the next person's containers.
func TestEngineEnvironment(t *testing.T) {
	t.Setenv("LD_PRELOAD_NOT_OURS", "x")
	t.Setenv("TMPDIR", t.TempDir())
	p := newPrivate(t)
	e := mustEnsure(t, p)
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", e.PID))
	ok(t, err)
	for _, kv := range strings.Split(strings.TrimRight(string(b), "\x00"), "\x00") {
		if !strings.HasPrefix(kv, "PATH="+p.Layout.LibexecDir+":") && !strings.HasPrefix(kv, "HOSTRUN_ENGINE_") {
			t.Errorf("the engine has %s", kv)
		}
	}
}

// TestEngineWithoutOverlay: where overlayfs can't be used (here: on another overlay) containers run on whole copies.
func TestEngineWithoutOverlay(t *testing.T) {
	p := newPrivate(t)
	for _, dir := range []string{"root", "lower", "upper", "work"} {
		ok(t, os.Mkdir(p.Path(dir), 0o700))
	}
	options := "lowerdir=" + p.Path("lower") + ",upperdir=" + p.Path("upper") + ",workdir=" + p.Path("work")
	ok(t, unix.Mount("overlay", p.Layout.RootDir, "overlay", 0, options))
	mustEnsure(t, p)
	w := newWorld(t, &p.Containerd)
	w.load(fixture.BusyboxImage(t, busybox))
	pl := quick(w.plan("copied", "sleep", "1000"))
	w.running(pl)
	copies, err := filepath.Glob(filepath.Join(p.Layout.RootDir, "io.containerd.snapshotter.v1.native", "snapshots", "*"))
	ok(t, err)
	if len(copies) < 2 { // the image's layer, and the container's own
		t.Errorf("native snapshots: %v", copies)
	}
	ok(t, w.c.Down(context.Background(), pl.ID, nil))
}
