package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	private "hostrun.dev/hostrun/engine"
	"hostrun.dev/hostrun/integration/fixture"
)

// A machine is one on which hostrun chooses its containerd: directories of hostrun's own, a place for the system's
// socket, and nothing else. Its stage has what runs command lines.
type machine struct {
	*stage
	layout private.Layout
}

// newMachine lays out a machine without any containerd.
func newMachine(t *testing.T) *machine {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "the private engine needs root")
	}
	programs, err := enginePrograms()
	ok(t, err)
	for _, name := range []string{"hostrun", "hostrun-init", "hostrun-reap", "hostrun-probe"} {
		if _, err := built(name, []string{"CGO_ENABLED=0"}, "build", "-trimpath", "hostrun.dev/hostrun/cmd/"+name); err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.MkdirTemp("/tmp", "hm") // short: sockets are below it
	ok(t, err)
	ok(t, os.Chmod(dir, 0o755))
	m := &machine{stage: &stage{t: t, dir: dir, namespace: "choice" + filepath.Base(dir)}}
	m.layout = private.Layout{StateDir: m.path("state", "engine"), RootDir: m.path("data", "engine"), LibexecDir: programs}
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); !strings.HasPrefix(name, "HOSTRUN_") && name != "CONTAINERD_ADDRESS" {
			m.env = append(m.env, e)
		}
	}
	m.set("HOSTRUN_STATE_DIR", m.path("state"))
	m.set("HOSTRUN_DATA_DIR", m.path("data"))
	m.set("HOSTRUN_CACHE_DIR", m.path("cache"))
	m.set("HOSTRUN_NAMESPACE", m.namespace)
	m.set("HOSTRUN_SYSTEM_ADDRESS", m.path("system.sock"))
	m.set("HOSTRUN_PROGRESS", "quiet")
	m.profile("job", "image: job:latest\npull_policy: never\npython: none\ncommand: [sleep, \"1000\"]\nstop_grace_period: 0s\n")
	m.profile("other", "image: job:latest\npull_policy: never\npython: none\ncommand: [sleep, \"1000\"]\nstop_grace_period: 0s\n")
	t.Cleanup(m.demolish)
	return m
}

func (m *machine) set(name, value string) { m.env = append(m.env, name+"="+value) }

// hostrun runs the program of this checkout, not the theatre's, which has no engine beside it.
func (m *machine) hostrun(args ...string) result { return finish(m.command(args...)) }

func (m *machine) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(m.layout.LibexecDir, "hostrun"), args...)
	cmd.Dir, cmd.Env = m.dir, m.env
	return cmd
}

// must runs a command line that has to succeed.
func (m *machine) must(args ...string) string {
	m.t.Helper()
	return m.want(0, "", args...)
}

// want runs a command line that has to end with status and to say text, and returns its standard output.
func (m *machine) want(status int, text string, args ...string) string {
	m.t.Helper()
	r := m.hostrun(args...)
	if r.status != status || !strings.Contains(r.stdout+r.stderr, text) {
		m.t.Fatalf("want status %d and %q:\n%v", status, text, r)
	}
	return r.stdout
}

// system starts the machine's own containerd.
func (m *machine) system() *fixture.Containerd {
	m.t.Helper()
	return m.systemOf(fixture.Engines(m.t)[0])
}

// systemOf is system with the containerd of a series.
func (m *machine) systemOf(e fixture.Installed) *fixture.Containerd {
	m.t.Helper()
	c := fixture.StartContainerd(m.t, e.Binary)
	m.set("HOSTRUN_SYSTEM_ADDRESS", c.Address)
	return c
}

// pid is the private engine's; 0 if none runs.
func (m *machine) pid() int {
	s, err := private.State(m.layout)
	ok(m.t, err)
	return s.PID
}

// where returns the engine of each container that ps shows.
func (m *machine) where(args ...string) map[string]string {
	m.t.Helper()
	return engineOf(m.t, m.must(append([]string{"ps", "--format", "json"}, args...)...))
}

func engineOf(t *testing.T, lines string) map[string]string {
	t.Helper()
	at := map[string]string{}
	for line := range strings.Lines(lines) {
		var c struct{ Container, Engine string }
		ok(t, json.Unmarshal([]byte(line), &c))
		at[c.Container] = c.Engine
	}
	return at
}

