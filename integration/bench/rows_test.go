package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What makes sure that a command did its work is not in the time, and its failure is the measurement's.
func TestLookingDoesNotCount(t *testing.T) {
	looked := command{args: []string{"true"}, env: os.Environ(), after: func() error { time.Sleep(time.Second / 2); return nil }}
	r := result{subject: subject{name: "x", steps: []command{looked, looked}}, step: make([]sample, 2)}
	begin := time.Now()
	if err := r.once(true, nil); err != nil {
		t.Fatal(err)
	}
	if real := time.Since(begin); real < time.Second || real-r.total.max() < time.Second || real-r.clean.max() < time.Second {
		t.Errorf("whole %v and %v of %v, with a second of looking", r.total, r.clean, real)
	}
	r.steps[0].after = func() error { return errors.New("nobody answers") }
	if err := r.once(true, nil); err == nil || !strings.Contains(err.Error(), "nobody answers") {
		t.Errorf("got %v", err)
	}
}

// The sum is of what the container's program writes.
func TestFloodIsWhatIsSummed(t *testing.T) {
	took := filepath.Join(t.TempDir(), "took")
	cmd := exec.Command(python, "-c", strings.Replace(flood, "time.sleep(100000)", "", 1), took, "3")
	out, err := cmd.Output()
	if errors.Is(err, os.ErrNotExist) && os.Getenv("HOSTRUN_REQUIRE_ALL") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if want := 3 * bulkBlock * bulkLine; len(out) != want {
		t.Fatalf("%d bytes, want %d", len(out), want)
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(out)); got != bulkSum(len(out)) {
		t.Errorf("other bytes, beginning with %q", out[:300])
	}
	text, err := awaitFile(took, time.Second)
	var seconds, longest float64
	if n, scanErr := fmt.Sscan(text, &seconds, &longest); err != nil || n != 2 || seconds <= 0 || longest <= 0 {
		t.Errorf("it notes %q: %v, %v", text, err, scanErr)
	}
}

// A stack that has not begun in its order does not count as started.
func TestStackIsUp(t *testing.T) {
	dir := t.TempDir()
	note := func(name string, ns int) {
		if err := os.WriteFile(filepath.Join(dir, name), fmt.Appendf(nil, "%d\n", ns), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	lists := func(n int) command {
		return command{args: []string{"echo", strings.Repeat("x ", n)}, env: os.Environ()}
	}
	for i, l := range stackOf8 { // the list is in an order in which they may begin
		note(l.name+".begun", 10*i+1)
		note(l.name+".ready", 10*i+2)
	}
	if err := stackIsUp(dir, lists(7)); err != nil {
		t.Error(err)
	}
	if err := stackIsUp(dir, lists(6)); err == nil {
		t.Error("six run, and that is all right")
	}
	note("api.ready", 1000)
	if err := stackIsUp(dir, lists(7)); err == nil || !strings.Contains(err.Error(), "web began before api") {
		t.Errorf("got %v", err)
	}
}

// An answer by somebody else is none.
func TestAnswered(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	says := make(chan string, 1)
	go func() {
		said := "somebody else"
		for {
			select {
			case said = <-says:
			default:
			}
			conn, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(conn, said)
			conn.Close()
		}
	}()
	if said, err := ask(port); err != nil || said != "somebody else" {
		t.Fatalf("%q, %v", said, err)
	}
	if silent(port) == nil {
		t.Error("the port answers and counts as silent")
	}
	says <- fmt.Sprint(port)
	if err := answered(port); err != nil {
		t.Error(err)
	}
	l.Close()
	if err := silent(port); err != nil {
		t.Error(err)
	}
}

// The time of a process is that of all of its threads.
func TestCPUTime(t *testing.T) {
	before, err := cpuTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	for begin := time.Now(); time.Since(begin) < 50*time.Millisecond; {
		sum.Write(make([]byte, 1<<16))
	}
	deadline := time.Now().Add(2 * time.Minute)
	for {
		after, err := cpuTime(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after-before > time.Millisecond { // a machine that is busy with others gives it little
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v and %v", before, after)
		}
		sum.Write(make([]byte, 1<<20))
	}
}
