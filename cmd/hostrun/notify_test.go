package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

// listen is a service manager at a socket: what comes in is read in the order in which it was sent.
func listen(t *testing.T, name string) *net.UnixConn {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", name)
	return conn
}

func next(t *testing.T, conn *net.UnixConn) string {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// TestNotifySocket: one datagram each, to a socket with a path and to one without (sd_notify(3): "@" stands for the zero byte).
func TestNotifySocket(t *testing.T) {
	for _, name := range []string{filepath.Join(t.TempDir(), "notify"), fmt.Sprintf("@hostrun-test-%d", time.Now().UnixNano())} {
		conn := listen(t, name)
		s, _, _ := testSession()
		n := newNotifier(s.toServiceManager)
		n.is("checking")
		n.is("checking") // nothing new
		n.event(runtime.Event{ID: "Image x", Status: "Pulling"})
		n.isReady("healthy")
		n.isReady("healthy")
		n.event(runtime.Event{ID: "Image y", Status: "Pulling"}) // of a reload: nobody waits
		n.say(reloading()...)
		n.say("STOPPING=1", statusLine("stopping\nwith a second line"))
		for _, want := range []string{"STATUS=checking", "EXTEND_TIMEOUT_USEC=60000000", "STATUS=Image x: Pulling", "READY=1\nSTATUS=healthy", "STATUS=healthy"} {
			if got := next(t, conn); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		if got := next(t, conn); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") || strings.HasSuffix(got, "=0") {
			t.Errorf("%s: %q", name, got)
		}
		if got := next(t, conn); got != "STOPPING=1\nSTATUS=stopping" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// TestNobodyIsNotified: without a socket, and with one that nobody listens at, a service goes on.
func TestNobodyIsNotified(t *testing.T) {
	for _, name := range []string{"", filepath.Join(t.TempDir(), "nobody")} {
		t.Setenv("NOTIFY_SOCKET", name)
		s, _, _ := testSession()
		newNotifier(s.toServiceManager).isReady("up")
	}
}

// TestMoreTimeIsAskedForWhatMoves: a pull that moves bytes may take as long as it takes, and one that has stopped runs into the time
// limit of the unit.
func TestMoreTimeIsAskedForWhatMoves(t *testing.T) {
	now, asked := time.Unix(1000, 0), 0
	n := newNotifier(func(state string) { asked += strings.Count(state, "EXTEND_TIMEOUT_USEC=") })
	n.now = func() time.Time { return now }
	at := func(want int, why string) {
		t.Helper()
		if asked != want {
			t.Errorf("%s: asked %d times, want %d", why, asked, want)
		}
		asked, now = 0, now.Add(2*time.Second)
	}
	pull := func(bytes int64) {
		n.event(runtime.Event{ID: "Layer 1", Status: "Downloading", Current: bytes, Total: 1 << 30})
	}
	pull(0)
	at(1, "it begins")
	pull(1000)
	pull(2000)
	at(1, "bytes come, twice within a second")
	pull(2000)
	at(0, "nothing comes")
	n.tick()
	at(0, "time passes, and nothing comes")
	n.event(runtime.Event{ID: "Image x", Status: "Unpacking"})
	at(1, "it is unpacked")
	n.tick()
	at(1, "which tells of nothing as long as it goes on")
	n.event(runtime.Event{ID: "Image x", Status: "Unpacked"})
	at(1, "it is done")
	n.tick()
	at(0, "and nothing more comes")
	done := n.during("the healthcheck")
	at(1, "a healthcheck has its own end")
	n.tick()
	at(1, "until which there is time")
	done()
	n.tick()
	at(0, "it has come")
	n.isReady("up")
	pull(3000)
	at(0, "what is up needs no time")
}

// TestHangupOfAService: SIGHUP is a request to a service, and the end of anything else.
func TestHangupOfAService(t *testing.T) {
	ended := 0
	i := &interrupts{exit: func(int) {}, say: func(string, ...any) {}, cancel: func() { ended++ }}
	i.handle(syscall.SIGHUP)
	if ended != 1 {
		t.Error("a command goes on without its terminal")
	}
	i = &interrupts{exit: func(int) {}, say: func(string, ...any) {}, cancel: func() { ended++ }}
	asked := i.onHangup()
	i.handle(syscall.SIGHUP)
	i.handle(syscall.SIGHUP) // while the first waits
	if ended != 1 || len(asked) != 1 || i.ended() != nil {
		t.Errorf("ended %d times, asked %d times, %v", ended, len(asked), i.ended())
	}
	i.handle(syscall.SIGTERM)
	if ended != 2 {
		t.Error("SIGTERM does not end a service")
	}
}

// TestStatusOfAContainerIsNoneOfOurs: the template starts nothing again after these.
func TestStatusOfAContainerIsNoneOfOurs(t *testing.T) {
	s, _, _ := testSession()
	k := &keeper{overseer: overseer{s: s}, id: "x"}
	for status, want := range map[int]int{0: 0, 1: 1, 2: 1, 3: 3, 65: 1, 66: 1, 69: 1, 75: 75, 77: 1, 78: 1, 137: 137} {
		if got := k.outward(status); got != want {
			t.Errorf("%d becomes %d, want %d", status, got, want)
		}
	}
}

// TestLongGraceIsAskedFor: the unit's TimeoutStopSec= is of the day when it was written, and the grace may have been made longer since.
func TestLongGraceIsAskedFor(t *testing.T) {
	var told []string
	n := newNotifier(func(state string) { told = append(told, state) })
	n.isReady("running")
	n.stopping(5*time.Minute, "stopping")
	if want := "STOPPING=1\nSTATUS=stopping\nEXTEND_TIMEOUT_USEC=300000000"; told[len(told)-1] != want {
		t.Errorf("%q, want %q", told, want)
	}
}

// TestWatchdogOfALongReload: a proof on a slow disk took longer than WatchdogSec=, and systemd killed the service.
func TestWatchdogOfALongReload(t *testing.T) {
	told := make(chan string, 8)
	k := &keeper{n: newNotifier(func(state string) { told <- state })}
	pings := make(chan time.Time, 1)
	now, over := k.meanwhile(context.Background(), pings, func(context.Context) retuned {
		for range 3 {
			pings <- time.Now()
			if state := <-told; state != "WATCHDOG=1" {
				t.Errorf("told %q", state)
			}
		}
		return retuned{err: context.DeadlineExceeded}
	})
	if !over || !errors.Is(now.err, context.DeadlineExceeded) {
		t.Errorf("%v, %v", over, now.err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	hangs := make(chan struct{})
	defer close(hangs)
	if _, over := k.meanwhile(ctx, nil, func(context.Context) retuned { <-hangs; return retuned{} }); over {
		t.Error("a reload that hangs keeps the service from stopping")
	}
}

// TestUnitThatAllowsLess: a limit of the profile that was raised since the unit was written does not hold, and that is said.
func TestUnitThatAllowsLess(t *testing.T) {
	memory, pids, quota, period := int64(2<<30), int64(100), int64(150_000), uint64(100_000)
	pl := plan.Plan{Spec: &specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{
		Memory: &specs.LinuxMemory{Limit: &memory}, Pids: &specs.LinuxPids{Limit: &pids}, CPU: &specs.LinuxCPU{Quota: &quota, Period: &period},
	}}}}
	want := []string{"mem_limit is 2GiB, and the unit allows 576MiB (MemoryMax=)", "pids_limit is 100, and the unit allows 50 (TasksMax=)", "cpus is 1.5, and the unit allows 0.2 (CPUQuota=)"}
	if got := beyond(pl, runtime.Allowance{Memory: 576 << 20, Pids: 50, CPUs: 0.2}); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, a := range []runtime.Allowance{{}, {Memory: memory, Pids: pids, CPUs: 1.5}} {
		if got := beyond(pl, a); len(got) > 0 {
			t.Errorf("%+v: %q", a, got)
		}
	}
	if got := beyond(plan.Plan{Spec: &specs.Spec{Linux: &specs.Linux{Resources: &specs.LinuxResources{}}}}, runtime.Allowance{Memory: 1, Pids: 1, CPUs: 1}); len(got) > 0 {
		t.Errorf("a profile without limits: %q", got)
	}
}