// demolish ends what the test started, by the ids it knows.
func (m *machine) demolish() {
	_ = m.hostrun("--engine", "private", "down", "--all", "-t", "0").status
	fixture.EndShims(m.layout.Address())
	if s, err := private.State(m.layout); err == nil && s.PID > 0 {
		_ = syscall.Kill(s.PID, syscall.SIGKILL)
	}
	for _, mount := range fixture.MountsBelow(m.dir) {
		_ = syscall.Unmount(mount, syscall.MNT_DETACH)
	}
	fixture.RemoveTraces(m.namespace)
	if err := os.RemoveAll(m.dir); err != nil {
		m.t.Errorf("leave nothing behind: %v", err)
	}
}

// TestLookingStartsNothing: to say that there is nothing, no daemon is started and no directory made.
func TestLookingStartsNothing(t *testing.T) {
	m := newMachine(t)
	for _, line := range [][]string{{"ps"}, {"ps", "-a", "--format", "json"}, {"images"}, {"down", "job"}, {"down", "--all", "-y"}, {"stop", "--all"},
		{"__complete", "--", "logs", ""}, {"__complete", "--", "rmi", ""}, {"--engine", "private", "ps"}} {
		m.must(line...)
	}
	for _, line := range [][]string{{"wait", "job"}, {"inspect", "job"}, {"start", "job"}, {"logs", "nobody"}, {"rm", "nobody"}} {
		m.want(1, "container "+line[1]+": there is no such container", line...)
	}
	m.want(125, "container job: there is no such container", "exec", "job", "--", "true")
	m.hostrun("doctor")
	for _, dir := range []string{m.layout.StateDir, m.layout.RootDir} {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("looking made %s", dir)
		}
	}
}

// TestPrivateEngineServesAllVerbs: on a machine without containerd the first command that needs one brings it.
func TestPrivateEngineServesAllVerbs(t *testing.T) {
	m := newMachine(t)
	m.must("load", m.archive(tiny(t, "job:latest")))
	m.want(0, "engine=private", "--log-level", "debug", "up", "job")
	equal(t, "ps", fmt.Sprint(m.where()), "map[job:private]")
	equal(t, "exec", m.must("exec", "job", "--", "echo", "inside"), "inside\n")
	equal(t, "run", m.must("run", "job", "--", "echo", "one-off"), "one-off\n")
	m.must("logs", "job")
	m.want(0, `"directory"`, "inspect", "job")
	m.must("restart", "job")
	m.must("stop", "job")
	m.must("start", "job")
	m.want(0, "job unchanged", "up", "job")
	m.must("down", "job")
	equal(t, "ps after down", len(m.where("-a")), 0)
}

// TestContainersAreFoundWhereTheyLive: a containerd of the system appears and goes again. New containers go to it, those
// that were there stay where they are, and every verb finds both.
func TestContainersAreFoundWhereTheyLive(t *testing.T) {
	m := newMachine(t)
	image := m.archive(tiny(t, "job:latest"))
	m.must("load", image)
	m.must("up", "job")

	c := m.system()
	m.want(1, "it is in the private containerd: hostrun --engine private save job:latest | hostrun load", "up", "other")
	m.must("load", image)
	m.must("up", "other")
	equal(t, "ps", fmt.Sprint(m.where()), "map[job:private other:system]")
	if table := m.must("ps"); !strings.Contains(table, "ENGINE") || !strings.Contains(table, "private") {
		t.Errorf("ps does not say where they are:\n%s", table)
	}
	equal(t, "ps --engine private", fmt.Sprint(m.whereIn("private")), "map[job:private]")
	equal(t, "ps --engine system", fmt.Sprint(m.whereIn("system")), "map[other:system]")
	m.want(0, "job unchanged", "up", "job") // it stays where it is
	m.want(1, "the name is taken in the private containerd", "--engine", "system", "up", "job")
	m.want(1, "the name is taken in the system containerd", "--engine", "private", "up", "other")
	for _, name := range []string{"job", "other"} {
		equal(t, "exec", m.must("exec", name, "--", "echo", name), name+"\n")
		m.must("logs", name)
		m.must("stop", name)
		m.must("start", name)
		m.want(0, `"namespace"`, "inspect", name)
	}
	completion := m.must("__complete", "--", "down", "")
	if !strings.Contains(completion, "job") || !strings.Contains(completion, "other") {
		t.Errorf("completion knows %q", completion)
	}

	c.Kill() // its socket stays behind, and so does its container
	equal(t, "ps with a stale socket", fmt.Sprint(m.where()), "map[job:private]")
	m.want(75, "container other: it runs already, in another containerd ("+c.Address+")", "up", "other")
	c.Start()
	m.want(0, "other unchanged", "up", "other")
	m.must("down", "--all", "-y")
	equal(t, "ps after down --all", len(m.where("-a")), 0)
}

