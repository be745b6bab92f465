package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

// lastLines of a container's output stand in the error about its end.
const lastLines = 10

// deathsInARow are enough to say that a container that is started again and again does not come up.
const deathsInARow = 3

// awaitState waits until the container is what a condition of depends_on says. It ends at once when that can't come any more.
func (s *session) awaitState(ctx context.Context, client *runtime.Client, id, condition string) error {
	alone := time.Time{} // since when nobody probes
	var last runtime.Container
	err := client.Await(ctx, id, func(c runtime.Container) (bool, error) {
		last = c
		if condition == profiles.DependCompleted {
			return completed(c)
		}
		if done, err := healthy(c); done || err != nil {
			return done, err
		}
		switch {
		case client.Supervisor() != 0:
			alone = time.Time{}
		case alone.IsZero():
			alone = time.Now()
		case time.Since(alone) > 3*time.Second:
			alone = time.Now()
			return false, s.supervised(ctx, client, id)
		}
		return false, nil
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		err = finding.Errorf(finding.StatusFailed, "", "container %s: not %s in time%s", id, strings.ReplaceAll(condition, "_", " "), why(last))
	case ctx.Err() != nil:
		return err
	case errors.Is(err, runtime.ErrNoContainer):
		return finding.Errorf(finding.StatusFailed, "", "container %s: it was removed while it was waited for", id)
	}
	return withLog(ctx, client, id, err)
}

// healthy ends the wait for health.
func healthy(c runtime.Container) (bool, error) {
	switch {
	case c.Health == "healthy" || c.Health == "" && c.Status == "running":
		return true, nil
	case c.Health == "unhealthy":
		return false, failed(c, "is unhealthy"+why(c))
	case c.Status == "running", c.Status == "paused", c.Status == "created":
		return false, nil
	case c.RestartAt != nil && c.Restarts < deathsInARow:
		return false, nil
	}
	return false, failed(c, "has ended"+withStatus(c))
}

// completed ends the wait for an end with status 0.
func completed(c runtime.Container) (bool, error) {
	switch {
	case c.Status != "exited" && c.Status != "unknown":
		return false, nil
	case c.ExitStatus != nil && *c.ExitStatus == 0:
		return true, nil
	case c.RestartAt != nil:
		return false, nil // on-failure: it gets another chance
	}
	return false, failed(c, "has ended"+withStatus(c))
}

func failed(c runtime.Container, how string) error {
	return finding.Errorf(finding.StatusFailed, "hostrun logs "+c.Container, "container %s %s", c.Container, how)
}

func withStatus(c runtime.Container) string {
	text := ""
	if c.ExitStatus != nil {
		text = fmt.Sprintf(" with status %d", *c.ExitStatus)
	}
	if c.Restarts > 0 {
		text += fmt.Sprintf(", after %d restarts", c.Restarts)
	}
	if c.Refused != "" {
		text += ", and can't be started again: " + c.Refused
	}
	return text
}

// why is what the last probe said.
func why(c runtime.Container) string {
	if c.HealthOutput == "" {
		return ""
	}
	return ": " + c.HealthOutput
}

// withLog adds the last lines of the container's output to the error.
func withLog(ctx context.Context, client *runtime.Client, id string, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	lines := client.Tail(ctx, id, lastLines)
	if lines == "" {
		return err
	}
	hint := strings.Join(finding.HintOf(err), "\n")
	if hint == "" {
		hint = "hostrun logs " + id
	}
	return finding.Errorf(finding.StatusOf(err), hint, "%w\n  %s | %s", err, id, strings.ReplaceAll(lines, "\n", "\n  "+id+" | "))
}
