package supervise

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/profiles"
)

// A bench is a core with a clock of its own and one container, of which it does what the core says.
type bench struct {
	t   *testing.T
	k   *Core
	now time.Time
	c   Container
}

func newBench(t *testing.T, c Container) *bench {
	b := &bench{t: t, k: NewCore(), now: noon, c: c}
	b.c.ID, b.c.Created, b.c.StartedAt = "c", noon, noon
	b.k.See(b.c)
	return b
}

// to advances the clock and returns what is to be done at its times: "3s probe".
func (b *bench) to(end time.Duration, each func(Action)) []string {
	var done []string
	for range 10000 {
		actions, next := b.k.Tick(b.now)
		for _, a := range actions {
			text := fmt.Sprintf("%v %v", b.now.Sub(noon), a.Kind)
			if a.Kind == Mark {
				text += " " + a.Health
			}
			done = append(done, text)
			each(a)
		}
		switch {
		case len(actions) > 0:
		case next.IsZero() || next.After(after(end)):
			b.now = after(end)
			return done
		default:
			b.now = next
		}
	}
	b.t.Fatalf("it never rests: %v", done[:20])
	return nil
}

func (b *bench) want(got []string, want ...string) {
	b.t.Helper()
	if !slices.Equal(got, want) {
		b.t.Errorf("got\n %s\nwant\n %s", strings.Join(got, "\n "), strings.Join(want, "\n "))
	}
}

// start is what a restart does to the container.
func (b *bench) start() {
	b.c.Restarts, b.c.Streak = b.c.Restarts+1, b.c.FailedInARow()+1
	b.c.Running, b.c.Ended, b.c.Settled, b.c.StartedAt, b.c.Owed = true, false, false, b.now, false
	if b.c.Check != nil {
		b.c.Health = Starting
	}
}

// end is the end of the process.
func (b *bench) end(status int) {
	b.c.Running, b.c.Ended, b.c.Settled, b.c.ExitStatus, b.c.EndedAt = false, true, false, status, b.now
	b.k.See(b.c)
}

// obey does what is asked for, as a world in which everything works and takes no time.
func (b *bench) obey(healthy func() bool) func(Action) {
	return func(a Action) {
		switch a.Kind {
		case Probe:
			b.k.Probed(a, ProbeResult{Healthy: healthy()}, b.now)
			return
		case Mark:
			b.c.Health = a.Health
		case Settle:
			b.c.Settled = true
		case Restart:
			b.start()
		case End:
			b.c.Running, b.c.Ended, b.c.Settled, b.c.EndedAt = false, true, true, b.now
			b.c.Owed = b.c.Check.OnFailure == "restart"
			if b.c.Check.OnFailure == "stop" {
				b.c.StoppedBy = ByHealth
			}
		}
		b.k.Done(a, nil, b.now)
		b.k.See(b.c)
	}
}

func yes() bool { return true }
func no() bool  { return false }

func TestCrashLoop(t *testing.T) {
	b := newBench(t, Container{Restart: "always", Running: true})
	obey := b.obey(yes)
	b.end(1)
	got := b.to(5*time.Second, func(a Action) {
		obey(a)
		if a.Kind == Restart { // and it dies at once
			b.end(1)
		}
	})
	b.want(got, "0s settle", "100ms restart", "100ms settle", "300ms restart", "300ms settle", "700ms restart", "700ms settle",
		"1.5s restart", "1.5s settle", "3.1s restart", "3.1s settle")
}

func TestStopIsNotUndone(t *testing.T) {
	b := newBench(t, Container{Restart: "always", Running: true})
	b.end(137)
	b.c.StoppedBy = ByUser
	b.k.See(b.c)
	b.want(b.to(time.Hour, b.obey(yes)), "0s settle")
	if b.k.Needed() {
		t.Error("it says that somebody needs it")
	}
	other := NewCore() // another supervisor, which knows nothing
	other.Resync([]Container{b.c})
	if actions, next := other.Tick(after(time.Hour)); len(actions) > 0 || !next.IsZero() {
		t.Errorf("another supervisor does %v, and asks at %v", actions, next)
	}
}

// TestStopWhileTheRestartIsDue: the stop comes between the decision and its time.
func TestStopWhileTheRestartIsDue(t *testing.T) {
	b := newBench(t, Container{Restart: "always", Running: true})
	b.end(1)
	b.want(b.to(50*time.Millisecond, b.obey(yes)), "0s settle")
	b.c.StoppedBy = ByUser
	b.k.See(b.c)
	b.want(b.to(time.Minute, b.obey(yes)))
}

// TestRestartsAtOnceAfterAReboot: nobody has seen the end.
func TestRestartsAtOnceAfterAReboot(t *testing.T) {
	k := NewCore()
	k.Resync([]Container{
		{ID: "a", Restart: "unless-stopped", Ended: true, Settled: true, ExitStatus: Unseen, StartedAt: noon},
		{ID: "b", Restart: "unless-stopped", Ended: true, Settled: true, ExitStatus: Unseen, StartedAt: noon, StoppedBy: ByUser},
		{ID: "c", Ended: true, Settled: true, ExitStatus: Unseen, StartedAt: noon},
	})
	actions, _ := k.Tick(after(time.Hour))
	if len(actions) != 1 || actions[0].Kind != Restart || actions[0].Container.ID != "a" {
		t.Errorf("%v", actions)
	}
	if again, _ := k.Tick(after(time.Hour)); len(again) > 0 {
		t.Errorf("and once more: %v", again)
	}
}