func (m *machine) whereIn(engine string) map[string]string {
	m.t.Helper()
	return engineOf(m.t, m.must("--engine", engine, "ps", "--format", "json"))
}

// TestDeadEngineIsBroughtBack: ps after a crash shows the containers that went on, and starts the engine for that.
func TestDeadEngineIsBroughtBack(t *testing.T) {
	m := newMachine(t)
	m.must("load", m.archive(tiny(t, "job:latest")))
	m.must("up", "job")
	crash(t, m)
	equal(t, "ps", fmt.Sprint(m.where()), "map[job:private]")
	if m.pid() == 0 {
		t.Error("no engine was brought back")
	}
	crash(t, m)
	equal(t, "exec", m.must("exec", "job", "--", "echo", "back"), "back\n")
	m.system() // appears while the engine is dead: the name's traces lead to the private one
	crash(t, m)
	equal(t, "exec", m.must("exec", "job", "--", "echo", "back"), "back\n")
	crash(t, m)
	m.want(0, "job unchanged", "up", "job")
	crash(t, m)
	equal(t, "ps", fmt.Sprint(m.where()), "map[job:private]")
	m.must("down", "job")
}

// crash kills the private engine and waits until nobody listens.
func crash(t *testing.T, m *machine) {
	t.Helper()
	pid := m.pid()
	if pid == 0 {
		t.Fatal("no private engine runs")
	}
	ok(t, syscall.Kill(pid, syscall.SIGKILL))
	for end := time.Now().Add(2 * time.Minute); m.pid() != 0; time.Sleep(time.Millisecond) { // until it is dead the kernel takes connections for it
		if time.Now().After(end) {
			t.Fatal("the engine does not die")
		}
	}
}

// TestExplicitAddressIsNeverReplaced: a named containerd is used or failed.
func TestExplicitAddressIsNeverReplaced(t *testing.T) {
	m := newMachine(t)
	m.must("load", m.archive(tiny(t, "job:latest")))
	m.must("up", "job")
	nowhere := m.path("nowhere.sock")
	for _, line := range [][]string{{"ps"}, {"up", "job"}, {"images"}, {"logs", "job"}, {"down", "job"}, {"check", "job"}} {
		m.want(75, nowhere, append([]string{"--address", nowhere}, line...)...)
	}
	m.set("CONTAINERD_ADDRESS", nowhere)
	m.want(75, nowhere, "ps")
	m.want(0, "job", "--engine", "private", "ps") // a flag beats a variable
	m.want(2, "both say which containerd is used", "--engine", "private", "--address", nowhere, "ps")
	m.set("HOSTRUN_ENGINE", "system")
	m.want(75, nowhere, "ps") // of two variables the address
	m.want(2, "none of auto, system, private", "--engine", "docker", "ps")
	c := m.system()
	m.set("HOSTRUN_ENGINE", "auto")
	m.want(1, "the name is taken in the private containerd", "--address", c.Address, "up", "job")
}

// TestHangingSystemIsSaid: a containerd that accepts and stays silent is not passed over, as containers may live in it;
// what is in the private engine goes on being served.
func TestHangingSystemIsSaid(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	m.must("load", m.archive(tiny(t, "job:latest")))
	m.must("up", "job")
	silentDaemon(t, m.path("system.sock"))
	m.want(75, "hostrun --engine private", "up", "other")
	m.want(75, "no answer within", "check", "other")
	listed := m.want(75, "no answer within", "ps", "--format", "json")
	equal(t, "ps", fmt.Sprint(engineOf(t, listed)), "map[job:private]")
	equal(t, "exec", m.must("exec", "job", "--", "echo", "served"), "served\n")
	m.want(0, "job unchanged", "up", "job")
	m.want(1, "no answer within", "doctor")
	m.must("--engine", "private", "run", "other", "--", "true")
	m.want(75, "no answer within", "down", "other")
	m.must("down", "job")
}

