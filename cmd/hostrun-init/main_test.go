package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"hostrun.dev/hostrun/exectest"
)

// TestMain lets the test binary be hostrun-init itself: the tests need real processes.
func TestMain(m *testing.M) {
	if os.Getenv("BE_HOSTRUN_INIT") != "" {
		os.Unsetenv("BE_HOSTRUN_INIT")
		main()
	}
	// Whoever runs the tests by nohup has them ignore SIGHUP, and so what they start; a handler is not inherited (execve(2)).
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	os.Exit(m.Run())
}

// initCommand is hostrun-init with the given arguments, below this process.
func initCommand(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), "BE_HOSTRUN_INIT=1")
	return cmd
}

// pidOne is hostrun-init as PID 1 of a new PID namespace with its own /proc.
func pidOne(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	probe := exec.Command("unshare", "--pid", "--fork", "--mount-proc", "true")
	if out, err := probe.CombinedOutput(); err != nil {
		if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
			t.Fatalf("unshare --pid: %v: %s", err, out)
		}
		t.Skipf("no PID namespace can be made here: %v: %s", err, out)
	}
	cmd := exec.Command("unshare", append([]string{"--pid", "--fork", "--kill-child", "--mount-proc", self}, args...)...)
	cmd.Env = append(os.Environ(), "BE_HOSTRUN_INIT=1")
	return cmd
}

// statusAsShell is what $? would say.
func statusAsShell(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatal(err)
	}
	ws := exit.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

func TestExitStatus(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := exectest.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	script := write("script", "exit 5\n", 0o755)
	foreign := write("foreign", "#!/no/such/interpreter\n", 0o755)
	data := write("data", "x", 0o644)
	tests := []struct {
		name   string
		args   []string
		want   int
		stderr string
	}{
		{"own status", []string{"--", "sh", "-c", "exit 7"}, 7, ""},
		{"without dashes", []string{"sh", "-c", "exit 7"}, 7, ""},
		{"dashes of the command", []string{"--", "sh", "-c", `test "$1" = -- && exit 9`, "x", "--"}, 9, ""},
		{"signal", []string{"--", "sh", "-c", "kill -TERM $$"}, 143, ""},
		{"fault", []string{"--", "sh", "-c", "kill -SEGV $$"}, 139, ""},
		{"killed", []string{"--", "sh", "-c", "kill -KILL $$"}, 137, ""},
		{"not in PATH", []string{"--", "no-such-command"}, 127, "no-such-command: not found"},
		{"no such path", []string{"--", "/no/such/path"}, 127, "not found"},
		{"no interpreter", []string{"--", foreign}, 127, "not found"},
		{"not executable", []string{"--", data}, 126, "not executable"},
		{"a directory", []string{"--", dir}, 126, "not executable"},
		{"script without #!", []string{"--", script}, 5, ""},
		{"no command", []string{"--"}, 2, "usage"},
		{"nothing", nil, 2, "usage"},
	}
	for _, below := range []bool{true, false} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s/pid1=%v", tt.name, !below), func(t *testing.T) {
				cmd := initCommand(tt.args...)
				if !below {
					cmd = pidOne(t, tt.args...)
				}
				var stderr bytes.Buffer
				cmd.Stderr = &stderr
				if got := statusAsShell(t, cmd.Run()); got != tt.want {
					t.Errorf("status %d, want %d; stderr: %s", got, tt.want, &stderr)
				}
				if !strings.Contains(stderr.String(), tt.stderr) {
					t.Errorf("stderr %q does not say %q", &stderr, tt.stderr)
				}
			})
		}
	}
}

// What ended by a signal ends hostrun-init by that signal where it is not PID 1: a shell above must see it.
func TestRaisesTheSignalAgain(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGKILL, syscall.SIGSEGV, 40} {
		err := initCommand("--", "sh", "-c", fmt.Sprintf("kill -%d $$", int(s))).Run()
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			t.Fatalf("%v: %v", s, err)
		}
		if ws := exit.Sys().(syscall.WaitStatus); !ws.Signaled() || ws.Signal() != s {
			t.Errorf("after %v: %v", s, exit)
		}
	}
}

