package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/runtime"
)

// supervised is a stage whose supervisors end with the test.
func supervised(t *testing.T) *stage {
	s := newStage(t)
	t.Cleanup(func() { s.endSupervisor(syscall.SIGTERM) }) // before strike
	s.load(tiny(t, "job"))
	return s
}

// life writes a profile of the tiny image.
func (s *stage) life(name, command string, lines ...string) {
	s.t.Helper()
	words, err := json.Marshal([]string{"sh", "-c", command})
	must(s.t, err)
	s.profile(name, strings.Join(append([]string{"image: job:latest", "pull_policy: never", "stop_signal: SIGKILL", "command: " + string(words)}, lines...), "\n")+"\n")
}

// supervisor returns the process that looks after the stage, 0 for none.
func (s *stage) supervisor() int {
	files, _ := filepath.Glob(s.path("state/supervise/*"))
	for _, file := range files {
		if filepath.Ext(file) == ".log" {
			continue
		}
		f, err := os.Open(file)
		must(s.t, err)
		free := unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB)
		text, _ := os.ReadFile(file)
		_ = f.Close()
		if pid, _ := strconv.Atoi(string(text)); errors.Is(free, unix.EWOULDBLOCK) && pid > 1 {
			return pid
		}
	}
	return 0
}

// endSupervisor ends it and waits until it is gone.
func (s *stage) endSupervisor(sig syscall.Signal) {
	s.t.Helper()
	pid := s.supervisor()
	if pid == 0 {
		return
	}
	_ = syscall.Kill(pid, sig)
	s.comes("the supervisor ends", func() error {
		if s.supervisor() == pid {
			return errors.New("it lives")
		}
		return nil
	})
}

// looksAfter waits until a supervisor is at work: the command that starts one does not.
func (s *stage) looksAfter() {
	s.t.Helper()
	s.comes("a supervisor is at work", func() error {
		if s.supervisor() == 0 {
			return errors.New("none is")
		}
		return nil
	})
}

// supervise starts one by hand, and waits until it is at work.
func (s *stage) supervise(bin string, env ...string) *exec.Cmd {
	s.t.Helper()
	cmd := s.command("supervise", "--until-idle")
	cmd.Path, cmd.Env, cmd.SysProcAttr = filepath.Join(bin, "hostrun"), append(cmd.Env, env...), dieWithUs()
	words, err := os.CreateTemp(s.t.TempDir(), "words")
	must(s.t, err)
	defer words.Close()
	cmd.Stderr = words
	must(s.t, startForGood(cmd))
	go func() { _ = cmd.Wait() }()
	s.comes("the supervisor is at work", func() error {
		if s.supervisor() != cmd.Process.Pid {
			said, _ := os.ReadFile(words.Name())
			return fmt.Errorf("process %d is: %s", s.supervisor(), said)
		}
		return nil
	})
	return cmd
}

// comes waits until ask has no error.
func (s *stage) comes(what string, ask func() error) {
	s.t.Helper()
	var err error
	for end := time.Now().Add(90 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = ask(); err == nil {
			return
		}
	}
	logs, _ := filepath.Glob(s.path("state/supervise/*.log"))
	for _, log := range logs {
		text, _ := os.ReadFile(log)
		err = fmt.Errorf("%w\n%s", err, text)
	}
	s.t.Fatalf("%s: %v", what, err)
}

// all returns the stage's containers by name.
func (s *stage) all() map[string]runtime.Container {
	s.t.Helper()
	all := map[string]runtime.Container{}
	for line := range strings.Lines(s.must("ps", "-a", "--format", "json")) {
		c := parse[runtime.Container](s.t, line)
		all[c.Container] = c
	}
	return all
}

// is waits until a container is as fits says.
func (s *stage) is(name, what string, fits func(runtime.Container) bool) (c runtime.Container) {
	s.t.Helper()
	s.comes(name+" "+what, func() error {
		if c = s.all()[name]; c.Container == "" || !fits(c) {
			return fmt.Errorf("it is %+v", c)
		}
		return nil
	})
	return c
}

func running(c runtime.Container) bool { return c.Status == "running" }

