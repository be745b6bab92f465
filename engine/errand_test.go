package engine

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/exectest"
)

// An errand's command in these tests is a shell script, which stands for hostrun.
func serveScript(t *testing.T, script string) (Layout, *[]string) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
			t.Fatal("errands are done by root")
		}
		t.Skip("errands are done by root")
	}
	dir, err := os.MkdirTemp("/tmp", "errand") // short: a socket is in it
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program := filepath.Join(dir, "hostrun")
	must(t, exectest.WriteFile(program, []byte("#!/bin/sh\n"+script), 0o755))
	l := Layout{StateDir: dir}
	var told []string
	listener, err := ServeErrands(l, os.Getgid(), program, func(uid uint32, args []string) {
		told = append(told, fmt.Sprint(uid, args))
	})
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return l, &told
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestErrand: the command has the asker's arguments, streams, directory and environment, but for what changes how programs
// are loaded, and its status comes back.
func TestErrand(t *testing.T) {
	l, told := serveScript(t, `read line; echo "$line|$*|$(pwd)|$COLOUR|$LD_PRELOAD$GODEBUG"; echo beside >&2; exit 7`)
	in, give, err := os.Pipe()
	must(t, err)
	_, err = give.WriteString("a line\n")
	must(t, err)
	take, out, err := os.Pipe()
	must(t, err)
	e := Errand{Args: []string{"up", "a b"}, Env: []string{"COLOUR=red", "LD_PRELOAD=/x.so", "GODEBUG=x=1", "PATH=/usr/bin:/bin"}}
	dir := t.TempDir()
	end, err := e.Run(l, [3]*os.File{in, out, out}, dir)
	must(t, err)
	must(t, out.Close())
	var got [2]string
	lines := bufio.NewScanner(take)
	for i := 0; lines.Scan() && i < 2; i++ {
		got[i] = lines.Text()
	}
	if end != (Ending{Status: 7}) || got[0] != "a line|up a b|"+dir+"|red|" || got[1] != "beside" {
		t.Errorf("%+v, output %q", end, got)
	}
	if want := fmt.Sprint(os.Getuid(), []string{"up", "a b"}); len(*told) != 1 || (*told)[0] != want {
		t.Errorf("the engine is told %q, want %q", *told, want)
	}
	if fi, err := os.Stat(l.ErrandAddress()); err != nil || fi.Mode().Perm() != 0o660 {
		t.Errorf("the socket: %v, %v; want 0660", fi, err)
	}
}

// TestErrandSignals: a signal to the asker is the command's.
func TestErrandSignals(t *testing.T) {
	l, _ := serveScript(t, `trap 'exit 42' USR1; echo ready; while :; do sleep 0.02; done`)
	take, out, err := os.Pipe()
	must(t, err)
	go func() {
		_, _ = bufio.NewReader(take).ReadString('\n')
		_ = unix.Kill(os.Getpid(), unix.SIGUSR1)
	}()
	null, err := os.Open(os.DevNull)
	must(t, err)
	end, err := Errand{Env: []string{"PATH=/usr/bin:/bin"}}.Run(l, [3]*os.File{null, out, out}, "/")
	must(t, err)
	if end.Status != 42 {
		t.Errorf("status %d, want the trap's 42", end.Status)
	}
}

// TestSignalBeforeTheAnswer: a signal that came while the request was being sent was nobody's, and the command went on for ever.
func TestSignalBeforeTheAnswer(t *testing.T) {
	got, unwatch := watchSignals()
	defer unwatch()
	must(t, unix.Kill(os.Getpid(), unix.SIGUSR1))
	reader, writer := io.Pipe()
	defer passSignals(json.NewEncoder(writer), got)()
	var s errandSignal
	if err := json.NewDecoder(reader).Decode(&s); err != nil || s.Signal != int(unix.SIGUSR1) {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestErrandOfTheDead: when the asker is gone, the command is hung up; a service, to which that is another thing, is told to end.
func TestErrandOfTheDead(t *testing.T) {
	errandOfTheDead(t, 0, "hung up")
	errandOfTheDead(t, unix.SIGTERM, "to end")
	errandOfTheDead(t, -5, "hung up")
	errandOfTheDead(t, 1000, "hung up")
}

func errandOfTheDead(t *testing.T, lost unix.Signal, want string) {
	// Whoever runs the tests by nohup has them ignore SIGHUP, and so what they start; a handler is not inherited (execve(2)).
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, unix.SIGHUP)
	defer signal.Stop(handled)
	l, _ := serveScript(t, `trap 'echo hung up; exit' HUP; trap 'echo to end; exit' TERM; echo ready; while :; do sleep 0.02; done`)
	take, out, err := os.Pipe()
	must(t, err)
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: l.ErrandAddress(), Net: "unix"})
	must(t, err)
	dir, err := os.Open("/")
	must(t, err)
	_, _, err = conn.WriteMsgUnix([]byte{'\n'}, unix.UnixRights(int(out.Fd()), int(out.Fd()), int(out.Fd()), int(dir.Fd())), nil)
	must(t, err)
	must(t, json.NewEncoder(conn).Encode(Errand{Env: []string{"PATH=/usr/bin:/bin"}, Lost: lost}))
	lines := bufio.NewScanner(take)
	lines.Scan()
	must(t, conn.Close())
	if lines.Scan(); lines.Text() != want {
		t.Errorf("signal %d: the command says %q, want %q", lost, lines.Text(), want)
	}
}

// TestErrandEndedByASignal: which one is told, besides the status that a shell would show.
func TestErrandEndedByASignal(t *testing.T) {
	l, _ := serveScript(t, `kill -TERM $$; sleep 10`)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	must(t, err)
	if end, err := (Errand{Env: []string{"PATH=/usr/bin:/bin"}}).Run(l, [3]*os.File{null, null, null}, "/"); end != (Ending{143, unix.SIGTERM}) || err != nil {
		t.Errorf("%+v, %v", end, err)
	}
}

// TestErrandRefused: what is no errand starts nothing, and the next one is served.
func TestErrandRefused(t *testing.T) {
	l, told := serveScript(t, `exit 0`)
	for name, send := range map[string]func(*net.UnixConn) error{
		"no descriptors": func(c *net.UnixConn) error { _, err := c.Write([]byte("\n{}\n")); return err },
		"too few descriptors": func(c *net.UnixConn) error {
			_, _, err := c.WriteMsgUnix([]byte{'\n'}, unix.UnixRights(0, 1), nil)
			return err
		},
		"no JSON": func(c *net.UnixConn) error {
			_, _, err := c.WriteMsgUnix([]byte("\n"), unix.UnixRights(0, 1, 2, 2), nil)
			if err == nil {
				_, err = c.Write([]byte(strings.Repeat("x", 100) + "\n"))
			}
			return err
		},
		"nothing": func(c *net.UnixConn) error { return c.CloseWrite() },
	} {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: l.ErrandAddress(), Net: "unix"})
		must(t, err)
		must(t, send(conn))
		must(t, conn.SetReadDeadline(time.Now().Add(2*time.Minute)))
		var end errandEnd
		if err := json.NewDecoder(conn).Decode(&end); err != nil || end.Error == "" {
			t.Errorf("%s: %+v, %v; want an error", name, end, err)
		}
		_ = conn.Close()
	}
	if len(*told) > 0 {
		t.Errorf("started: %q", *told)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	must(t, err)
	if end, err := (Errand{}).Run(l, [3]*os.File{null, null, null}, "/"); end != (Ending{}) || err != nil {
		t.Errorf("the next one: %+v, %v", end, err)
	}
}
