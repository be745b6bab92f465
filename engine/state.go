package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
)

// A Status is what can be known of the private engine without a call to it.
type Status struct {
	Running  bool
	PID      int
	Version  string    // of hostrun-engine, as `hostrun version` writes it
	Since    time.Time // when it was ready
	Outdated bool      // it runs from another file than LibexecDir has now; it is replaced once no container needs it
}

// State says whether the engine runs. It starts nothing and waits for nothing: a connect(2), a stat(2) and a small file.
// That none runs is no error; a socket that the caller may not use is one (77).
func State(l Layout) (Status, error) {
	conn, err := dial(l)
	if nobody(err) {
		return Status{}, nil
	}
	if err != nil {
		return Status{}, err
	}
	defer conn.Close()
	r := readRecord(l)
	s := Status{Running: true, PID: r.PID, Version: r.Version, Since: r.Since, Outdated: outdated(r.Stamp, Stamp(l.binary()))}
	if pid := peer(conn); pid != 0 {
		s.PID = pid
	}
	return s, nil
}

// outdated compares what runs to what is installed; nothing is newer than nothing.
func outdated(runs, installed string) bool { return installed != "" && runs != installed }

// dial connects to the engine's socket: the one proof that it lives. Its errors are nobody's or have a status.
func dial(l Layout) (*net.UnixConn, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: l.Address(), Net: "unix"})
	if err == nil && dying(peer(conn)) {
		_ = conn.Close()
		err = syscall.ECONNREFUSED // which it will be in a moment
	}
	switch {
	case err == nil || nobody(err):
		return conn, err
	case errors.Is(err, os.ErrPermission):
		return nil, mayNot(l)
	}
	return nil, finding.Errorf(finding.StatusTryAgain, "", "connect to the private engine: %w", err)
}

// dying says that a process was killed and its last threads are about to go (proc_pid_stat(5), state Z): the kernel takes
// connections for it until they have closed its files.
func dying(pid int) bool {
	if pid == 0 {
		return false
	}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := bytes.Cut(b, []byte(") "))
	return bytes.HasPrefix(rest, []byte("Z"))
}

// nobody says that there is no socket, or that nobody listens there any more.
func nobody(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
}

// whoMay is what a person reads who is neither root nor in the group.
const whoMay = "run hostrun as root: sudo hostrun ...\n" +
	"or let root start it and join its group, whose members are as good as root: sudo groupadd --system --force " + DefaultGroup +
	"; sudo usermod -aG " + DefaultGroup + " $(id -un)"

func mayNot(l Layout) error {
	return finding.Errorf(finding.StatusPermission, whoMay, "use the private engine at %s: permission denied", l.Address())
}

// peer returns the pid of the process that listens; 0 where it lives in a pid namespace that is not visible here.
func peer(conn *net.UnixConn) int {
	pid := 0
	if raw, err := conn.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
				pid = int(cred.Pid)
			}
		})
	}
	return pid
}

// A Record is what the engine leaves about itself, for State.
type Record struct {
	PID     int       `json:"pid"`
	Version string    `json:"version"`
	Since   time.Time `json:"since"`
	Stamp   string    `json:"stamp"` // of the file that it was started from
}

// Publish writes the record, whole or not at all.
func Publish(l Layout, r Record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	file := l.recordFile()
	fresh := filepath.Join(filepath.Dir(file), ".engine.json")
	if err := os.WriteFile(fresh, append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(fresh, file)
}

// readRecord returns what is there; a missing or torn record is an empty one, for the socket alone says whether it runs.
func readRecord(l Layout) Record {
	var r Record
	b, err := os.ReadFile(l.recordFile())
	if err != nil || json.Unmarshal(b, &r) != nil {
		return Record{}
	}
	return r
}

// Stamp tells one version of a file from the next; "" if it is not there. An upgrade puts another inode in its place, and
// that of a program that runs is not given away again; times change with each build that finds nothing to do.
func Stamp(path string) string {
	var fi unix.Stat_t
	if unix.Stat(path, &fi) != nil {
		return ""
	}
	return fmt.Sprintf("%d-%d", fi.Dev, fi.Ino)
}