// crash ends the process of a container as a bug of its own would.
func (s *stage) crash(name string) runtime.Container {
	s.t.Helper()
	c := s.is(name, "runs", running)
	must(s.t, syscall.Kill(c.PID, syscall.SIGKILL))
	return c
}

// deviceMinor is that of the one device of the container's specification.
func (s *stage) deviceMinor(name string) int64 {
	s.t.Helper()
	type inspected struct {
		Spec struct {
			Linux struct{ Devices []struct{ Minor int64 } }
		}
	}
	devices := parse[inspected](s.t, s.must("inspect", name)).Spec.Linux.Devices
	if len(devices) != 1 {
		s.t.Fatalf("the specification has the devices %v", devices)
	}
	return devices[0].Minor
}

// TestSuperviseRestartsByAFreshPlan: a device has another number after the crash, then is gone, and comes back.
func TestSuperviseRestartsByAFreshPlan(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	node := s.path("node")
	number := func(minor uint32) {
		t.Helper()
		_ = os.Remove(node)
		must(t, unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(1, minor))))
	}
	number(3) // null(4)
	s.life("dev", "echo started; sleep 1000", "restart: always", `devices: ["`+node+`:/dev/mine"]`)
	s.must("up", "dev")
	first := s.is("dev", "runs", running)
	if minor := s.deviceMinor("dev"); minor != 3 {
		t.Fatalf("minor %d", minor)
	}
	number(5) // zero
	s.must("exec", "dev", "--", "sh", "-c", "echo kept >/kept")
	s.crash("dev")
	// The number of restarts is noted beside the start, so a look may come between.
	second := s.is("dev", "runs again", func(c runtime.Container) bool { return running(c) && c.PID != first.PID && c.Restarts > 0 })
	if minor := s.deviceMinor("dev"); minor != 5 || second.Restarts != 1 {
		t.Errorf("minor %d, %d restarts", minor, second.Restarts)
	}
	if out := s.must("exec", "dev", "--", "cat", "/kept"); out != "kept\n" { // as in docker, a restart keeps the container's own files
		t.Errorf("/kept holds %q", out)
	}
	must(t, os.Remove(node))
	s.crash("dev")
	refused := s.is("dev", "is given up", func(c runtime.Container) bool { return c.Refused != "" })
	if refused.RefusedAs != 69 || refused.RestartAt != nil || refused.Restarts != 1 || *refused.ExitStatus != 137 || !strings.Contains(refused.Refused, "node") {
		t.Errorf("%+v", refused)
	}
	if table := s.must("ps", "-a"); !strings.Contains(table, "Exited (137)") || !strings.Contains(table, "(not started again: HR225 69)") {
		t.Errorf("ps -a:\n%s", table)
	}
	number(3)
	if out := s.must("up", "dev"); out != "dev replaced\n  linux.devices[/dev/mine].minor: 5 -> 3\n" && !strings.HasPrefix(out, "dev replaced\n") {
		t.Errorf("up: %s", out)
	}
	if c := s.is("dev", "runs", running); c.Refused != "" || c.Restarts != 0 {
		t.Errorf("%+v", c)
	}
	s.looksAfter() // the first may have left when it had given up
}

// TestSupervisePolicies: each policy after an end with status 0 and 1, and none after a stop or a kill by a person.
func TestSupervisePolicies(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	s.life("fails", "exit 3", "restart: on-failure:2")
	s.life("succeeds", "exit 0", "restart: on-failure")
	s.life("ends", "exit 0", "restart: unless-stopped")
	s.life("killed", "sleep 1000", "restart: always")
	s.life("once", "exit 3", "healthcheck: {log: x}")
	s.must("up", "fails", "succeeds", "ends", "killed", "once")
	s.must("kill", "killed")
	s.is("fails", "has had its two restarts", func(c runtime.Container) bool { return c.Restarts == 2 && c.RestartAt == nil && c.Status == "exited" })
	s.is("ends", "was started again", func(c runtime.Container) bool { return c.Restarts >= 2 })
	s.must("stop", "ends")
	after := s.all()
	for name, restarts := range map[string]int{"succeeds": 0, "killed": 0, "once": 0, "fails": 2} {
		if c := after[name]; c.Status != "exited" || c.Restarts != restarts || c.RestartAt != nil {
			t.Errorf("%s: %+v", name, c)
		}
	}
	if c := after["ends"]; c.StoppedBy != "user" || c.Status != "exited" || c.RestartAt != nil {
		t.Errorf("ends, stopped: %+v", c)
	}
	if got := strings.Count(s.must("logs", "fails"), "\n"); got != 0 {
		t.Errorf("fails wrote %d lines", got)
	}
	// Nothing needs it any more.
	s.comes("the supervisor leaves", func() error {
		if pid := s.supervisor(); pid != 0 {
			return fmt.Errorf("process %d is there", pid)
		}
		return nil
	})
	s.must("start", "ends")
	s.is("ends", "is looked after again", func(c runtime.Container) bool { return c.Restarts >= 1 })
}