func TestFailedActionsAreTriedAgainLater(t *testing.T) {
	b := newBench(t, Container{Restart: "always", Running: true})
	b.end(1)
	got := b.to(1200*time.Millisecond, func(a Action) { b.k.Done(a, errors.New("containerd is away"), b.now) })
	b.want(got, "0s settle", "500ms settle", "1s settle")
}

func TestHealthAsDocker(t *testing.T) {
	check := func(change func(*profiles.Healthcheck)) *profiles.Healthcheck {
		h := &profiles.Healthcheck{TCP: "127.0.0.1:1", Interval: 10 * time.Second, Retries: 2}
		change(h)
		return h
	}
	same := func(*profiles.Healthcheck) {}
	t.Run("healthy at the first probe", func(t *testing.T) {
		b := newBench(t, Container{Running: true, Health: Starting, Check: check(same)})
		b.want(b.to(25*time.Second, b.obey(yes)), "50ms probe", "50ms mark healthy", "10.05s probe", "20.05s probe")
	})
	t.Run("never healthy", func(t *testing.T) { // docker's first probe comes after 10 s, and its second after 20
		b := newBench(t, Container{Running: true, Health: Starting, Check: check(same)})
		b.want(b.to(25*time.Second, b.obey(no)), "50ms probe", "100ms probe", "200ms probe", "400ms probe", "800ms probe", "1.6s probe", "3.2s probe", "6.4s probe", "10s probe", "20s probe", "20s mark unhealthy")
	})
	t.Run("start_period", func(t *testing.T) {
		b := newBench(t, Container{Running: true, Health: Starting, Check: check(func(h *profiles.Healthcheck) { h.StartPeriod, h.StartInterval = 25*time.Second, 10*time.Second })})
		b.want(b.to(40*time.Second, b.obey(no)), "50ms probe", "100ms probe", "200ms probe", "400ms probe", "800ms probe", "1.6s probe", "3.2s probe", "6.4s probe", "12.8s probe", "22.8s probe", "25s probe", "35s probe", "35s mark unhealthy")
	})
	t.Run("a success in between", func(t *testing.T) {
		b := newBench(t, Container{Running: true, Health: Healthy, Check: check(same)})
		probes := 0
		b.want(b.to(70*time.Second, b.obey(func() bool { probes++; return probes%2 == 0 })),
			"50ms probe", "10.05s probe", "20.05s probe", "30.05s probe", "40.05s probe", "50.05s probe", "1m0.05s probe")
	})
	t.Run("it recovers", func(t *testing.T) {
		b := newBench(t, Container{Running: true, Health: Unhealthy, Check: check(same)})
		b.want(b.to(5*time.Second, b.obey(yes)), "50ms probe", "50ms mark healthy")
	})
	t.Run("the result of an earlier life", func(t *testing.T) {
		b := newBench(t, Container{Running: true, Health: Starting, Check: check(same)})
		b.to(time.Second, func(a Action) {
			b.now = b.now.Add(time.Millisecond)
			b.start()
			b.k.See(b.c)
			b.k.Tick(b.now)
			b.k.Probed(a, ProbeResult{Healthy: true}, b.now)
			if a.Kind == Mark {
				t.Errorf("the new process is %s by the probe of the old one", a.Health)
			}
		})
	})
	t.Run("paused", func(t *testing.T) {
		b := newBench(t, Container{Running: true, Paused: true, Health: Healthy, Check: check(same)})
		b.want(b.to(time.Hour, b.obey(no)))
	})
	for how, want := range map[string][]string{
		"none":    {},
		"kill":    {"20s end"},
		"stop":    {"20s end"},
		"restart": {"20s end", "20.1s restart"},
	} {
		t.Run("on_failure: "+how, func(t *testing.T) {
			b := newBench(t, Container{Running: true, Health: Starting, Check: check(func(h *profiles.Healthcheck) { h.OnFailure = how })})
			got := b.to(20100*time.Millisecond, b.obey(no))
			b.want(got[slices.IndexFunc(got, func(line string) bool { return strings.HasSuffix(line, "unhealthy") })+1:], want...)
		})
	}
}

// TestUnhealthyIsEndedByTheNextOne: the supervisor has died between the mark and what on_failure says.
func TestUnhealthyIsEndedByTheNextOne(t *testing.T) {
	k := NewCore()
	k.Resync([]Container{{ID: "c", Running: true, StartedAt: noon, Health: Unhealthy, Check: &profiles.Healthcheck{TCP: "x", OnFailure: "restart"}}})
	if actions, _ := k.Tick(after(time.Second)); len(actions) != 1 || actions[0].Kind != End {
		t.Errorf("%v", actions)
	}
}

func TestNeeded(t *testing.T) {
	for name, c := range map[string]struct {
		c    Container
		want bool
	}{
		"running with a policy":        {Container{Restart: "always", Running: true}, true},
		"running with a healthcheck":   {Container{Check: &profiles.Healthcheck{}, Running: true}, true},
		"running, to be down":          {Container{Restart: "always", Running: true, StoppedBy: ByUser}, false},
		"ended, a restart is due":      {ended("always", time.Second, 0), true},
		"ended for good":               {ended("on-failure", time.Second, 0), false},
		"ended, not yet in the record": {Container{Ended: true}, true},
	} {
		if got := c.c.Needed(); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	k := NewCore()
	k.See(ended("on-failure", time.Second, 0))
	if k.Needed() {
		t.Error("a core of one that has ended for good")
	}
	k.Resync(nil)
	k.Gone("c")
	if len(k.all) != 0 {
		t.Errorf("it keeps %v", k.all)
	}
}
