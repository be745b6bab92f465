package supervise

import (
	"time"

	"hostrun.dev/hostrun/profiles"
)

// The defaults of compose's healthcheck (compose-spec, 05-services.md, "healthcheck").
const (
	defaultInterval      = 30 * time.Second
	defaultTimeout       = 30 * time.Second
	defaultStartInterval = 5 * time.Second
	defaultRetries       = 3
)

// firstProbe is how long after the start the first probe comes. Until one succeeds, the pauses between those that follow are as long as
// the container has run by then, and startInterval at most: what is ready soon is known to be soon, and what loads a model for a minute
// is asked six times more than by docker.
const firstProbe = 50 * time.Millisecond

func or(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// Timeout is how long a probe of h may take.
func Timeout(h *profiles.Healthcheck) time.Duration { return or(h.Timeout, defaultTimeout) }

func interval(h *profiles.Healthcheck) time.Duration { return or(h.Interval, defaultInterval) }

func startInterval(h *profiles.Healthcheck) time.Duration {
	return or(h.StartInterval, min(defaultStartInterval, interval(h)))
}

func retries(h *profiles.Healthcheck) int {
	if h.Retries > 0 {
		return h.Retries
	}
	return defaultRetries
}

// indulgence is how long after the start failures do not count, as long as no probe has succeeded: docker makes its first probe
// after the first interval. Those that come earlier here make a container healthy sooner, and never unhealthy.
func indulgence(h *profiles.Healthcheck) time.Duration { return max(h.StartPeriod, interval(h)) }

// A course is what is known of the probes since one start of a container.
type course struct {
	started time.Time // of the container
	failed  int       // in a row
	next    time.Time // probe
	probing bool
}

// A ProbeResult is how one probe ended.
type ProbeResult struct {
	Healthy bool
	Output  string // of a probe that failed: why
}

// judge says what health the result makes of one that was health before; "" is no change.
func (k *course) judge(h *profiles.Healthcheck, health string, r ProbeResult, now time.Time) string {
	k.probing = false
	if r.Healthy {
		k.failed, k.next = 0, now.Add(interval(h))
		return changed(health, Healthy)
	}
	if health == Starting && now.Before(k.started.Add(indulgence(h))) {
		k.next = now.Add(min(startInterval(h), max(now.Sub(k.started), firstProbe)))
		if end := k.started.Add(indulgence(h)); k.next.After(end) {
			k.next = end // there docker's first probe is due
		}
		return ""
	}
	k.failed++
	k.next = now.Add(interval(h))
	if k.failed >= retries(h) {
		return changed(health, Unhealthy)
	}
	return ""
}

func changed(was, is string) string {
	if was == is {
		return ""
	}
	return is
}
