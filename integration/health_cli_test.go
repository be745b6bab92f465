package integration

import (
	"bytes"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/runtime"
)

// serves is a web server in a network of its own, so that tests side by side may have the same port.
const serves = "mkdir -p /tmp/www; echo fine >/tmp/www/index.html; echo ok >/tmp/ok; echo ready to serve; exec busybox httpd -f -p 127.0.0.1:8000 -h /tmp/www"

// TestHealth: each kind of probe sees a container come up and go down, and on_failure is done.
func TestHealth(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	const every = "interval: 500ms, timeout: 20s, retries: 2"
	s.life("http", serves, "network_mode: none", "healthcheck: {http: \":8000/index.html\", on_failure: restart, "+every+"}")
	s.life("tcp", serves, "network_mode: none", "healthcheck: {tcp: 8000, "+every+"}")
	s.life("log", serves, "network_mode: none", "healthcheck: {log: \"^ready .o\", interval: 20s}")
	s.life("cmd", serves, "network_mode: none", "healthcheck: {test: [CMD, cat, /tmp/ok], on_failure: stop, "+every+"}")
	s.life("shell", serves, "network_mode: none", "restart: on-failure", "healthcheck: {test: 'cat /tmp/ok || exit 7', on_failure: kill, "+every+"}")
	s.life("watched", serves, "network_mode: none", "healthcheck: {test: 'echo it is gone; cat /tmp/ok', "+every+"}")
	s.must("up", "--wait", "http", "tcp", "log", "cmd", "shell", "watched")
	for name, c := range s.all() {
		if c.Health != "healthy" || !running(c) {
			t.Errorf("%s after up --wait: %+v", name, c)
		}
	}
	if table := s.must("ps"); strings.Count(table, "(healthy)") != 6 {
		t.Errorf("ps:\n%s", table)
	}
	s.must("exec", "http", "--", "busybox", "rm", "/tmp/www/index.html")
	for _, name := range []string{"cmd", "shell", "watched"} {
		s.must("exec", name, "--", "busybox", "rm", "/tmp/ok")
	}
	s.is("http", "was restarted", func(c runtime.Container) bool { return running(c) && c.Restarts == 1 && c.Health == "healthy" })
	s.is("cmd", "was stopped", func(c runtime.Container) bool {
		return c.Status == "exited" && c.StoppedBy == "health" && c.RestartAt == nil
	})
	s.is("shell", "was killed, and started again by its policy", func(c runtime.Container) bool {
		return running(c) && c.Restarts >= 1 && c.Health == "healthy"
	})
	c := s.is("watched", "is unhealthy", func(c runtime.Container) bool { return running(c) && c.Health == "unhealthy" })
	if !strings.Contains(c.HealthOutput, "status 1: ") || !strings.Contains(c.HealthOutput, "it is gone") || c.Restarts != 0 { // two streams, in any order
		t.Errorf("watched: %+v", c)
	}
	s.must("exec", "watched", "--", "sh", "-c", "echo ok >/tmp/ok")
	s.is("watched", "is healthy again", func(c runtime.Container) bool { return c.Health == "healthy" })
	for _, name := range []string{"tcp", "log"} {
		if c := s.all()[name]; c.Health != "healthy" || c.Restarts != 0 {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// TestHealthcheckOfTheImage: without a healthcheck in the profile the image's counts, and with one what that leaves to it.
func TestHealthcheckOfTheImage(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	img := tiny(t, "checked")
	img.Healthcheck = map[string]any{"Test": []string{"CMD-SHELL", "cat /tmp/ok"}, "Interval": 500_000_000, "Retries": 1}
	s.load(img)
	const ready, never = "image: checked\npull_policy: never\nstop_signal: SIGKILL\ncommand: [sh, -c, 'echo ok >/tmp/ok; exec sleep 1000']\n", "image: checked\npull_policy: never\nstop_signal: SIGKILL\ncommand: [sleep, '1000']\n"
	s.profile("own", ready)
	s.profile("needs", ready+"depends_on: {own: {condition: healthy}}\n")
	s.profile("off", never+"healthcheck: {disable: true}\n")
	s.profile("ill", never+"healthcheck: {on_failure: stop}\n")
	s.profile("bare", "image: job\npull_policy: never\ncommand: [sleep, '1000']\n")
	s.profile("vain", ready+"depends_on: {bare: {condition: healthy}}\n")
	s.profile("untold", "image: job\npull_policy: never\ncommand: [sleep, '1000']\nhealthcheck: {interval: 1s}\n")
	s.must("up", "--wait", "own", "needs", "off")
	s.must("up", "ill")
	for name, want := range map[string]string{"own": "healthy", "needs": "healthy", "off": ""} {
		if c := s.all()[name]; c.Health != want || !running(c) {
			t.Errorf("%s is %q: %+v", name, c.Health, c)
		}
	}
	s.is("ill", "was stopped for its health", func(c runtime.Container) bool { return c.Status == "exited" && c.StoppedBy == "health" })
	if r := s.hostrun("up", "untold"); r.status != 65 || !strings.Contains(r.stderr, "HR273") || !strings.Contains(r.stderr, "untold.yaml:4") {
		t.Errorf("intervals, and no test: %v", r)
	}
	if r := s.hostrun("up", "vain"); r.status != 65 || !strings.Contains(r.stderr, "HR223") || !strings.Contains(r.stderr, "vain.yaml:5") || s.all()["vain"].Container != "" {
		t.Errorf("the health of one without: %v", r)
	}
}

// TestUpWaitFails: with the container's last words, and not before nor after what was asked for.
func TestUpWaitFails(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	s.life("dies", "echo no such model; exit 3", "healthcheck: {tcp: 8000}")
	if r := s.hostrun("up", "--wait", "dies"); r.status != 1 || !strings.Contains(r.stderr, "container dies has ended with status 3") ||
		!strings.Contains(r.stderr, "dies | no such model") {
		t.Errorf("one that ends: %v", r)
	}
	s.life("plain", "echo no such model; exit 4")
	if r := s.hostrun("up", "--wait", "plain"); r.status != 1 || !strings.Contains(r.stderr, "plain | no such model") {
		t.Errorf("one without a healthcheck: %v", r)
	}
	s.life("loops", "echo again; exit 5", "restart: always", "healthcheck: {tcp: 8000}")
	if r := s.hostrun("up", "--wait", "loops"); r.status != 1 || !strings.Contains(r.stderr, "with status 5, after 3 restarts") {
		t.Errorf("one that is restarted in vain: %v", r)
	}
	s.life("sick", "echo sorry; sleep 1000", "network_mode: none", "healthcheck: {tcp: 8000, interval: 300ms, retries: 2}")
	if r := s.hostrun("up", "--wait", "sick"); r.status != 1 || !strings.Contains(r.stderr, "container sick is unhealthy") ||
		!strings.Contains(r.stderr, "connection refused") || !strings.Contains(r.stderr, "sick | sorry") {
		t.Errorf("one that is unhealthy: %v", r)
	}
	s.life("slow", "echo loading; sleep 1000", "network_mode: none", "healthcheck: {tcp: 8000, start_period: 1h}")
	if r := s.hostrun("up", "--wait-timeout", "3", "slow"); r.status != 1 || !strings.Contains(r.stderr, "container slow: not healthy in time") || !strings.Contains(r.stderr, "slow | loading") {
		t.Errorf("one that takes too long: %v", r)
	}
}

// TestHealthcheckThatHangs: its process is killed after the timeout, and the next one is made, though a child of the first lives and has its pipes.
func TestHealthcheckThatHangs(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	s.life("hangs", "sleep 1000", "healthcheck: {test: \"sleep 3333; true\", interval: 200ms, timeout: 500ms, retries: 2}")
	s.must("up", "hangs")
	c := s.is("hangs", "is unhealthy", func(c runtime.Container) bool { return c.Health == "unhealthy" })
	if !strings.Contains(c.HealthOutput, "/bin/sh: not over within 500ms") {
		t.Errorf("%+v", c)
	}
	s.must("stop", "hangs")
}

// TestDependsOn: order, conditions, parallel starts, restart: true, and the way back.
func TestDependsOn(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	s.life("db", serves, "network_mode: none", "healthcheck: {tcp: 8000, interval: 1s}")
	s.life("migrate", "echo migrated", "depends_on: {db: {condition: service_healthy}}")
	s.life("cache", "sleep 1000", "depends_on: [db]")
	s.life("app", "sleep 1000", "depends_on:", "  db: {condition: healthy, restart: true}", "  migrate: {condition: service_completed_successfully}", "  cache:")
	s.must("up", "app")
	all := s.all()
	if len(all) != 4 || all["app"].StartedAt.Before(*all["migrate"].FinishedAt) || all["migrate"].StartedAt.Before(*all["db"].StartedAt) || all["db"].Health != "healthy" {
		t.Errorf("after up app: %+v", all)
	}
	s.must("restart", "db")
	if c := s.is("app", "runs", running); c.PID == all["app"].PID {
		t.Error("the restart of db did not restart app")
	}
	if c := s.all()["cache"]; c.PID != all["cache"].PID {
		t.Error("the restart of db restarted cache too")
	}
	r := s.hostrun("down", "db", "app", "cache", "migrate")
	order := func(first, then string) {
		t.Helper()
		a, b := strings.Index(r.stderr, first+"\n"), strings.Index(r.stderr, then+"\n")
		if a < 0 || b < a {
			t.Errorf("%q does not come before %q: %v", first, then, r)
		}
	}
	order("Container app  Removed", "Container cache  Stopping")
	order("Container cache  Removed", "Container db  Stopping")
	order("Container migrate  Removed", "Container db  Stopping")
}

// TestDependencyDies: the wait ends with its last words, what depends on it is not started, and what does not is.
func TestDependencyDies(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	s.life("migrate", "echo no space left; exit 4")
	s.life("app", "sleep 1000", "depends_on: {migrate: {condition: completed_successfully}}")
	s.life("top", "sleep 1000", "depends_on: [app]")
	s.life("other", "sleep 1000", "depends_on: {migrate: {condition: completed_successfully, required: false}}")
	r := s.hostrun("up", "top", "other")
	for _, want := range []string{
		"container app: not started: container migrate has ended with status 4",
		"migrate | no space left",
		"container top: not started: app, on which it depends, has failed",
		"other goes on without migrate: container migrate has ended with status 4",
	} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("no %q", want)
		}
	}
	all := s.all()
	if r.status != 1 || len(all) != 2 || !running(all["other"]) || all["migrate"].Status != "exited" {
		t.Errorf("%v\n%+v", r, all)
	}
	// run starts what it depends on, too, and has statuses of its own.
	if r := s.hostrun("run", "app"); r.status != 125 || !strings.Contains(r.stderr, "no space left") {
		t.Errorf("run: %v", r)
	}
	s.life("fine", "echo fine", "depends_on: [steady]")
	s.life("steady", "sleep 1000")
	if out := s.must("run", "fine"); !strings.Contains(out, "fine\n") {
		t.Errorf("run: %q", out)
	}
	if c := s.all()["steady"]; !running(c) {
		t.Errorf("what fine depends on: %+v", c)
	}
}

// TestLastWordsOfOneThatEnds: on a busy machine `up --wait` told the end of a container without its last lines, which its log writer had not
// written yet.
func TestLastWordsOfOneThatEnds(t *testing.T) {
	t.Parallel()
	s := supervised(t)
	s.life("dies", "sleep 1; echo no such model; exit 3", "healthcheck: {tcp: 8000}")
	up := s.command("up", "--wait", "dies")
	var said bytes.Buffer
	up.Stderr = &said
	ok(t, up.Start())
	var writers, jobs []int
	s.comes("the container and its log writer", func() error {
		writers = fixture.Processes(func(args string) bool { return strings.Contains(args, "hostrun-log path "+s.path("data")) })
		jobs = fixture.Processes(func(args string) bool { return strings.HasPrefix(args, "sh -c sleep 1; echo no such model") })
		if len(writers) == 0 || len(jobs) == 0 {
			return errors.New("they are not there yet")
		}
		return nil
	})
	ok(t, syscall.Kill(writers[0], syscall.SIGSTOP))
	s.comes("the end of the container", func() error {
		if syscall.Kill(jobs[0], 0) == nil {
			return errors.New("it runs")
		}
		return nil
	})
	time.Sleep(300 * time.Millisecond) // up looks at it in this time, and the shim waits longer for the writer
	ok(t, syscall.Kill(writers[0], syscall.SIGCONT))
	_ = up.Wait()
	if !strings.Contains(said.String(), "dies | no such model") {
		t.Errorf("%s", said.String())
	}
}