// A file in PATH that may not be executed counts only if no other of the name is found (execvp(3)).
func TestLookUpLikeExecvp(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for dir, mode := range map[string]os.FileMode{first: 0o644, second: 0o755} {
		if err := exectest.WriteFile(filepath.Join(dir, "tool"), []byte("#!/bin/sh\nexit 4\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]int{first + ":" + second: 4, first: 126, "/nowhere": 127} {
		cmd := initCommand("--", "tool")
		cmd.Env = append(cmd.Env, "PATH="+path)
		if got := statusAsShell(t, cmd.Run()); got != want {
			t.Errorf("PATH=%s: status %d, want %d", path, got, want)
		}
	}
}

// The kernel discards SIGTERM for a PID 1 without a handler. Through hostrun-init it reaches the command.
func TestForwardsSignals(t *testing.T) {
	const command = `
		trap 'echo got TERM; exit 3' TERM
		trap 'echo got HUP' HUP; trap 'echo got USR1' USR1; trap 'echo got WINCH' WINCH; trap 'echo got 40' 40
		echo ready; while :; do sleep 0.01; done`
	cmd := pidOne(t, "--", "bash", "-c", command)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	expect := expecter(t, out)
	expect("ready")
	one := onlyChild(t, cmd.Process.Pid)
	for _, s := range []struct {
		signal syscall.Signal
		want   string
	}{{syscall.SIGHUP, "got HUP"}, {syscall.SIGUSR1, "got USR1"}, {syscall.SIGWINCH, "got WINCH"}, {40, "got 40"}, {syscall.SIGTERM, "got TERM"}} {
		if err := syscall.Kill(one, s.signal); err != nil {
			t.Fatal(err)
		}
		expect(s.want)
	}
	if got := statusAsShell(t, cmd.Wait()); got != 3 {
		t.Errorf("status %d, want 3", got)
	}
}

// An orphan that ends becomes a zombie unless PID 1 waits for it.
func TestReapsOrphans(t *testing.T) {
	const command = `
		for i in 1 2 3 4 5 6 7 8; do (sh -c 'exit 3' & exec true); done
		for i in $(seq 200); do
			left=$(cat /proc/[0-9]*/stat | grep -c ' Z 1 ')
			test "$left" = 0 && test "$(ls -d /proc/[0-9]* | wc -l)" -le 6 && echo clean && exit 0
			sleep 0.05
		done
		cat /proc/[0-9]*/stat; exit 1`
	out, err := pidOne(t, "--", "sh", "-c", command).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "clean") {
		t.Errorf("%v: %s", err, out)
	}
}

// Without a PID namespace orphans come to hostrun-init too, not to the machine's init.
func TestAdoptsOrphansBelowAnotherInit(t *testing.T) {
	out, err := initCommand("--", "sh", "-c", `
		pid=$(sh -c 'sleep 100 >/dev/null & echo $!')
		sed 's/.*) . \([0-9]*\) .*/\1/' /proc/$pid/stat; echo $PPID; kill $pid`).Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Fields(string(out))
	if len(lines) != 2 || lines[0] != lines[1] {
		t.Errorf("parent of the orphan and hostrun-init: %q", lines)
	}
}

// What was ignored before (nohup) stays so for the command.
func TestKeepsIgnoredSignals(t *testing.T) {
	cmd := exec.Command("sh", "-c", `trap '' HUP; exec /proc/`+fmt.Sprint(os.Getpid())+`/exe -- sh -c 'kill -HUP $$; exit 6'`)
	cmd.Env = append(os.Environ(), "BE_HOSTRUN_INIT=1")
	if got := statusAsShell(t, cmd.Run()); got != 6 {
		t.Errorf("status %d, want 6", got)
	}
}

// With a terminal the command is in its foreground group: ^C ends the command and its children.
func TestInterruptFromTheTerminal(t *testing.T) {
	master, slave := openTerminal(t)
	cmd := initCommand("--", "sh", "-c", "trap 'exit 42' INT; echo ready; while :; do sleep 0.01; done")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	slave.Close()
	expecter(t, master)("ready")
	if _, err := master.Write([]byte{3}); err != nil { // ^C
		t.Fatal(err)
	}
	if got := statusAsShell(t, cmd.Wait()); got != 42 {
		t.Errorf("status %d, want 42", got)
	}
}

// The command may read from the terminal: a background group would be stopped by SIGTTIN.
func TestReadsFromTheTerminal(t *testing.T) {
	master, slave := openTerminal(t)
	cmd := initCommand("--", "sh", "-c", `echo ready; read word; test "$word" = yes && exit 43`)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	slave.Close()
	expecter(t, master)("ready")
	if _, err := master.WriteString("yes\n"); err != nil {
		t.Fatal(err)
	}
	if got := statusAsShell(t, cmd.Wait()); got != 43 {
		t.Errorf("status %d, want 43", got)
	}
}

// expecter returns a function that reads until the text comes.
func expecter(t *testing.T, from interface{ Read([]byte) (int, error) }) func(string) {
	var seen []byte
	return func(want string) {
		t.Helper()
		buf := make([]byte, 1024)
		for !bytes.Contains(seen, []byte(want)) {
			n, err := from.Read(buf)
			if err != nil {
				t.Fatalf("waiting for %q after %q: %v", want, seen, err)
			}
			seen = append(seen, buf[:n]...)
		}
	}
}

// onlyChild returns the one child of a process.
func onlyChild(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Sscan(string(text), &child); err != nil {
		t.Fatalf("children %q: %v", text, err)
	}
	return child
}

func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	var n uint32
	var unlock int32
	for _, call := range []struct {
		request uintptr
		arg     unsafe.Pointer
	}{{syscall.TIOCGPTN, unsafe.Pointer(&n)}, {syscall.TIOCSPTLCK, unsafe.Pointer(&unlock)}} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), call.request, uintptr(call.arg)); errno != 0 {
			t.Fatal(errno)
		}
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(2*time.Minute, func() { master.Close() }) // a test that would hang fails instead
	return master, slave
}

// TestInput: the command takes the place of hostrun-init and reads a named pipe, which does not end when a writer goes.
func TestInput(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "stdin")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := initCommand("--stdin", fifo, "--exec", "--", "sh", "-c", "read a; read b; echo $a $b $$; exit 5")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"one\n", "two\n"} {
		w, err := os.OpenFile(fifo, os.O_WRONLY, 0) // waits for the reader
		if err == nil {
			_, err = w.WriteString(line)
		}
		if err := errors.Join(err, w.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if status := statusAsShell(t, cmd.Wait()); status != 5 || out.String() != fmt.Sprintf("one two %d\n", cmd.Process.Pid) {
		t.Errorf("status %d, %q", status, out.String())
	}
	for _, args := range [][]string{{"--stdin", fifo + "/nowhere", "--exec", "--", "true"}, {"--exec"}, {"--stdin"}} {
		if status := statusAsShell(t, initCommand(args...).Run()); status == 0 {
			t.Errorf("%v ended in order", args)
		}
	}
	if status := statusAsShell(t, initCommand("--exec", "--", "/nowhere").Run()); status != statusNotFound {
		t.Errorf("a command that is not there: status %d", status)
	}
}
