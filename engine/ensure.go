package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
)

// patience is the longest that a start may take: a cold disk, many containers to take up again.
const patience = 30 * time.Second

// Ensure starts the private engine if nobody answers at its socket, and returns once it does. Exactly one is started
// however many processes call at once; it outlives them. Hold it first, so that it does not go idle between Ensure and
// the first call. say is told what takes time; it may be nil. Errors carry status 75 (it does not come up; the end of its log
// is in the error), 77 (only root may start it) or 2 (a layout that can't work), and what to type.
func Ensure(ctx context.Context, l Layout, say func(string)) (started bool, err error) {
	if err := answers(l); !nobody(err) {
		return false, err
	}
	if os.Geteuid() != 0 {
		return false, finding.Errorf(finding.StatusPermission, whoMay, "start the private engine: it does not run, and only root may start it")
	}
	if err := l.Check(); err != nil {
		return false, err
	}
	if err := Installed(l); err != nil {
		return false, err
	}
	if err := makeDirs(l); err != nil {
		return false, err
	}
	return startOnce(ctx, l, say)
}

func answers(l Layout) error {
	conn, err := dial(l)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

// startOnce lets one process start the engine. The others wait for its socket, or for their turn if that one fails.
func startOnce(ctx context.Context, l Layout, say func(string)) (started bool, err error) {
	turn, err := os.OpenFile(l.startLock(), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, storage(l, err)
	}
	defer turn.Close()
	// While another command starts one, its socket ends the waiting, or the lock if it failed.
	err = until(ctx, patience, pause, func() error {
		if up := answers(l); !nobody(up) {
			return up
		}
		return flock(turn, unix.LOCK_EX)
	})
	if err != nil {
		return false, slow(l, err)
	}
	// It is our turn. Busy is now an engine that is just leaving.
	err = until(ctx, leaving, 10*pause, func() error {
		if up := answers(l); !nobody(up) {
			return up
		}
		err := start(ctx, l, say)
		started = err == nil
		return err
	})
	return started, err
}

// slow gives words to a start that does not come to its end.
func slow(l Layout, err error) error {
	if !errors.Is(err, errBusy) {
		return err
	}
	return finding.Errorf(finding.StatusTryAgain, "see who: fuser -v "+l.startLock(), "start the private engine: another command has been starting it for %v", patience)
}

func start(ctx context.Context, l Layout, say func(string)) error {
	if say != nil {
		say("starting the private engine")
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil { // sd_booted(3)
		return startUnit(ctx, l)
	}
	return startProcess(ctx, l)
}

// startProcess starts the engine in a session of its own, so that no terminal's end reaches it, and waits for its report.
func startProcess(ctx context.Context, l Layout) error {
	log, err := os.OpenFile(l.LogFile(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return storage(l, err)
	}
	defer log.Close()
	ready, report, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	cmd := exec.Command(l.binary(), arguments(l, "--ready-fd=3")...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = "/", environment(l), log, log, []*os.File{report}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	// A descriptor that the caller was given, as by `exec 9>lock; flock 9`, must not live as long as the engine does.
	_ = unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // Linux 5.11; ExtraFiles are copied later
	err = cmd.Start()
	_ = report.Close()
	if err != nil {
		return finding.Errorf(finding.StatusTryAgain, "is it for this machine? file "+l.binary(), "start the private engine: %w", err)
	}
	go func() { _ = cmd.Wait() }()
	return await(ctx, l, ready, cmd.Process)
}

func arguments(l Layout, more ...string) []string {
	return append([]string{"--state", l.StateDir, "--root", l.RootDir}, more...)
}

// environment is the engine's own, the same whoever starts it: what one person's shell has must not reach the containers
// of the next.
func environment(l Layout) []string {
	env := []string{"PATH=" + Path(l, os.Getenv("PATH"))}
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "HOSTRUN_ENGINE_") {
			env = append(env, kv)
		}
	}
	return env
}

// Path is the engine's PATH. The shim of this version comes before any other, for containerd looks there. Then the usual
// directories, what the caller has (systems without the usual ones), and last the runc that `make runc` has built: the
// distribution's runtimes come first, as they get its updates.
func Path(l Layout, callers string) string {
	path := l.LibexecDir + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if callers != "" {
		path += ":" + callers
	}
	return path + ":" + filepath.Join(l.LibexecDir, "oci")
}

// A Report is the one line that the engine writes to whoever started it.
type Report struct {
	PID    int    `json:"pid"`
	Error  string `json:"error,omitempty"` // why it does not come up
	Hint   string `json:"hint,omitempty"`
	Status int    `json:"status,omitempty"`
	Busy   bool   `json:"busy,omitempty"` // another one works on the same directories
}

// NewReport says that this process is ready (err is nil), or why it is not.
func NewReport(err error) Report {
	r := Report{PID: os.Getpid()}
	if err != nil {
		r.Error, r.Status, r.Hint, r.Busy = err.Error(), finding.StatusOf(err), strings.Join(finding.HintOf(err), "\n"), errors.Is(err, errBusy)
	}
	return r
}

// await reads the report. An engine that says nothing in time is ended: it is our child, and nobody uses it yet.
func await(ctx context.Context, l Layout, ready *os.File, p *os.Process) error {
	_ = ready.SetReadDeadline(time.Now().Add(patience))
	defer context.AfterFunc(ctx, func() { _ = ready.SetReadDeadline(time.Now()) })()
	line, err := bufio.NewReader(io.LimitReader(ready, 64<<10)).ReadBytes('\n')
	var r Report
	switch {
	case err == nil && json.Unmarshal(line, &r) == nil:
		return r.err(l)
	case ctx.Err() != nil:
		return context.Cause(ctx) // it comes up without us, and leaves again when it is idle
	case errors.Is(err, os.ErrDeadlineExceeded):
		_ = p.Kill()
		return failed(l, fmt.Sprintf("it was not ready within %v", patience))
	}
	return failed(l, "it ended before it was ready")
}

func (r Report) err(l Layout) error {
	switch {
	case r.Busy:
		return &finding.Err{Status: r.Status, Hint: r.Hint, Err: fmt.Errorf("%s%w", strings.TrimSuffix(r.Error, errBusy.Error()), errBusy)}
	case r.Error != "":
		return &finding.Err{Status: r.Status, Hint: r.Hint, Err: errors.New(r.Error)}
	}
	return nil
}

// failed carries the end of the log: there the cause is.
func failed(l Layout, cause string) error {
	return finding.Errorf(finding.StatusTryAgain, "see its log: "+l.LogFile(), "start the private engine: %s%s", cause, tail(l.LogFile(), 5))
}

// tail returns the last lines of a file, each on a line of its own.
func tail(path string, lines int) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	const most = 4096
	if fi, err := file.Stat(); err == nil && fi.Size() > most {
		_, _ = file.Seek(-most, io.SeekEnd)
	}
	b, _ := io.ReadAll(io.LimitReader(file, most))
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(all) == 1 && all[0] == "" {
		return ""
	}
	return ":\n  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}

// storage gives an error of making or writing files its status, and says what to type where a disk is full.
func storage(l Layout, err error) error {
	var known *finding.Err
	if err == nil || errors.As(err, &known) {
		return err
	}
	hint := "look at " + l.StateDir + " and " + l.RootDir
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), strings.Contains(err.Error(), syscall.ENOSPC.Error()):
		hint = "make room: df -h " + l.RootDir + " " + l.StateDir
	case errors.Is(err, syscall.EROFS):
		hint = "the private engine needs a place to write: mount it read-write, or use a containerd of the system"
	}
	return finding.Errorf(finding.StatusTryAgain, hint, "start the private engine: %w", err)
}

// Storage is storage for the engine itself.
func Storage(l Layout, err error) error { return storage(l, err) }
