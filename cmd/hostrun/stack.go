package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

// A stack is the profiles of one command and those that they depend on, each after those that it needs.
type stack struct {
	s       *session
	members []*member
	byID    map[string]*member
}

// A member is one profile of a stack.
type member struct {
	id      string // of its container
	name    string // as profiles.Load takes it
	asked   bool   // on the command line, rather than by depends_on alone
	profile *profiles.Profile
	needs   []need

	done   chan struct{} // closed when it has been started, or has failed
	action string        // what up has done
	plan   plan.Plan     // of it
	err    error
	client *runtime.Client
}

// A need is an edge of the stack.
type need struct {
	profiles.Dependency
	of *member
}

// stackOf reads the profiles with those that they depend on. Its errors name file and line.
func (s *session) stackOf(names []string) (*stack, error) {
	st := &stack{s: s, byID: map[string]*member{}}
	errs := make([]error, len(names))
	for i, name := range names {
		var m *member
		if m, errs[i] = st.add(name, s.profileOptions(), nil); errs[i] == nil {
			m.asked = true
		}
	}
	st.orderNetworks()
	return st, severally(errs)
}

// asked is the one that the line names, or the last of them.
func (st *stack) asked() *member { return st.members[len(st.members)-1] }

// inOrder calls fn for every member, one after another.
func (st *stack) inOrder(fn func(*member) error) error {
	errs := make([]error, len(st.members))
	for i, m := range st.members {
		errs[i] = fn(m)
	}
	return severally(errs)
}

// add reads a profile and what it depends on. way are the members that have led here.
func (st *stack) add(name string, opt profiles.Options, way []*member) (*member, error) {
	if m := st.byID[containerName(name)]; m != nil {
		return m, nil
	}
	p, err := profiles.Load(opt, name)
	if err != nil {
		return nil, err
	}
	m := &member{id: p.Name, name: name, profile: p, done: make(chan struct{})}
	st.byID[m.id] = m
	way = append(slices.Clip(way), m)
	for _, d := range p.DependsOn {
		on, err := st.depend(m, d, way)
		if err != nil {
			delete(st.byID, m.id)
			return nil, err
		}
		if on != nil {
			m.needs = append(m.needs, need{d, on})
		}
	}
	st.members = append(st.members, m) // after what it needs
	return m, nil
}

// depend finds the member that m depends on; nil where there is none, and that does not matter.
func (st *stack) depend(m *member, d profiles.Dependency, way []*member) (*member, error) {
	if i := slices.IndexFunc(way, func(w *member) bool { return w.id == d.Name }); i >= 0 {
		var round []string
		for _, w := range way[i:] {
			round = append(round, w.id)
		}
		return nil, m.problem(d, finding.DependCycle, "remove one of these depends_on",
			"the profiles depend on each other: "+strings.Join(append(round, d.Name), " -> "))
	}
	opt := st.s.profileOptions()
	beside := filepath.Dir(m.profile.File)
	if !strings.HasPrefix(m.profile.File, "builtin:") && !slices.Contains(opt.Dirs, beside) {
		opt.Dirs = append([]string{beside}, opt.Dirs...)
	}
	on, err := st.add(d.Name, opt, way)
	var invalid *profiles.InvalidError
	switch {
	case err == nil && d.Condition == profiles.DependHealthy && on.profile.Unprobed():
		return nil, m.problem(d, finding.DependUnprobed, "give "+d.Name+" a healthcheck:, or wait for condition: started",
			d.Name+" has no healthcheck, and its health is waited for")
	case err == nil, errors.As(err, &invalid):
		return on, err
	case d.Optional:
		st.s.note("%s goes on without %s: %v", m.id, d.Name, err)
		return nil, nil
	case finding.StatusOf(err) != finding.StatusProfile:
		return nil, err
	}
	return nil, m.problem(d, finding.DependUnknown, strings.Join(finding.HintOf(err), "\n"), fmt.Sprintf("there is no profile %s", d.Name))
}

func (m *member) problem(d profiles.Dependency, id, remedy, message string) error {
	return &profiles.InvalidError{Problems: []profiles.Problem{{Position: m.profile.Lines[d.Key], Key: d.Key, ID: id,
		Message: "depends_on: " + message, Remedy: remedy}}}
}

// each calls fn for every member once those that it needs have come to what it waits for, as many at once as can be. The
// errors are in the members' order; one that is only about another member is left out.
func (st *stack) each(ctx context.Context, fn func(context.Context, *member) error) error {
	var group errgroup.Group
	for _, m := range st.members {
		group.Go(func() error {
			defer close(m.done)
			m.err = guard(func() error {
				if err := st.ready(ctx, m); err != nil {
					return err
				}
				return fn(ctx, m)
			})()
			return nil
		})
	}
	_ = group.Wait() // the errors are the members'
	errs := make([]error, len(st.members))
	for i, m := range st.members {
		errs[i] = m.err
	}
	return severally(errs)
}

// before starts what the asked one needs, and waits until that is as it has to be.
func (st *stack) before(ctx context.Context, wait waitFlag) error {
	if len(st.members) == 1 {
		return nil
	}
	return st.each(ctx, func(ctx context.Context, m *member) error {
		if m.asked {
			return nil // its turn has come
		}
		return memberUp(ctx, st.s, upOptions{devices: wait}, m)
	})
}

// ready waits for what m needs, and ends with the first that can't come any more.
func (st *stack) ready(ctx context.Context, m *member) error {
	if len(m.needs) == 0 {
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range m.needs {
		group.Go(guard(func() error {
			err := st.await(ctx, m, n)
			switch {
			case err == nil, ctx.Err() != nil:
				return err
			case n.Optional:
				st.s.note("%s goes on without %s: %v", m.id, n.of.id, err)
				return nil
			}
			return finding.Errorf(finding.StatusOf(err), strings.Join(finding.HintOf(err), "\n"), "container %s: not started: %w", m.id, err)
		}))
	}
	return group.Wait()
}

func (st *stack) await(ctx context.Context, m *member, n need) error {
	select {
	case <-n.of.done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if n.of.err != nil {
		return finding.Errorf(finding.StatusOf(n.of.err), "", "%s, on which it depends, has failed", n.of.id)
	}
	if n.Condition == profiles.DependStarted {
		return nil
	}
	if n.Condition == profiles.DependHealthy && n.of.plan.Labels != nil && n.of.plan.Labels[plan.LabelHealthcheck] == "" { // its image might have had one
		return m.problem(n.Dependency, finding.DependUnprobed, "give "+n.of.id+" a healthcheck:, or wait for condition: started",
			n.of.id+" has no healthcheck, and neither has its image, and its health is waited for")
	}
	st.s.progress.event(runtime.Event{ID: "Container " + m.id, Status: "Waiting", Text: n.of.id + " " + waitedFor[n.Condition]})
	return st.s.awaitState(ctx, n.of.client, n.of.id, n.Condition)
}

var waitedFor = map[string]string{profiles.DependHealthy: "to be healthy", profiles.DependCompleted: "to end"}

// restartsWith says whether a member that up has left unchanged is to be restarted, after one that it needs was not.
func (m *member) restartsWith() bool {
	return m.action == "unchanged" && slices.ContainsFunc(m.needs, func(n need) bool { return n.Restart && n.of.err == nil && n.of.action != "unchanged" })
}
