package runtime

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestProcsFile: the file of a cgroup that the process is in already, or none.
func TestProcsFile(t *testing.T) {
	const hybrid = "12:pids:/user\n1:name=systemd:/user.slice\n0::/user.slice/s-1.scope\n"
	for _, c := range []struct{ name, membership, mounts, want string }{
		{"unified", "0::/system.slice/x.service\n", "31 22 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/system.slice/x.service/cgroup.procs"},
		{"root", "0::/\n", "31 22 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "/sys/fs/cgroup/cgroup.procs"},
		{"hybrid", hybrid, "31 22 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n32 22 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			"/sys/fs/cgroup/unified/user.slice/s-1.scope/cgroup.procs"},
		{"version 1", hybrid, "30 22 0:26 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n31 22 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n", "/sys/fs/cgroup/pids/user/cgroup.procs"},
		{"a part of it that holds us", "0::/docker/abc/x\n", "31 22 0:27 /docker/abc /cg rw - cgroup2 cgroup2 rw\n", "/cg/x/cgroup.procs"},
		{"a part of it that does not", "0::/docker/abcd\n", "31 22 0:27 /docker/abc /cg rw - cgroup2 cgroup2 rw\n", ""},
		{"another cgroup namespace's", "0::/\n", "31 22 0:27 /../.. /cg rw - cgroup2 cgroup2 rw\n", ""},
		{"blanks", "0::/a b\n", `31 22 0:27 / /c\040g rw - cgroup2 cgroup2 rw` + "\n", "/c g/a b/cgroup.procs"},
		{"not mounted", "0::/\n", "31 22 0:27 / /proc rw - proc proc rw\n", ""},
		{"nonsense", "::\n\n:", "x\n", ""},
	} {
		if got := procsFile([]byte(c.membership), []byte(c.mounts)); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestMigrationsLeaveUsWhereWeAre: what makes starts quicker moves no process, and ends.
func TestMigrationsLeaveUsWhereWeAre(t *testing.T) {
	before, err := os.ReadFile(membershipFile)
	if err != nil {
		t.Fatal(err)
	}
	var k migrationKeeper
	k.ahead()
	done := k.during()
	again := k.during()
	done()
	time.Sleep(3 * migrationsAgain)
	k.mu.Lock()
	running := k.running
	k.mu.Unlock()
	if os.Geteuid() == 0 && strings.Contains(string(before), ":") && !running {
		t.Error("it ended while a container was being created")
	}
	again()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		k.mu.Lock()
		running := k.running
		k.mu.Unlock()
		if !running {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("it goes on when nobody creates a container any more")
		}
	}
	if after, err := os.ReadFile(membershipFile); err != nil || !bytes.Equal(after, before) {
		t.Errorf("we were in\n%sand are in\n%s%v", before, after, err)
	}
}

// TestMoverSeesThatWeWereMoved: the file that says where we are stays open, and is read anew each time.
func TestMoverSeesThatWeWereMoved(t *testing.T) {
	needRoot(t)
	home, err := os.ReadFile(membershipFile)
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	procs := procsFile(home, mounts)
	if procs == "" {
		t.Fatal("no hierarchy of cgroups is mounted here in which we are: containers do not start on such a machine")
	}
	move, end := mover()
	defer end()
	for range 2 { // the second time the file is open already
		if !move() {
			t.Fatalf("%s: we can't be moved to where we are", procs)
		}
	}
	elsewhere, err := os.MkdirTemp(filepath.Dir(procs), "hostrun-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(elsewhere)
	defer func() { // before that
		if err := os.WriteFile(procs, []byte("0"), 0); err != nil {
			t.Error(err)
		}
	}()
	if err := os.WriteFile(filepath.Join(elsewhere, "cgroup.procs"), []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	if move() {
		t.Error("somebody has moved us, and we moved back")
	}
}