// TestSuperviseTwice: the second one says who the first is; ps says when there is none.
func TestSuperviseTwice(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	s.life("job", "sleep 1000", "restart: always")
	s.must("up", "job")
	s.looksAfter()
	r := s.hostrun("supervise")
	if r.status != 75 || !strings.Contains(r.stderr, fmt.Sprintf("HR226: supervise the namespace %s: process %d", s.namespace, s.supervisor())) {
		t.Errorf("the second: %v", r)
	}
	if r := s.hostrun("ps"); strings.Contains(r.stderr, "nobody restarts") {
		t.Errorf("ps with a supervisor: %v", r)
	}
	s.endSupervisor(syscall.SIGTERM)
	if r := s.hostrun("ps"); !strings.Contains(r.stderr, "nobody restarts or probes job") {
		t.Errorf("ps without a supervisor: %v", r)
	}
	s.must("restart", "job")
	s.looksAfter()
}

// TestSuperviseKilledUnderLoad: the supervisor is killed again and again while containers crash. Each crash is followed by exactly one
// start, and a stop by a person by none.
func TestSuperviseKilledUnderLoad(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	var crashing []string
	for i := range 4 {
		name := fmt.Sprintf("crash%d", i)
		crashing = append(crashing, name)
		s.life(name, fmt.Sprintf("echo start; sleep 0.%d; exit 1", i), "restart: always")
	}
	s.life("steady", "echo start; sleep 1000", "restart: unless-stopped")
	s.life("stopped", "echo start; sleep 1000", "restart: always")
	s.must(append([]string{"up", "steady", "stopped"}, crashing...)...)
	s.must("stop", "stopped")
	s.looksAfter()
	s.endSupervisor(syscall.SIGTERM) // nobody is to come back by himself
	for round := range 5 {
		sup := s.supervise(theatre.bin)
		s.is(crashing[round%len(crashing)], "was started again", func(c runtime.Container) bool { return c.Restarts >= 1+round/2 })
		must(t, sup.Process.Kill())
		s.endSupervisor(syscall.SIGKILL)
	}
	s.crash("steady") // while nobody looks
	s.supervise(theatre.bin)
	s.is("steady", "was started again", func(c runtime.Container) bool { return running(c) && c.Restarts == 1 })
	for _, name := range crashing {
		s.is(name, "was started again", func(c runtime.Container) bool { return c.Restarts >= 3 })
	}
	s.must(append([]string{"stop", "steady"}, crashing...)...)
	for name, c := range s.all() {
		starts := strings.Count(s.must("logs", name), "start\n")
		if early := c.ExitStatus != nil && *c.ExitStatus != 1; early && starts == c.Restarts {
			starts++ // the stop came before its line: by itself it ends with 1
		}
		if c.Status != "exited" || starts != c.Restarts+1 {
			t.Errorf("%s was started %d times, its record says 1 + %d; it is %s", name, starts, c.Restarts, c.Status)
		}
		if name == "stopped" && starts != 1 {
			t.Errorf("what a person has stopped was started again")
		}
	}
}

