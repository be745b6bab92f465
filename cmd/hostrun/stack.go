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
	groups  map[string]*group   // by the profile's name
	wholes  []profiles.Stack    // files that were named as a whole
	left    []*profiles.Profile // out, for their tags
	circles map[string]error    // that were met, by the names in them
	opt     stackOptions
}

// stackOptions are what the command line says of all.
type stackOptions struct {
	scale map[string]int // containers of a profile, instead of what it says
	tags  []string       // of the profiles that are started without being named
	whole bool           // nobody has named profiles: up --all
	alone bool           // what they depend on is left out: --no-deps
	one   bool           // of what is named there is one container, whatever it says: it is run's
	edges bool           // only what depends on what is asked, and nobody counts devices: check's
}

// A group is the containers of one profile: one, or its replicas.
type group struct {
	profile *profiles.Profile
	members []*member
	counted bool // they are replicas
}

// A member is one container of a stack.
type member struct {
	id      string // of its container
	replica int    // from 1; 0 for one that is alone
	name    string // as profiles.Load takes it
	asked   bool   // on the command line, rather than by depends_on alone
	profile *profiles.Profile
	needs   []need

	prepared *preparation // of it and the other replicas of its profile; nil for one that is alone

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
func (s *session) stackOf(ctx context.Context, names []string, opt stackOptions) (*stack, error) {
	st := &stack{s: s, groups: map[string]*group{}, opt: opt}
	var errs []error
	for _, name := range names {
		if opt.whole {
			errs = append(errs, st.tagged(ctx, name)...)
		} else {
			errs = append(errs, st.name(ctx, name)...)
		}
	}
	err := severally(once(errs))
	if err == nil {
		err = st.checkTags()
	}
	if err == nil {
		err = st.checkNames()
	}
	st.orderNetworks()
	return st, err
}

// name adds what a word of the line names: a profile, or a file with several.
func (st *stack) name(ctx context.Context, name string) (errs []error) {
	g, err := st.add(ctx, name, st.s.profileOptions(), nil)
	var whole *profiles.StackError
	switch {
	case errors.As(err, &whole) && !st.opt.one:
		st.wholes = append(st.wholes, whole.Stack)
		for _, one := range whole.Stack.Profiles {
			errs = append(errs, st.tagged(ctx, whole.Stack.Member(one))...)
		}
		return errs
	case err != nil:
		return []error{err}
	}
	g.ask()
	return nil
}

// tagged is name for a profile that is one of all: one whose tags nobody has given is left out.
func (st *stack) tagged(ctx context.Context, name string) []error {
	p, err := profiles.Load(st.s.profileOptions(), name)
	if err != nil {
		return []error{err}
	}
	if !p.Tagged(st.opt.tags) {
		st.left = append(st.left, p)
		return nil
	}
	return st.name(ctx, name)
}

// dependable reports what is wrong with depends_on of the profiles, and of those that they lead to, as up does.
func (s *session) dependable(ctx context.Context, names []string) error {
	errs := make([]error, len(names))
	for i, name := range names {
		st := &stack{s: s, groups: map[string]*group{}, opt: stackOptions{edges: true}}
		_, errs[i] = st.add(ctx, name, s.profileOptions(), nil)
	}
	return severally(once(errs))
}

func (g *group) ask() {
	for _, m := range g.members {
		m.asked = true
	}
}

// once leaves out what has been said before: profiles of one file have problems in common.
func once(errs []error) []error {
	said := map[profiles.Problem]bool{}
	for i, err := range errs {
		var invalid *profiles.InvalidError
		if !errors.As(err, &invalid) {
			continue
		}
		left := &profiles.InvalidError{}
		for _, p := range invalid.Problems {
			if !said[p] {
				left.Problems = append(left.Problems, p)
			}
			said[p] = true
		}
		if errs[i] = left; len(left.Problems) == 0 {
			errs[i] = nil
		}
	}
	return errs
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

// add reads a profile and what it depends on. way are the profiles that have led here.
func (st *stack) add(ctx context.Context, name string, opt profiles.Options, way []*profiles.Profile) (*group, error) {
	if g := st.groups[containerName(name)]; g != nil {
		return g, nil
	}
	p, err := profiles.Load(opt, name)
	if err != nil {
		return nil, err
	}
	g, err := st.group(ctx, name, p, st.opt.edges || st.opt.one && len(way) == 0)
	if err != nil {
		return nil, err
	}
	st.groups[p.Name] = g
	way = append(slices.Clip(way), p)
	for _, d := range p.DependsOn {
		if st.opt.alone && len(st.wholes) == 0 {
			break
		}
		on, err := st.depend(ctx, p, d, way)
		if err != nil {
			delete(st.groups, p.Name)
			return nil, err
		}
		for _, m := range g.members {
			for _, other := range on {
				m.needs = append(m.needs, need{d, other})
			}
		}
	}
	st.members = append(st.members, g.members...) // after what they need
	return g, nil
}

// depend finds the members that p depends on; none where there are none, and that does not matter.
func (st *stack) depend(ctx context.Context, p *profiles.Profile, d profiles.Dependency, way []*profiles.Profile) ([]*member, error) {
	if i := slices.IndexFunc(way, func(w *profiles.Profile) bool { return w.Name == d.Name }); i >= 0 {
		var round []string
		for _, w := range way[i:] {
			round = append(round, w.Name)
		}
		return nil, st.circle(round, problem(p, d, finding.DependCycle, "remove one of these depends_on",
			"the profiles depend on each other: "+strings.Join(append(slices.Clip(round), d.Name), " -> ")))
	}
	on, err := st.add(ctx, d.Name, st.beside(p), way)
	var invalid *profiles.InvalidError
	switch {
	case err == nil && d.Condition == profiles.DependHealthy && on.profile.Unprobed():
		return nil, problem(p, d, finding.DependUnprobed, "give "+d.Name+" a healthcheck:, or wait for condition: started",
			d.Name+" has no healthcheck, and its health is waited for")
	case err == nil:
		return on.members, nil
	case errors.As(err, &invalid):
		return nil, err
	case d.Optional:
		st.s.note("%s goes on without %s: %v", p.Name, d.Name, err)
		return nil, nil
	case finding.StatusOf(err) != finding.StatusProfile:
		return nil, err
	}
	return nil, problem(p, d, finding.DependUnknown, strings.Join(finding.HintOf(err), "\n"), fmt.Sprintf("there is no profile %s", d.Name))
}

// circle returns the error about a circle as it was met first: from each profile on it there is another way round.
func (st *stack) circle(names []string, err error) error {
	key := strings.Join(slices.Sorted(slices.Values(names)), " ")
	if first := st.circles[key]; first != nil {
		return first
	}
	if st.circles == nil {
		st.circles = map[string]error{}
	}
	st.circles[key] = err
	return err
}

// beside looks for profiles in the stack of p, then beside its file, before it looks elsewhere.
func (st *stack) beside(p *profiles.Profile) profiles.Options {
	opt := st.s.profileOptions()
	var first []string
	if p.Stack != nil {
		first = append(first, p.Stack.Shown)
	}
	if beside := filepath.Dir(p.File); !strings.HasPrefix(p.File, "builtin:") && !slices.Contains(opt.Dirs, beside) {
		first = append(first, beside)
	}
	opt.Dirs = append(first, opt.Dirs...)
	return opt
}

func problem(p *profiles.Profile, d profiles.Dependency, id, remedy, message string) error {
	return &profiles.InvalidError{Problems: []profiles.Problem{{Position: p.Lines[d.Key], Key: d.Key, ID: id,
		Message: "depends_on: " + message, Remedy: remedy}}}
}

// each calls fn for every member once those that it needs have come to what it waits for, as many at once as can be. The
// errors are in the members' order; one that is only about another member is left out.
func (st *stack) each(ctx context.Context, fn func(context.Context, *member) error) error {
	var group errgroup.Group
	st.s.progress.expect(st.members)
	for _, m := range st.members {
		group.Go(func() error {
			defer close(m.done)
			defer st.s.progress.finish(m.id)
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
func (st *stack) before(ctx context.Context, wait waitFlag, locked bool) error {
	if len(st.members) == 1 {
		return nil
	}
	return st.each(ctx, func(ctx context.Context, m *member) error {
		if m.asked {
			return nil // its turn has come
		}
		return memberUp(ctx, st.s, upOptions{devices: wait, locked: locked}, m)
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
		return problem(m.profile, n.Dependency, finding.DependUnprobed, "give "+n.of.id+" a healthcheck:, or wait for condition: started",
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
