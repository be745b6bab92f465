package integration

import (
	"bytes"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"hostrun.dev/hostrun/runtime"
)

// A manager is a service manager for one service: a socket, and what came in at it.
type manager struct {
	name string
	mu   sync.Mutex
	said []string
}

func newManager(t *testing.T, name string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	m := &manager{name: name}
	go func() {
		buf := make([]byte, 8192)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.said = append(m.said, string(buf[:n]))
			m.mu.Unlock()
		}
	}()
	return m
}

// words are written by a process, and read meanwhile.
type words struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *words) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

func (w *words) Reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Reset()
}

// heard says whether these came in, in this order.
func (m *manager) heard(want ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	left := want
	for _, s := range m.said {
		if len(left) > 0 && strings.Contains(s, left[0]) {
			left = left[1:]
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("%q did not come: %q", left[0], m.said)
	}
	return nil
}

// TestSupervisedInForeground: up --supervise as any service manager runs it, on a machine as this one is.
func TestSupervisedInForeground(t *testing.T) {
	s := newStage(t)
	s.load(tiny(t, "job"))
	life := "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.1; done"
	text := func(command string, more string) string {
		return fmt.Sprintf("image: job:latest\npull_policy: never\ncommand: [sh, -c, %q]\nrestart: always\n%s", command, more)
	}
	s.profile("web", text("sleep 0.3; echo up >/ok; "+life, "healthcheck: {test: '[ -e /ok ]', start_interval: 100ms}\n"))
	for name, status := range map[string]int{"three": 3, "misfit": 78} {
		s.profile(name, text(fmt.Sprintf("exit %d", status), ""))
	}
	var out words
	begin := func(m *manager, name string) (end func(syscall.Signal) int) {
		out.Reset()
		cmd := s.command("up", "--supervise", name)
		// The second is: this is not the main process of the unit in which the tests run.
		cmd.Env, cmd.SysProcAttr = append(cmd.Env, "NOTIFY_SOCKET="+m.name, "SYSTEMD_EXEC_PID=1"), dieWithUs()
		cmd.Stdout, cmd.Stderr = &out, &out
		must(t, cmd.Start())
		done := make(chan int, 1)
		go func() { _ = cmd.Wait(); done <- cmd.ProcessState.ExitCode() }()
		return func(sig syscall.Signal) int {
			if sig != 0 {
				_ = cmd.Process.Signal(sig)
			}
			select {
			case status := <-done:
				return status
			case <-time.After(90 * time.Second):
				t.Fatalf("it does not end: %s", &out)
				return 0
			}
		}
	}
	m := newManager(t, filepath.Join(t.TempDir(), "notify"))
	end := begin(m, "web")
	s.comes("it is ready", func() error {
		return m.heard("STATUS=checking", "EXTEND_TIMEOUT_USEC=", "not yet healthy", "READY=1\nSTATUS=healthy")
	})
	if s.supervisor() != 0 {
		t.Error("hostrun supervise looks after it, too")
	}
	if c := s.is("web", "runs", running); c.Unit == "" || c.Restart != "" || c.Health != "healthy" {
		t.Errorf("%+v", c)
	}
	if status := end(syscall.SIGTERM); status != 0 || !strings.Contains(out.String(), "hello\n") || !strings.Contains(out.String(), "bye\n") {
		t.Errorf("status %d: %s", status, &out)
	}
	if err := m.heard("READY=1", "STOPPING=1"); err != nil {
		t.Error(err)
	}
	if c := s.all()["web"]; c.Status != "exited" || c.StoppedBy != "" || c.RestartAt != nil {
		t.Errorf("after its end: %+v", c)
	}

	m = newManager(t, fmt.Sprintf("@hostrun-%s", s.namespace)) // without a path
	end = begin(m, "web")
	s.comes("it is ready again", func() error { return m.heard("READY=1") })
	if strings.Count(out.String(), "hello") > 1 || strings.Contains(out.String(), "bye") {
		t.Errorf("the output of the life before: %s", &out)
	}
	if status := end(syscall.SIGKILL); status != -1 {
		t.Errorf("status %d", status)
	}
	s.is("web", "runs on", running)
	s.must("systemd", "clean", "web")
	s.is("web", "is ended by what a unit does then", func(c runtime.Container) bool { return c.Status == "exited" })

	end = begin(m, "web")
	s.comes("it is up once more", func() error { return m.heard("READY=1", "READY=1") })
	s.must("systemd", "clean", "web") // which leaves alone what is looked after
	s.is("web", "runs", running)
	s.must("stop", "web")
	if status := end(0); status != 0 {
		t.Errorf("stopped by a person: status %d: %s", status, &out)
	}
	for name, want := range map[string]int{"three": 3, "misfit": 1} {
		if status := begin(m, name)(0); status != want {
			t.Errorf("%s: status %d, want %d: %s", name, status, want, &out)
		}
	}
	s.profile("none", "image: job:latest\npull_policy: never\nvolumes: [/does/not/exist:/x]\ncommand: [sh]\n")
	if status := begin(m, "none")(0); status != 66 {
		t.Errorf("a path that is not there: status %d: %s", status, &out)
	}
}
