package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	private "hostrun.dev/hostrun/engine"
	"hostrun.dev/hostrun/integration/fixture"
)

// TestGivenUp: a containerd that comes back and does not find the shim of a container gives it up: shim and process go on, and it can end neither. hostrun
// called that "Ended unseen", gave its device to another job, could not start it ("container with given ID already exists", by which 1.6 and 1.7 ended
// it), and its down let it go on, with 2.x for ever.
func TestGivenUp(t *testing.T) {
	for _, e := range fixture.Engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.givesUp(m.systemOf(e))
		})
	}
	t.Run("private", func(t *testing.T) { // which finds the shim where hostrun is installed by then
		t.Parallel()
		m := newMachine(t)
		dir := m.ownHelpers()
		m.must("load", m.archive(tiny(t, "job:latest")))
		m.must("up", "job")
		pid := m.pidOf("job")
		ok(t, os.Rename(dir, dir+".moved"))
		m.set("HOSTRUN_LIBEXEC_DIR", dir+".moved")
		m.end(m.pid())
		equal(t, "exec", m.must("exec", "job", "--", "echo", "still here"), "still here\n")
		equal(t, "the process", m.pidOf("job"), pid)
		m.must("down", "job")
	})
}

// givesUp lets the machine's containerd give a container up again and again.
func (m *machine) givesUp(ctrd *fixture.Containerd) {
	t := m.t
	shim := filepath.Join(m.ownHelpers(), private.Shim)
	m.must("load", m.archive(tiny(t, "job:latest")))
	kind := m.accelerators(1)
	m.profile("job", "image: job:latest\npull_policy: never\npython: none\ncommand: [sh, -c, \"trap 'echo bye; exit 3' TERM; echo here; while :; do sleep 0.05; done\"]\n"+
		"stop_grace_period: 20s\ndevices: ["+kind+"=0]\nhealthcheck: {test: [CMD, \"true\"], interval: 1s}\nrestart: always\n")
	m.profile("other", "image: job:latest\npull_policy: never\npython: none\ncommand: [sleep, \"1000\"]\ndevices: ["+kind+"=0]\n")
	giveUp := func() int {
		t.Helper()
		pid := m.pidOf("job")
		m.comes("its first line", func() error { // else it could be sent a signal before it has a trap for it
			if text := m.must("logs", "job"); !strings.Contains(text, "here") {
				return fmt.Errorf("%q", text)
			}
			return nil
		})
		ok(t, os.Rename(shim, shim+".away"))
		ctrd.Kill()
		ctrd.Start()
		m.comes("containerd has given it up", func() error { return m.isGivenUp("job", pid) })
		ok(t, os.Rename(shim+".away", shim))
		return pid
	}
	gone := func(pid int) {
		t.Helper()
		m.comes("nothing of it is left", func() error {
			if syscall.Kill(pid, 0) == nil {
				return fmt.Errorf("process %d is still there", pid)
			}
			for _, pattern := range []string{"/sys/fs/cgroup/" + m.namespace + "/job", "/sys/fs/cgroup/*/" + m.namespace + "/job",
				"/run/containerd/runc/" + m.namespace + "/job"} {
				if found, _ := filepath.Glob(pattern); len(found) > 0 {
					return fmt.Errorf("%v", found)
				}
			}
			if out, _ := exec.Command("pgrep", "-f", "containerd-shim.* "+m.namespace+" ").Output(); len(out) > 0 {
				return fmt.Errorf("shim %s", out)
			}
			return nil
		})
	}

	m.must("up", "job")
	pid := giveUp()
	m.want(0, "given up by containerd: hostrun restart starts it anew", "ps")
	if r := m.hostrun("doctor"); !strings.Contains(r.stdout, "given up    ") || !strings.Contains(r.stdout, "hostrun restart job") { // its status tells of other things, too
		t.Errorf("%v", r)
	}
	m.want(75, "HR074", "up", "other")
	m.want(0, "containerd has given it up", "up", "job")
	m.want(125, "hostrun restart job", "exec", "job", "--", "true")
	m.want(1, "hostrun restart job", "pause", "job")
	m.want(0, "sleep 0.05", "top", "job")
	m.must("gc")
	equal(t, "the process after all that", m.pidOf("job"), pid)
	m.must("stop", "job")
	if text := m.must("logs", "job"); !strings.HasSuffix(text, "bye\n") {
		t.Errorf("it was not ended by its stop signal: %q", text)
	}
	gone(pid)
	m.want(0, "Exited (255)", "ps", "-a")

	m.must("up", "job")
	pid = giveUp()
	m.must("restart", "job")
	if now := m.pidOf("job"); now == pid || syscall.Kill(pid, 0) == nil {
		t.Errorf("after restart process %d goes on, and %d is its own", pid, now)
	}
	equal(t, "exec", m.must("exec", "job", "--", "echo", "anew"), "anew\n")

	pid = giveUp()
	m.must("down", "job")
	gone(pid)

	m.must("up", "job")
	giveUp()
	m.want(0, "", "kill", "-s", "KILL", "job") // as a person: it stays down
	m.comes("its end is seen", func() error {
		if text := m.must("ps", "-a"); !strings.Contains(text, "Ended unseen") {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	m.must("up", "job")
	equal(t, "exec", m.must("exec", "job", "--", "echo", "again"), "again\n")
	pid = giveUp()
	ok(t, syscall.Kill(pid, syscall.SIGKILL)) // by itself: restart: always
	m.comes("it is started again", func() error {
		if now := m.where("job"); len(now) == 0 {
			return fmt.Errorf("it does not run")
		}
		if r := m.hostrun("exec", "job", "--", "true"); r.status != 0 {
			return fmt.Errorf("%v", r)
		}
		return nil
	})
	pid = giveUp()
	m.without("job", ctrd)
	m.want(0, "without a record: hostrun down ends it", "ps")
	m.must("down", "job")
	gone(pid)
	m.must("up", "job")
	pid = giveUp()
	m.without("job", ctrd)
	m.must("up", "job")
	equal(t, "exec", m.must("exec", "job", "--", "echo", "anew"), "anew\n")
	if syscall.Kill(pid, 0) == nil {
		t.Errorf("process %d goes on beside the one of up", pid)
	}
	m.must("down", "job")
	m.must("up", "other")
	m.must("down", "other")
}

// without takes the record of a container away.
func (m *machine) without(name string, ctrd *fixture.Containerd) {
	m.t.Helper()
	client, err := containerd.New(ctrd.Address)
	ok(m.t, err)
	defer client.Close()
	ok(m.t, client.ContainerService().Delete(namespaces.WithNamespace(context.Background(), m.namespace), name))
}

// isGivenUp says what keeps a container from being one that runs as this process and that containerd has given up.
func (m *machine) isGivenUp(name string, pid int) error {
	var shown struct {
		Status  string
		PID     int
		GivenUp bool `json:"given_up"`
	}
	text := m.must("ps", "--format", "json", name)
	if text == "" {
		return fmt.Errorf("ps shows nothing")
	}
	ok(m.t, json.Unmarshal([]byte(text), &shown))
	if !shown.GivenUp || shown.Status != "running" || shown.PID != pid {
		return fmt.Errorf("%s", text)
	}
	return nil
}

// ownHelpers gives the machine a directory of its own with hostrun's helpers, and a copy of the shim.
func (m *machine) ownHelpers() (dir string) {
	m.t.Helper()
	dir = m.path("own")
	ok(m.t, os.Mkdir(dir, 0o755))
	helpers, err := os.ReadDir(m.layout.LibexecDir)
	ok(m.t, err)
	for _, h := range helpers {
		if h.Name() != private.Shim {
			ok(m.t, os.Symlink(filepath.Join(m.layout.LibexecDir, h.Name()), filepath.Join(dir, h.Name())))
		}
	}
	text, err := os.ReadFile(filepath.Join(m.layout.LibexecDir, private.Shim))
	ok(m.t, err)
	ok(m.t, os.WriteFile(filepath.Join(dir, private.Shim), text, 0o755))
	m.set("HOSTRUN_LIBEXEC_DIR", dir)
	return dir
}

// end kills a process and waits for its end.
func (m *machine) end(pid int) {
	m.t.Helper()
	ok(m.t, syscall.Kill(pid, syscall.SIGKILL))
	m.comes("the end of a process", func() error {
		if syscall.Kill(pid, 0) == nil {
			return fmt.Errorf("process %d is still there", pid)
		}
		return nil
	})
}
