// Package supervise decides what keeps containers up: which one is to be started again and when, which is to be probed, and what
// becomes of one that fails its probes. It is pure but for Run, which asks a World and does what is decided. What is known of a
// container comes from its record and its task each time; the only thing kept here is what may be lost: how many probes
// have failed in a row, and what is under way.
package supervise

import (
	"strconv"
	"strings"
	"time"

	"hostrun.dev/hostrun/profiles"
)

// What a container's health may be. "" is that of one without a healthcheck.
const (
	Starting  = "starting"
	Healthy   = "healthy"
	Unhealthy = "unhealthy"
)

// By whom a container was stopped for good.
const (
	ByUser   = "user"
	ByHealth = "health" // on_failure: stop
)

// A Container is what its record and its task say at one moment.
type Container struct {
	ID      string
	Created time.Time // of the record: another one of the same name has another time

	Restart string                // of the profile: "", "always", "unless-stopped", "on-failure", "on-failure:3"
	Check   *profiles.Healthcheck // nil: none

	Running bool // it has a process that does its work, or is paused
	Paused  bool
	Ended   bool // it has been started, and its process is no more
	Settled bool // the end is in the record, and no task is left

	ExitStatus int       // once it has ended; Unseen where nobody saw it
	StartedAt  time.Time // the last time; zero: never
	EndedAt    time.Time // zero where nobody saw it

	StoppedBy string    // ByUser, ByHealth, "": nobody
	Refused   string    // why no restart will be tried: the last one found what no restart mends
	Owed      bool      // a restart is owed whatever the policy says: on_failure: restart has stopped it
	Restarts  int       // since a person started it
	Streak    int       // of them, those in a row that came to nothing: none was up for SteadyAfter
	TriedAt   time.Time // when the last restart failed; zero: none did

	Health string // "", Starting, Healthy, Unhealthy
}

// Unseen is the status of an end that nobody saw, as after a power cut.
const Unseen = 255

// The bounds of docker's restart manager (moby, restartmanager): the pause doubles from the first to the last, and begins anew once
// the container has been up for a while.
const (
	FirstPause  = 100 * time.Millisecond
	LastPause   = time.Minute
	SteadyAfter = 10 * time.Second
)

// Pause is how long to wait before the restart after so many that came to nothing.
func Pause(streak int) time.Duration {
	if streak > 10 { // 100 ms << 10 is beyond the last
		return LastPause
	}
	return min(FirstPause<<max(streak, 0), LastPause)
}

// FailedInARow is the streak that the container is in: 0 once it has been up for long enough.
func (c Container) FailedInARow() int {
	if c.TriedAt.After(c.EndedAt) {
		return c.Streak
	}
	if c.EndedAt.IsZero() || c.EndedAt.Sub(c.StartedAt) >= SteadyAfter {
		return 0
	}
	return c.Streak
}

// RestartAt says whether the container is to be started again, and when. What a person has stopped stays so.
func (c Container) RestartAt() (at time.Time, due bool) {
	if !c.Ended || c.StoppedBy != "" || c.Refused != "" || !c.Owed && !c.wanted() {
		return time.Time{}, false
	}
	since := c.EndedAt
	if c.TriedAt.After(since) {
		since = c.TriedAt
	}
	if since.IsZero() { // nobody saw the end: the machine or containerd went down
		return time.Time{}, true
	}
	return since.Add(Pause(c.FailedInARow())), true
}

// wanted says whether the policy wants it to run after this end.
func (c Container) wanted() bool {
	policy, times, _ := strings.Cut(c.Restart, ":")
	switch policy {
	case "always", "unless-stopped":
		return true
	case "on-failure":
		most, err := strconv.Atoi(times)
		return c.ExitStatus != 0 && (times == "" || err == nil && c.Restarts < most)
	}
	return false
}

// Needed says whether somebody has to look after it now.
func (c Container) Needed() bool {
	if c.Running {
		return c.StoppedBy == "" && (c.Restart != "" || c.Check != nil)
	}
	_, due := c.RestartAt()
	return due || c.Ended && !c.Settled
}
