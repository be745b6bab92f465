package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"hostrun.dev/hostrun/engine"
)

// This file is about services of members of the private engine's group, in a systemd of their own: the main process of such a unit is the
// member's, what keeps the container runs as root, by the engine, and speaks to the member's systemd through it.

// keepsFor names the main process of a unit for which this one keeps a container, as root.
const keepsFor = "HOSTRUN_KEEPS_FOR"

// unitsMain is the unit's main process: this one, where systemd has started it, by its number (systemd.exec(5), since 248), or since it
// listens to it. 0 for none.
func unitsMain(env map[string]string) int {
	if pid, err := strconv.Atoi(env[keepsFor]); err == nil && pid > 0 {
		return pid
	}
	if pid, told := env["SYSTEMD_EXEC_PID"]; told && pid != strconv.Itoa(os.Getpid()) || !told && env["NOTIFY_SOCKET"] == "" {
		return 0
	}
	return os.Getpid()
}

// keptErrand is an errand that keeps a container: it hears of its end with SIGTERM, as SIGHUP is a reload, and what it tells the service
// manager goes through this process, from which alone that takes it.
func (s *session) keptErrand(streams [3]*os.File) (engine.Ending, error) {
	env := os.Environ()
	if main := unitsMain(s.env); main != 0 {
		env = append(env, keepsFor+"="+strconv.Itoa(main))
	}
	drain := func() {}
	if s.env["NOTIFY_SOCKET"] != "" {
		relay, err := relayNotices(s.env["XDG_RUNTIME_DIR"], s.toServiceManager)
		if err != nil {
			return engine.Ending{}, fmt.Errorf("pass on what the service tells of itself: %w", err)
		}
		drain = relay.end
		env = relay.environment(env)
	}
	end, err := engine.Errand{Args: s.privately(), Env: env, Lost: syscall.SIGTERM}.Run(s.layout(), streams, s.dir)
	drain()
	if err == nil && end.Signal == syscall.SIGTERM { // it leaves for good: systemd has to see that (keeper.leave)
		dieOf(syscall.SIGTERM)
	}
	return end, err
}

// dieOf ends this process by the signal, as its default action does.
func dieOf(sig syscall.Signal) {
	signal.Reset(sig)
	_ = syscall.Kill(os.Getpid(), sig)
	time.Sleep(time.Second) // the signal comes to another thread
}

// A noticeRelay takes what a process tells a service manager (sd_notify(3)) and tells it again.
type noticeRelay struct {
	dir  string
	conn *net.UnixConn
	tell func(state string)
	over chan struct{}
}

const relayPrefix = "hostrun-notify-"

// dropRelay removes the relay's socket at the end of the process that has told it things: whose it was may have been killed.
func dropRelay(env map[string]string) {
	dir := filepath.Dir(env["NOTIFY_SOCKET"])
	if env[keepsFor] != "" && strings.HasPrefix(filepath.Base(dir), relayPrefix) {
		_ = os.RemoveAll(dir)
	}
}

// relayNotices makes a socket in a directory that nobody else may enter, below the given one or, for "", that of temporary files.
func relayNotices(below string, tell func(state string)) (*noticeRelay, error) {
	dir, err := os.MkdirTemp(below, relayPrefix)
	if err != nil {
		return nil, err
	}
	r := &noticeRelay{dir: dir, tell: tell, over: make(chan struct{})}
	r.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: r.socket(), Net: "unixgram"})
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	go r.pass()
	return r, nil
}

func (r *noticeRelay) socket() string { return filepath.Join(r.dir, "socket") }

func (r *noticeRelay) pass() {
	defer close(r.over)
	buf := make([]byte, 16<<10) // more than any of ours
	for {
		n, err := r.conn.Read(buf)
		if err != nil {
			return
		}
		r.tell(string(buf[:n]))
	}
}

// end passes on what has come, and removes the socket.
func (r *noticeRelay) end() {
	_ = r.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // its teller has ended: all is there
	<-r.over
	_ = r.conn.Close()
	_ = os.RemoveAll(r.dir)
}

// environment is env for the process that tells. It is not the one that the watchdog was told of by number.
func (r *noticeRelay) environment(env []string) []string {
	env = slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		return strings.HasPrefix(kv, "NOTIFY_SOCKET=") || strings.HasPrefix(kv, "WATCHDOG_PID=")
	})
	return append(env, "NOTIFY_SOCKET="+r.socket())
}

// asMember says whether what needs root has to be asked of the private engine, by a member of its group.
func (s *session) asMember(ctx context.Context) bool {
	if os.Geteuid() == 0 {
		return false
	}
	_, err := os.Stat(s.layout().ErrandAddress())
	return err == nil && s.likely(ctx) == privateEngine
}

// asksRoot has the private engine run a command that is not this one's line.
func (s *session) asksRoot(args ...string) error {
	streams, ok := s.files()
	if !ok {
		return fmt.Errorf("hostrun %s: the streams are no files", strings.Join(args, " "))
	}
	end, err := engine.Errand{Args: append([]string{"--engine=private", "--namespace=" + s.global.namespace, "--progress=quiet"}, args...), Env: os.Environ()}.Run(s.layout(), streams, s.dir)
	if err != nil {
		return err
	}
	return asEnded(end.Status)
}

// files are the streams of this process, where they are files that can be passed on.
func (s *session) files() (streams [3]*os.File, ok bool) {
	streams = [3]*os.File{file(s.stdin), file(s.stdout), file(s.stderr)}
	return streams, streams[0] != nil && streams[1] != nil && streams[2] != nil
}
