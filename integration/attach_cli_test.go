package integration

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/console"
)

// A typist sits at a terminal at which a command line of hostrun runs.
type typist struct {
	t      *testing.T
	master console.Console
	cmd    *exec.Cmd
	ended  chan error

	mu   sync.Mutex
	seen bytes.Buffer
}

func (s *stage) types(args ...string) *typist {
	s.t.Helper()
	master, path, err := console.NewPty()
	must(s.t, err)
	must(s.t, master.Resize(console.WinSize{Height: 33, Width: 77}))
	slave, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	must(s.t, err)
	defer slave.Close()
	p := &typist{t: s.t, master: master, cmd: s.command(args...), ended: make(chan error, 1)}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(s.t, p.cmd.Start())
	s.t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = master.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			p.mu.Lock()
			p.seen.Write(buf[:n])
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	go func() { p.ended <- p.cmd.Wait() }()
	return p
}

func (p *typist) types(text string) {
	p.t.Helper()
	_, err := p.master.Write([]byte(text))
	must(p.t, err)
}

// sees waits until the screen has shown the text, and forgets all up to it.
func (p *typist) sees(text string) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		p.mu.Lock()
		screen := p.seen.String()
		at := strings.Index(screen, text)
		if at >= 0 {
			p.seen.Next(at + len(text))
		}
		p.mu.Unlock()
		if at >= 0 {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%v: waiting for %q, the screen shows %q", p.cmd.Args[1:], text, screen)
		}
	}
}

// ends waits for the end of the command line, with that status.
func (p *typist) ends(status int) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		p.t.Fatalf("%v does not end", p.cmd.Args[1:])
	}
	if got := exitStatus(p.cmd); got != status {
		p.t.Errorf("%v ended with %d, want %d; the screen shows %q", p.cmd.Args[1:], got, status, p.seen.String())
	}
}

// TestAttach: what is typed reaches a shell that up started, and its answers come back; the size of the terminal does, too.
// The detach keys leave it, twice over, and its end is ours.
func TestAttach(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job"))
	up := plain(s, "command: [sh]", "tty: true", "stdin_open: true", "environment: {PS1: 'ready> '}")
	before := s.inventory()
	s.must(up...)
	first := s.types("attach", "job")
	first.types("echo $((6*7)) is it\r")
	first.sees("42 is it")
	first.types("busybox stty size\r")
	first.sees("33 77")
	must(t, first.master.Resize(console.WinSize{Height: 44, Width: 99}))
	must(t, first.cmd.Process.Signal(syscall.SIGWINCH))
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if out := s.must("exec", "job", "--", "sh", "-c", "busybox stty size </proc/1/fd/0"); out == "44 99\n" {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("the terminal has the size %q", out)
		}
	}
	first.types("\x10\x11") // ctrl-p ctrl-q
	first.sees("detached")
	first.ends(0)
	second := s.types("attach", "--detach-keys", "ctrl-a,x", "job")
	second.types("echo still $((7*7))\r")
	second.sees("still 49")
	watcher := s.types("attach", "--no-stdin", "job")
	second.types("\x01x")
	second.ends(0)
	third := s.types("attach", "job")
	third.types("echo here $((3*3))\r")
	third.sees("here 9")
	third.types("\x03") // ^C is the shell's
	third.types("exit 7\r")
	third.ends(7)
	watcher.ends(7)
	s.refused(1, "it does not run", "hostrun start job", "attach", "job")
	s.must("start", "job")
	again := s.types("attach", "job")
	again.types("echo again $((8*8))\r")
	again.sees("again 64")
	s.must("pause", "job")
	s.refused(1, "attach to container job: it is paused", "unpause", "attach", "job")
	s.must("down", "-t", "0", "job")
	again.ends(137)
	s.nothingLeft(before)
}

// TestInputWithoutTerminal: a service with stdin_open and no terminal reads what is given to attach, as the image's user, also after
// it was stopped and started; that the giver goes is no end of its input.
func TestInputWithoutTerminal(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job"))
	before := s.inventory()
	s.must(plain(s, `command: [sh, -c, 'while read line; do echo "got $$line"; test "$$line" = end && exit 4; done; echo over']`, "stdin_open: true", `user: "4321"`)...)
	give := func(text string) *exec.Cmd {
		cmd := s.command("attach", "job")
		cmd.Stdin = strings.NewReader(text)
		must(t, cmd.Start())
		return cmd
	}
	first := give("one\n")
	s.logs("got one")
	must(t, first.Process.Kill())
	_ = first.Wait()
	if got := s.ps(); got.Status != "running" {
		t.Fatalf("who gave it input has gone, and it is %+v", got)
	}
	s.must("stop", "-t", "0", "job")
	s.must("start", "job")
	last := give("two\nend\n")
	s.logs("got two")
	_ = last.Wait()
	if got := exitStatus(last); got != 4 {
		t.Errorf("attach ended with %d, want that of the container, 4", got)
	}
	s.must("down", "job")
	s.nothingLeft(before)
}

// logs waits until the log of job has the text.
func (s *stage) logs(text string) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(s.must("logs", "job"), text); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("the log has no %q: %q", text, s.must("logs", "job"))
		}
	}
}

// TestAttachWithoutTerminal: signals go to the container, or end the attachment alone.
func TestAttachWithoutTerminal(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job"))
	up := plain(s, `command: [sh, -c, 'trap "echo asked >&2; exit 9" INT; while :; do echo on; sleep 0.05; done']`)
	s.must(up...)
	attached := func(args ...string) (*exec.Cmd, *bytes.Buffer) {
		t.Helper()
		cmd := s.command(append([]string{"attach"}, args...)...)
		var errs bytes.Buffer
		out, err := cmd.StdoutPipe()
		must(t, err)
		cmd.Stderr = &errs
		must(t, cmd.Start())
		one := make([]byte, 3)
		if _, err := out.Read(one); err != nil || string(one) != "on\n" {
			t.Fatalf("attach shows %q, %v", one, err)
		}
		go func() { _, _ = new(bytes.Buffer).ReadFrom(out) }()
		return cmd, &errs
	}
	apart, _ := attached("--sig-proxy=false", "job")
	must(t, apart.Process.Signal(os.Interrupt))
	_ = apart.Wait()
	if got := exitStatus(apart); got != 130 || s.ps().Status != "running" {
		t.Errorf("--sig-proxy=false and ^C: status %d, %+v", got, s.ps())
	}
	with, errs := attached("job")
	must(t, with.Process.Signal(os.Interrupt))
	_ = with.Wait()
	if got := exitStatus(with); got != 9 || !strings.Contains(errs.String(), "asked") {
		t.Errorf("^C: status %d, stderr %q", got, errs)
	}
	s.must("down", "job")
	s.refused(2, "detach-keys", "ctrl-p,ctrl-q", "attach", "--detach-keys", "ctrl-!", "job")
}
