package supervise

import (
	"testing"
	"time"
)

// noon is when the containers of the tests have started.
var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// after is a time of the tests.
func after(d time.Duration) time.Time { return noon.Add(d) }

// ended is a container that ran for d and ended with status.
func ended(policy string, d time.Duration, status int) Container {
	return Container{ID: "c", Created: noon, Restart: policy, Ended: true, Settled: true, ExitStatus: status, StartedAt: noon, EndedAt: after(d)}
}

func TestRestartAt(t *testing.T) {
	const never = time.Duration(-1)
	with := func(c Container, change func(*Container)) Container { change(&c); return c }
	for _, c := range []struct {
		name string
		c    Container
		want time.Duration // after noon
	}{
		{"no policy", ended("", time.Second, 1), never},
		{"always, status 0", ended("always", time.Second, 0), time.Second + FirstPause},
		{"unless-stopped, status 0", ended("unless-stopped", time.Second, 0), time.Second + FirstPause},
		{"on-failure, status 0", ended("on-failure", time.Second, 0), never},
		{"on-failure, status 1", ended("on-failure", time.Second, 1), time.Second + FirstPause},
		{"on-failure, unseen", ended("on-failure", time.Second, Unseen), time.Second + FirstPause},
		{"on-failure:2, after one", with(ended("on-failure:2", time.Second, 1), func(c *Container) { c.Restarts, c.Streak = 1, 1 }), time.Second + 2*FirstPause},
		{"on-failure:2, after two", with(ended("on-failure:2", time.Second, 1), func(c *Container) { c.Restarts, c.Streak = 2, 2 }), never},
		{"on-failure:2, after two with long lives", with(ended("on-failure:2", time.Hour, 1), func(c *Container) { c.Restarts = 2 }), never},
		{"stopped by a person", with(ended("always", time.Second, 1), func(c *Container) { c.StoppedBy = ByUser }), never},
		{"stopped by a person while a restart is owed", with(ended("always", time.Second, 1), func(c *Container) { c.StoppedBy, c.Owed = ByUser, true }), never},
		{"stopped for its health", with(ended("always", time.Second, 1), func(c *Container) { c.StoppedBy = ByHealth }), never},
		{"owed, without a policy", with(ended("", time.Minute, 0), func(c *Container) { c.Owed = true }), time.Minute + FirstPause},
		{"refused", with(ended("always", time.Second, 1), func(c *Container) { c.Refused = "the path is gone" }), never},
		{"running", with(ended("always", time.Second, 1), func(c *Container) { c.Running, c.Ended = true, false }), never},
		{"never started", Container{Restart: "always"}, never},
		{"the end was not seen", Container{Restart: "always", Ended: true, StartedAt: noon, ExitStatus: Unseen}, 0},
		{"the fourth short life", with(ended("always", time.Second, 1), func(c *Container) { c.Streak = 3 }), time.Second + 8*FirstPause},
		{"a long life after many short ones", with(ended("always", 10*time.Second, 1), func(c *Container) { c.Streak = 9 }), 10*time.Second + FirstPause},
		{"many short lives", with(ended("always", time.Second, 1), func(c *Container) { c.Streak = 1000 }), time.Second + LastPause},
		{"a restart that failed", with(ended("always", time.Hour, 1), func(c *Container) { c.TriedAt, c.Streak = after(2*time.Hour), 2 }), 2*time.Hour + 4*FirstPause},
		{"a restart that failed in an earlier life", with(ended("always", time.Hour, 1), func(c *Container) { c.TriedAt, c.Streak = after(-time.Hour), 2 }), time.Hour + FirstPause},
		{"a policy of a later version", ended("sometimes", time.Second, 1), never},
	} {
		at, due := c.c.RestartAt()
		switch {
		case due != (c.want != never):
			t.Errorf("%s: due %v", c.name, due)
		case due && c.name == "the end was not seen":
			if !at.IsZero() {
				t.Errorf("%s: at %v, not at once", c.name, at)
			}
		case due && !at.Equal(after(c.want)):
			t.Errorf("%s: %v after the start, want %v", c.name, at.Sub(noon), c.want)
		}
	}
}

func TestPauseGrows(t *testing.T) {
	last := time.Duration(0)
	for streak := range 100 {
		p := Pause(streak)
		if p < last || p < FirstPause || p > LastPause {
			t.Errorf("Pause(%d) = %v after %v", streak, p, last)
		}
		last = p
	}
	if last != LastPause || Pause(-1) != FirstPause {
		t.Errorf("the last is %v, that of no number %v", last, Pause(-1))
	}
}
