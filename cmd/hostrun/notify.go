package main

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/runtime"
)

// A notifier tells the service manager what a service is doing (sd_notify(3)). Where none listens, it tells nobody.
type notifier struct {
	tell func(state string)
	now  func() time.Time

	mu     sync.Mutex
	status string    // the last one
	said   time.Time // when
	asked  time.Time // when more time was asked for
	ready  bool
	busy   map[string]bool // what goes on without news, and ends by itself
	states map[string]runtime.Event
}

const (
	// moreTime is what is asked for where something moves, for longer than TimeoutStartSec= gives.
	moreTime = time.Minute
	// askEvery and sayEvery keep a fast download from keeping the service manager busy.
	askEvery = time.Second
	sayEvery = time.Second
)

func newNotifier(tell func(state string)) *notifier {
	return &notifier{tell: tell, now: time.Now, busy: map[string]bool{}, states: map[string]runtime.Event{}}
}

// toServiceManager sends a state to the socket that NOTIFY_SOCKET names. A manager that is gone is no reason to end a container.
func (s *session) toServiceManager(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Debug("tell the service manager", "state", state, "error", err)
	}
}

// say sends assignments, in one datagram.
func (n *notifier) say(lines ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tell(strings.Join(lines, "\n"))
}

// statusLine is a STATUS= of one line.
func statusLine(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	return "STATUS=" + clip(text, 250)
}

// is tells the status, if it is another one.
func (n *notifier) is(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	n.mu.Lock()
	defer n.mu.Unlock()
	if text == n.status {
		return
	}
	n.status, n.said = text, n.now()
	n.tell(statusLine(text))
}

// last is the status that was told last.
func (n *notifier) last() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.status
}

// isReady tells that the service is up, once.
func (n *notifier) isReady(text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	lines := statusLine(text)
	if !n.ready {
		lines = "READY=1\n" + lines
	}
	n.ready, n.status = true, text
	n.tell(lines)
}

// stopping tells that the service ends, and asks for the time that this may take: the unit's TimeoutStopSec= is that of the profile as it
// was when the unit was written.
func (n *notifier) stopping(within time.Duration, text string) {
	n.say("STOPPING=1", statusLine(text), fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", within.Microseconds()))
}

// event passes on what the work on the way to the start tells of itself. Where something moves, there is more time.
func (n *notifier) event(e runtime.Event) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ready {
		return
	}
	was, known := n.states[e.ID]
	n.states[e.ID] = e
	n.busy[e.ID] = e.Status == "Unpacking" || e.Status == "Extracting"
	changed := !known || was.Status != e.Status || was.Text != e.Text
	if changed || e.Current > was.Current {
		n.ask()
	}
	text := (&task{Event: e}).describe(time.Now())
	if text = e.ID + ": " + text; text != n.status && (changed || n.now().Sub(n.said) >= sayEvery) {
		n.status, n.said = text, n.now()
		n.tell(statusLine(text))
	}
}

// ask asks for more time. The caller has the lock.
func (n *notifier) ask() {
	if now := n.now(); !n.ready && now.Sub(n.asked) >= askEvery {
		n.asked = now
		n.tell(fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", moreTime.Microseconds()))
	}
}

// during says that something goes on which ends by itself, until done is called.
func (n *notifier) during(what string) (done func()) {
	set := func(on bool) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.busy[what] = on
		if on {
			n.ask()
		}
	}
	set(true)
	return func() { set(false) }
}

// tick asks for more time as long as something goes on.
func (n *notifier) tick() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, on := range n.busy {
		if on {
			n.ask()
			return
		}
	}
}

// keepAsking ticks until done is closed.
func (n *notifier) keepAsking(done <-chan struct{}) {
	t := time.NewTicker(askEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			n.tick()
		case <-done:
			return
		}
	}
}

// reloading is what a service says when it begins to read its configuration again.
func reloading() []string {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // it can't fail
	return []string{"RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000)}
}

// watchdogEvery is how often the service manager wants to hear from a service; 0 for never (sd_watchdog_enabled(3)).
func watchdogEvery() time.Duration {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return 0
	}
	return interval / 2
}