// TestSuperviseRestartKilledAnywhere: the process that starts a container again dies at each of its steps, and the next one does it.
func TestSuperviseRestartKilledAnywhere(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	node := s.path("node")
	for i, step := range runtime.SuperviseSteps[:3] {
		must(t, unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
		s.life("job", "echo start; sleep 1000", "restart: always", `devices: ["`+node+`:/dev/mine"]`)
		s.must("up", "job")
		s.looksAfter()
		s.endSupervisor(syscall.SIGTERM)
		must(t, os.Remove(node))
		must(t, unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(1, uint32(5+i%2))))) // so that the record changes
		before := s.crash("job")
		mortal := s.supervise(filepath.Join(theatre.dir, "mortal"), "HOSTRUN_DIE_AT="+step)
		s.comes("the restart dies at "+step, func() error {
			c := s.all()["job"]
			if c.RestartAt != nil && c.RestartAt.After(before.StartedAt.Add(time.Millisecond)) && s.triedAt("job") {
				return nil
			}
			if running(c) && c.PID != before.PID { // task-started and what follows: it has been started
				return nil
			}
			return fmt.Errorf("%+v", c)
		})
		_ = mortal.Process.Kill()
		s.endSupervisor(syscall.SIGKILL)
		s.supervise(theatre.bin)
		s.is("job", "runs after a death at "+step, func(c runtime.Container) bool { return running(c) && c.PID != before.PID })
		s.must("down", "job")
		s.endSupervisor(syscall.SIGTERM)
		must(t, os.Remove(node))
	}
}

// TestStopKilledOnceItIsMarked: what a person has begun to stop is not started again, until they want it up.
func TestStopKilledOnceItIsMarked(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	s.life("job", "echo start; sleep 1000", "restart: always")
	s.must("up", "job")
	if !s.diesAt("stop-marked", "stop", "job") {
		t.Fatal("stop does not come to that step")
	}
	s.must("up", "job") // it runs, and is to
	if c := s.all()["job"]; !running(c) || c.StoppedBy != "" {
		t.Errorf("after up: %+v", c)
	}
	if !s.diesAt("stop-marked", "stop", "job") {
		t.Fatal("stop does not come to that step")
	}
	s.crash("job")
	c := s.is("job", "has ended", func(c runtime.Container) bool { return c.Status == "exited" })
	if c.StoppedBy != "user" || c.RestartAt != nil {
		t.Errorf("%+v", c)
	}
}

// triedAt says whether the record tells of a restart that has failed.
func (s *stage) triedAt(name string) bool {
	c, err := s.client.ContainerService().Get(s.context(), name)
	return err == nil && c.Labels["hostrun.dev/restart-tried-at"] != ""
}

// TestSuperviseOverAContainerdThatIsReplaced: containers end while containerd is away.
func TestSuperviseOverAContainerdThatIsReplaced(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	run, err := os.MkdirTemp("/run", "hostrun-sup-")
	must(t, err)
	root, err := os.MkdirTemp("/var/tmp", "hostrun-sup-")
	must(t, err)
	daemon, err := startEngine(root, run)
	must(t, err)
	client, err := containerd.New(daemon.address, containerd.WithDefaultNamespace(s.namespace))
	must(t, err)
	_ = s.client.Close()
	s.client = client
	s.env = append(s.env, "CONTAINERD_ADDRESS="+daemon.address)
	t.Cleanup(func() {
		s.endSupervisor(syscall.SIGTERM)
		s.strike()
		daemon.stop()
		_ = os.RemoveAll(root)
		_ = os.RemoveAll(run)
	})
	s.load(tiny(t, "job"))
	s.life("job", "echo start; sleep 1000", "restart: always")
	s.life("down", "echo start; sleep 1000", "restart: always")
	s.must("up", "job", "down")
	before := s.all()
	must(t, daemon.process.Process.Kill())
	_ = daemon.process.Wait()
	must(t, syscall.Kill(before["job"].PID, syscall.SIGKILL))
	again, err := startEngine(root, run)
	must(t, err)
	daemon.process = again.process
	s.is("job", "was started again", func(c runtime.Container) bool { return running(c) && c.PID != before["job"].PID })
	if c := s.all()["down"]; !running(c) || c.PID != before["down"].PID || c.Restarts != 0 {
		t.Errorf("the other one, which ran on: %+v", c)
	}
	s.must("stop", "down")
	s.crash("job")
	s.is("job", "was started once more", func(c runtime.Container) bool { return running(c) && c.Restarts == 2 })
	if c := s.all()["down"]; c.Status != "exited" {
		t.Errorf("what a person has stopped: %+v", c)
	}
}
