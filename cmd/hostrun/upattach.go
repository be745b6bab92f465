package main

import (
	"context"
	"slices"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

// This file stays in the foreground with several containers, as docker compose up does.

// endWith says when the end of one container is that of all, and whose status becomes ours.
type endWith struct {
	abort   bool   // as soon as one has ended
	failure bool   // as soon as one has failed
	from    string // the profile or container whose status counts; implies abort
}

func (e endWith) given() bool { return e.abort || e.failure || e.from != "" }

// check refuses what has no meaning; attach says that the command stays.
func (e endWith) check(attach, wait bool) error {
	switch {
	case e.given() && wait:
		return finding.Errorf(finding.StatusUsage, "leave --wait away", "hostrun up: --wait returns, and --abort-on-container-exit and --exit-code-from stay in the foreground")
	case e.abort && e.failure:
		return finding.Errorf(finding.StatusUsage, "give one of the two", "hostrun up: --abort-on-container-exit and --abort-on-container-failure can't be had together")
	}
	return nil
}

// source is the member whose status counts; nil if none was asked for.
func (e endWith) source(st *stack) (*member, error) {
	if e.from == "" {
		return nil, nil
	}
	name := containerName(e.from)
	for _, m := range st.members {
		if m.id == name || m.profile.Name == name {
			return m, nil
		}
	}
	return nil, finding.Errorf(finding.StatusUsage, "name one of those that are started", "flag --exit-code-from: %s is not among those that are started", e.from)
}

// attachedAll stays with the containers until all have ended. The first signal stops them in order, the second kills them.
func attachedAll(ctx context.Context, s *session, st *stack, e endWith) error {
	from, err := e.source(st)
	if err != nil {
		return err
	}
	var members []*member
	var all, shown []resident // all are ended together; of those that were asked for the output is shown
	longest := 0.0
	for _, m := range st.members {
		all = append(all, resident{m.id, m.client})
		if m.asked || m == from {
			members, shown = append(members, m), append(shown, resident{m.id, m.client})
		}
		longest = max(longest, m.plan.StopSeconds)
	}
	s.progress.end()
	signals, release := s.signals.foreground("", seconds(longest))
	defer release()

	type end struct {
		of     *member
		status int
		err    error
	}
	ends := make(chan end, len(members))
	names := newPrefixes(s, shown, len(shown) == 1)
	for _, m := range members {
		go func() {
			one := end{of: m}
			one.err = guard(func() (err error) {
				stdout, stderr, flush := names.of(m.id)
				defer flush()
				one.status, err = m.client.Attach(ctx, m.id, runtime.IO{Stdout: stdout, Stderr: stderr}, nil)
				return err
			})()
			ends <- one
		}()
	}
	stopped := make(chan error, 1)
	stopping, byHand := false, false
	stop := func() {
		if stopping {
			return
		}
		stopping = true
		go func() {
			stopped <- s.exceptIdle(s.onEachReversed(ctx, all, func(client *runtime.Client, name string) error { return client.Stop(ctx, name, nil) }))
		}()
	}
	status, decided := 0, false
	var failed []error
	for range members {
		var one end
		for waiting := true; waiting; {
			select {
			case one = <-ends:
				waiting = false
			case name := <-signals:
				byHand = byHand || slices.Contains([]string{"SIGINT", "SIGTERM", "SIGHUP"}, name)
				pass(ctx, s, all, name, stop)
			}
		}
		failed = append(failed, one.err)
		s.noteMemory(ctx, one.of.client, one.of.id, one.status)
		switch {
		case from != nil && one.of == from:
			status, decided = one.status, true
		case from == nil && !decided && !stopping && e.given() && (e.abort || one.status != 0):
			status, decided = one.status, true // that of the first one
		}
		if e.abort || e.from != "" || e.failure && one.status != 0 || one.err != nil {
			stop()
		}
	}
	if stopping {
		failed = append(failed, <-stopped)
	}
	switch err := severally(failed); {
	case err != nil:
		return s.inForeground(0, err)
	case byHand && !decided:
		return s.signals.ended()
	}
	return asEnded(status)
}

// pass gives a signal to all: one that asks for the end stops them, each with its own signal and grace.
func pass(ctx context.Context, s *session, all []resident, name string, stop func()) {
	switch name {
	case "SIGINT", "SIGTERM", "SIGHUP":
		stop()
		return
	}
	go func() {
		_ = s.onEach(ctx, all, func(client *runtime.Client, id string) error { return client.Kill(ctx, id, name) }) // some have ended already
	}()
}
