package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"hostrun.dev/hostrun/logfile"
)

// TestMain lets the test binary be hostrun-log itself: the tests need its process.
func TestMain(m *testing.M) {
	if os.Getenv("BE_HOSTRUN_LOG") != "" {
		main()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A shim does what containerd's shim does with a binary logger.
type shim struct {
	cmd            *exec.Cmd
	stdout, stderr *os.File // to write to
	message        bytes.Buffer
}

func startLogger(t *testing.T, args ...string) *shim {
	t.Helper()
	return startProgram(t, "/proc/self/exe", args...)
}

func startProgram(t *testing.T, program string, args ...string) *shim {
	t.Helper()
	s := &shim{cmd: exec.Command(program, args...)}
	s.cmd.Env = append(os.Environ(), "BE_HOSTRUN_LOG=1", "CONTAINER_ID=c", "CONTAINER_NAMESPACE=n")
	s.cmd.Stderr = &s.message
	stdout, stderr, ready := pipeTo(t, &s.stdout), pipeTo(t, &s.stderr), (*os.File)(nil)
	wait := pipeFrom(t, &ready)
	s.cmd.ExtraFiles = []*os.File{stdout, stderr, ready}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() })
	stdout.Close()
	stderr.Close()
	ready.Close()
	if got, err := io.ReadAll(wait); err != nil || len(got) != 1 {
		t.Fatalf("ready: %d bytes, %v", len(got), err)
	}
	return s
}

func pipeTo(t *testing.T, w **os.File) *os.File {
	t.Helper()
	r, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end.Close() })
	*w = end
	return r
}

func pipeFrom(t *testing.T, w **os.File) *os.File {
	t.Helper()
	r, end, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	*w = end
	return r
}

func (s *shim) wait(t *testing.T) {
	t.Helper()
	if err := s.cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &s.message)
	}
}

func readAll(t *testing.T, path string) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	if failed := logfile.Read(context.Background(), path, logfile.ReadOptions{Tail: logfile.All}, &out, &err); failed != nil {
		t.Fatal(failed)
	}
	return out.String(), err.String()
}

func TestKeepsBothStreams(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s := startLogger(t, "path", path)
	io.WriteString(s.stdout, "to stdout\n")
	io.WriteString(s.stderr, "to stderr\n")
	s.stdout.Close() // a program may close one and go on with the other
	for written := false; !written; {
		text, _ := os.ReadFile(path) // not there at first
		written = bytes.Contains(text, []byte("to stderr"))
	}
	io.WriteString(s.stderr, "the end, without newline")
	s.stderr.Close()
	s.wait(t)
	stdout, stderr := readAll(t, path)
	if stdout != "to stdout\n" || stderr != "to stderr\nthe end, without newline" {
		t.Errorf("stdout %q, stderr %q", stdout, stderr)
	}
}

// The shim sends SIGTERM when the task is deleted: the last lines may still be in the pipe.
func TestSignalsDoNotEndIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s := startLogger(t, "path", path)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if err := s.cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(s.stdout, "after", signal)
	}
	s.stdout.Close()
	s.stderr.Close()
	s.wait(t)
	if stdout, _ := readAll(t, path); stdout != "after terminated\nafter interrupt\nafter hangup\n" {
		t.Errorf("stdout %q", stdout)
	}
}

// The shim of a container with a terminal never closes the second pipe.
func TestTerminalHasOneStream(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s := startLogger(t, "path", path, "tty", "true")
	io.WriteString(s.stdout, "text\r\n")
	s.stdout.Close()
	s.wait(t)
	if stdout, _ := readAll(t, path); stdout != "text\r\n" {
		t.Errorf("stdout %q", stdout)
	}
}

func TestLimits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	s := startLogger(t, "max-files", "2", "max-size", "100000", "path", path)
	text := []byte(strings.Repeat(strings.Repeat("x", 99)+"\n", 10))
	for range 1000 { // 1 MB
		if _, err := s.stdout.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	s.stdout.Close()
	s.stderr.Close()
	s.wait(t)
	files, err := filepath.Glob(path + ".[0-9]*") // beside them is log.at, which is no part of the log
	files = append(files, path)
	if err != nil || len(files) != 2 {
		t.Fatalf("%v %v", files, err)
	}
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Size() > 150_000 {
			t.Errorf("%s: %v, %v", file, info.Size(), err)
		}
	}
}

// Where nothing can be written, the container writes on all the same.
func TestNeverBlocksTheContainer(t *testing.T) {
	s := startLogger(t, "path", filepath.Join(t.TempDir(), "no", "such", "directory", "log"))
	text := bytes.Repeat([]byte("more than the pipe holds\n"), 100)
	for range 1000 {
		if _, err := s.stdout.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	s.stdout.Close()
	s.stderr.Close()
	s.wait(t)
}

func TestArguments(t *testing.T) {
	for want, args := range map[string][]string{
		`"path" has none`:               {"path"},
		"no path":                       {"max-size", "5"},
		"unknown key":                   {"path", "x", "colour", "red"},
		`argument max-size "5k"`:        {"path", "x", "max-size", "5k"},
		`argument tty "maybe": strconv`: {"path", "x", "tty", "maybe"},
	} {
		if _, err := parse(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v does not say %q", args, err, want)
		}
	}
	cmd := exec.Command("/proc/self/exe", "x")
	cmd.Env = append(os.Environ(), "BE_HOSTRUN_LOG=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "usage: hostrun-log") {
		t.Errorf("%v: %s", err, out)
	}
}

// One of them runs for each detached container. The program as it is shipped stays far below the 15 MiB that are promised,
// under load too.
func TestResidentMemory(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "hostrun-log")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s := startProgram(t, binary, "path", filepath.Join(t.TempDir(), "log"))
	for range 200 {
		s.stdout.Write(bytes.Repeat([]byte("x\n"), 20_000))
		s.stderr.Write(bytes.Repeat([]byte("y"), 40_000))
	}
	if kib := peak(t, s.cmd.Process.Pid); kib > 6<<10 {
		t.Errorf("%d KiB resident at the most", kib)
	}
	s.stdout.Close()
	s.stderr.Close()
	s.wait(t)
}

// peak returns VmHWM of proc(5), in KiB.
func peak(t *testing.T, pid int) (kib int) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Fatal(err)
	}
	return kib
}
