package main

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/coreos/go-systemd/v22/daemon"
)

// TestPrivately: an errand's command line names the private engine, whatever it said before, and no word of the container's.
func TestPrivately(t *testing.T) {
	for line, want := range map[string]string{
		"up job":                               "--engine=private up job",
		"--engine auto up job":                 "--engine=private up job",
		"up --engine=auto job":                 "--engine=private up job",
		"run job -- tool --engine x":           "--engine=private run job -- tool --engine x",
		"--address /run/e.sock run job -- -- ": "--address /run/e.sock run job -- --",
	} {
		s := newSession(nil, nil, nil, deps{})
		s.args = strings.Fields(line)
		var err error
		if s.line, err = arrange(newApp(s), s.args); err != nil {
			t.Fatal(err)
		}
		if got := s.privately(); !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}

// TestUnitsMain: what was started by a unit's process is not the unit's main one; what the engine runs for it stands for it.
func TestUnitsMain(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		env  map[string]string
		want int
	}{
		{nil, 0},
		{map[string]string{"SYSTEMD_EXEC_PID": self}, os.Getpid()},
		{map[string]string{"SYSTEMD_EXEC_PID": "1", "NOTIFY_SOCKET": "/x"}, 0},
		{map[string]string{"NOTIFY_SOCKET": "/x"}, os.Getpid()},
		{map[string]string{"SYSTEMD_EXEC_PID": "7", keepsFor: "7"}, 7},
		{map[string]string{keepsFor: "x"}, 0},
	} {
		if got := unitsMain(c.env); got != c.want {
			t.Errorf("%v: %d, want %d", c.env, got, c.want)
		}
	}
}

// TestNoticesAreRelayed: in their order, also those that were sent at the very end.
func TestNoticesAreRelayed(t *testing.T) {
	var told []string
	r, err := relayNotices(t.TempDir(), func(state string) { told = append(told, state) })
	if err != nil {
		t.Fatal(err)
	}
	env := r.environment([]string{"A=b", "WATCHDOG_USEC=5", "WATCHDOG_PID=7", "NOTIFY_SOCKET=/old"})
	if want := []string{"A=b", "WATCHDOG_USEC=5", "NOTIFY_SOCKET=" + r.socket()}; !slices.Equal(env, want) {
		t.Errorf("%q, want %q", env, want)
	}
	t.Setenv("NOTIFY_SOCKET", r.socket())
	want := []string{"STATUS=checking", "READY=1\nSTATUS=running", "WATCHDOG=1", "STOPPING=1"}
	for _, state := range want {
		if sent, err := daemon.SdNotify(false, state); err != nil || !sent {
			t.Fatal(sent, err)
		}
	}
	dropRelay(map[string]string{"NOTIFY_SOCKET": r.socket()})
	if _, err := os.Stat(r.dir); err != nil {
		t.Error("a process that keeps nothing for another has removed it")
	}
	r.end()
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	if _, err := os.Stat(r.dir); err == nil {
		t.Error("the directory is left")
	}
	if r, err = relayNotices(t.TempDir(), nil); err != nil {
		t.Fatal(err)
	}
	dropRelay(map[string]string{"NOTIFY_SOCKET": r.socket(), keepsFor: "7"}) // process 7 was killed
	if _, err := os.Stat(r.dir); err == nil {
		t.Error("the directory of one that was killed is left")
	}
	r.end()
}