// TestSocketWithoutPermission: who may use no socket is told what to type.
func TestSocketWithoutPermission(t *testing.T) {
	m := newMachine(t)
	m.system()
	m.must("load", m.archive(tiny(t, "job:latest")))
	cmd := m.command("ps")
	cmd.Args = slices.Concat([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"}, cmd.Args)
	cmd.Path = "/usr/bin/setpriv"
	r := finish(cmd)
	if r.status != 77 || !strings.Contains(r.stderr, "sudo hostrun") || !strings.Contains(r.stderr, "hostrun $USER") {
		t.Errorf("want 77, sudo and the group:\n%v", r)
	}
}

// TestMemberOfTheGroup: who may not use the system's socket and may use the private engine's gets that, without root.
func TestMemberOfTheGroup(t *testing.T) {
	m := newMachine(t)
	m.set("HOSTRUN_ENGINE_GROUP", "nogroup")
	m.must("load", m.archive(tiny(t, "job:latest")))
	m.must("up", "job")
	m.system()
	as := func(args ...string) *exec.Cmd {
		cmd := m.command(args...)
		cmd.Args = slices.Concat([]string{"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"}, cmd.Args)
		cmd.Path = "/usr/bin/setpriv"
		return cmd
	}
	member := func(args ...string) result { return finish(as(args...)) }
	r := member("ps", "--format", "json")
	if r.status != 0 || fmt.Sprint(engineOf(t, r.stdout)) != "map[job:private]" {
		t.Errorf("ps of a member of the group:\n%v", r)
	}
	if r := member("--engine", "system", "ps"); r.status != 77 {
		t.Errorf("the system's socket is root's:\n%v", r)
	}
	if r := member("inspect", "job"); r.status != 0 {
		t.Errorf("inspect of a member of the group:\n%v", r)
	}
	if r := member("up", "other"); r.status != 0 || r.stdout != "other created\n" {
		t.Errorf("up of a member of the group:\n%v", r)
	}
	cmd := as("run", "-i", "job", "--", "sh", "-c", "cat; echo beside >&2; exit 7")
	cmd.Stdin = strings.NewReader("through both\n")
	if r := finish(cmd); r.status != 7 || r.stdout != "through both\n" || !strings.Contains(r.stderr, "beside") {
		t.Errorf("run of a member of the group: want its streams and status 7:\n%v", r)
	}
	if r := member("exec", "other", "--", "echo", "served"); r.status != 0 || r.stdout != "served\n" {
		t.Errorf("exec of a member of the group:\n%v", r)
	}
	if r := member("down", "other"); r.status != 0 {
		t.Errorf("down of a member of the group:\n%v", r)
	}
	m.profile("patient", "image: job:latest\npull_policy: never\npython: none\n")
	m.signalled(as("run", "patient", "--", "sh", "-c", "trap 'exit 42' INT; echo ready; while :; do sleep 0.1; done"))
	if log, err := os.ReadFile(m.layout.LogFile()); err != nil || !strings.Contains(string(log), "uid=65534") {
		t.Errorf("the engine's log does not say for whom it ran what: %v\n%s", err, log)
	}
	own := m.path("own")
	ok(t, os.Mkdir(own, 0o755))
	ok(t, os.Chown(own, 65534, 65534))
	r = member("--address", m.layout.Address(), "--state-dir", own+"/state", "--data-dir", own+"/data", "--cache-dir", own+"/cache", "run", "job", "--", "echo", "hello")
	if r.status != 0 || r.stdout != "hello\n" {
		t.Errorf("with directories of their own:\n%v", r)
	}
}

// signalled holds that ^C at the command reaches the container's process, which ends with 42.
func (m *machine) signalled(cmd *exec.Cmd) {
	m.t.Helper()
	pipe, err := cmd.StdoutPipe()
	ok(m.t, err)
	ok(m.t, cmd.Start())
	if line, err := bufio.NewReader(pipe).ReadString('\n'); line != "ready\n" {
		m.t.Errorf("it says %q, %v", line, err)
	}
	ok(m.t, cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait() // the status says it
	equal(m.t, "status after ^C", exitStatus(cmd), 42)
}

// TestEngineTakesNoDescriptorAlong: a script that holds a lock on a descriptor while it calls hostrun (`exec 9>lock; flock 9`)
// gives it back when it ends, although the engine that was started goes on.
func TestEngineTakesNoDescriptorAlong(t *testing.T) {
	m := newMachine(t)
	held, err := os.Create(m.path("lock"))
	ok(t, err)
	ok(t, syscall.Flock(int(held.Fd()), syscall.LOCK_EX))
	cmd := m.command("load", m.archive(tiny(t, "job:latest")))
	cmd.ExtraFiles = []*os.File{6: held} // descriptor 9
	if r := finish(cmd); r.status != 0 || m.pid() == 0 {
		t.Fatalf("want an engine that runs:\n%v", r)
	}
	ok(t, held.Close())
	again, err := os.Open(m.path("lock"))
	ok(t, err)
	defer again.Close()
	if err := syscall.Flock(int(again.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		t.Errorf("the engine keeps the caller's lock: %v", err)
	}
}
