package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	private "hostrun.dev/hostrun/engine"
	"hostrun.dev/hostrun/integration/fixture"
)

// TestShimOfTheSystemsContainers: the system's containerd, of each series, keeps hostrun's containers by hostrun's shim, also after a restart of
// its own; where it can't execute that, or shall not, it takes its own, and the container starts all the same.
func TestShimOfTheSystemsContainers(t *testing.T) {
	for _, e := range fixture.Engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			ctrd := m.systemOf(e)
			m.must("load", m.archive(tiny(t, "job:latest")))
			ours := filepath.Join(m.layout.LibexecDir, private.Shim)

			m.must("up", "job")
			pid := m.pidOf("job")
			equal(t, "the shim", keeper(t, pid), ours)
			ctrd.Kill()
			ctrd.Start()
			equal(t, "exec after a restart of containerd", m.must("exec", "job", "--", "echo", "still here"), "still here\n")
			equal(t, "the process after a restart of containerd", m.pidOf("job"), pid)
			m.must("stop", "job")
			m.profile("seven", "image: job:latest\npull_policy: never\npython: none\ncommand: [sh, -c, \"echo out; exit 7\"]\n")
			equal(t, "output of a command", m.want(7, "", "run", "-T", "seven"), "out\n")

			m.set("HOSTRUN_SHIM", "containerd")
			m.must("start", "job")
			if now := keeper(t, m.pidOf("job")); now == ours {
				t.Errorf("with HOSTRUN_SHIM=containerd the shim is %s", now)
			}
			m.must("down", "job")

			m.set("HOSTRUN_SHIM", "")
			m.set("HOSTRUN_LIBEXEC_DIR", m.withoutShim())
			m.want(0, "containerd can't execute hostrun's shim", "up", "job")
			if now := keeper(t, m.pidOf("job")); now == ours {
				t.Errorf("the shim that can't be executed is %s", now)
			}
			equal(t, "exec", m.must("exec", "job", "--", "echo", "runs"), "runs\n")
			m.must("down", "job")
		})
	}
}

func (m *machine) pidOf(name string) int {
	m.t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(m.must("ps", "--format", "{{.pid}}", name)))
	ok(m.t, err)
	return pid
}

// withoutShim is a directory with hostrun's helpers, of which the shim is no program.
func (m *machine) withoutShim() string {
	m.t.Helper()
	dir := m.path("libexec")
	ok(m.t, os.Mkdir(dir, 0o755))
	helpers, err := os.ReadDir(m.layout.LibexecDir)
	ok(m.t, err)
	for _, h := range helpers {
		if strings.HasPrefix(h.Name(), "hostrun-") {
			ok(m.t, os.Symlink(filepath.Join(m.layout.LibexecDir, h.Name()), filepath.Join(dir, h.Name())))
		}
	}
	ok(m.t, os.WriteFile(filepath.Join(dir, private.Shim), make([]byte, 64), 0o755))
	return dir
}

// keeper is the program of a container's shim: its first process is a child of that.
func keeper(t *testing.T, pid int) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	ok(t, err)
	_, rest, _ := strings.Cut(string(b), "\nPPid:")
	parent, _, _ := strings.Cut(rest, "\n")
	exe, err := os.Readlink(filepath.Join("/proc", strings.TrimSpace(parent), "exe"))
	ok(t, err)
	return exe
}
