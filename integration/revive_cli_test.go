package integration

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"hostrun.dev/hostrun/runtime"
)

// standBys are the processes that wait for the end of the stage's supervisor.
func (s *stage) standBys() (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		text, _ := os.ReadFile(file)
		words := strings.Split(string(bytes.TrimRight(text, "\x00")), "\x00")
		if filepath.Base(words[0]) == "hostrun-reap" && strings.Contains(string(text), "\x00supervise\x00") && strings.Contains(string(text), s.path("state")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// TestKilledSupervisorComesBack: without systemd, and without a command: containers that end are started again whoever of the two is killed,
// and a supervisor that is told to end leaves nobody behind.
func TestKilledSupervisorComesBack(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); err == nil {
		t.Skip("systemd brings it back here: TestServices")
	}
	t.Parallel()
	s := supervised(t)
	for _, name := range []string{"steady", "ends"} {
		s.life(name, map[string]string{"steady": "sleep 1000", "ends": "sleep 0.3; exit 1"}[name], "restart: always")
	}
	s.must("up", "steady", "ends")
	s.looksAfter()
	one := func(not int) (pid int) {
		t.Helper()
		s.comes("one stands by", func() error {
			all := s.standBys()
			if len(all) != 1 || all[0] == not {
				return fmt.Errorf("there are %d, and %d was killed", all, not)
			}
			pid = all[0]
			return nil
		})
		return pid
	}
	for round := range 3 {
		before, sup := s.is("steady", "runs", running), s.supervisor()
		one(0)
		must(t, syscall.Kill(sup, syscall.SIGKILL))
		must(t, syscall.Kill(before.PID, syscall.SIGKILL))
		s.is("steady", "was started again", func(c runtime.Container) bool {
			return running(c) && c.PID != before.PID && c.Restarts == round+1
		})
		if now := s.supervisor(); now == sup {
			t.Errorf("process %d still looks after them", now)
		}
	}
	killed := one(0)
	must(t, syscall.Kill(killed, syscall.SIGKILL))
	sup := s.supervisor()
	second := one(killed)
	if used, err := rss(second); err != nil || used > 4<<20 {
		t.Errorf("it takes %d bytes of memory, %v", used, err)
	}
	must(t, syscall.Kill(sup, syscall.SIGKILL))
	s.looksAfter()
	s.endSupervisor(syscall.SIGTERM)
	s.comes("nobody stands by", func() error {
		if all := s.standBys(); len(all) > 0 {
			return fmt.Errorf("there are %d", all)
		}
		return nil
	})
	if pid := s.supervisor(); pid != 0 {
		t.Errorf("process %d looks after them again", pid)
	}
	restarts := s.all()["ends"].Restarts
	if restarts == 0 {
		t.Error("what ends was never started again")
	}
}

// rss is a process's memory that is no other's file, in bytes.
func rss(pid int) (n int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if _, scan := fmt.Sscanf(line, "RssAnon: %d kB", &n); scan == nil {
			return n << 10, err
		}
	}
	return 0, errors.Join(err, errors.New("no RssAnon"))
}
