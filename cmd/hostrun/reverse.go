package main

import (
	"context"

	"hostrun.dev/hostrun/runtime"
)

// dependents returns, for each of the chosen containers, those of them that depend on it by their records: they are stopped
// before it. What closes a circle, which records of different times may do, is left out.
func (s *session) dependents(ctx context.Context, chosen []resident) map[string][]string {
	if len(chosen) < 2 {
		return nil
	}
	all, err := s.list(ctx)
	if err != nil {
		return nil // the verb itself says what is wrong
	}
	of := map[string][]string{} // a profile's containers
	for _, c := range all {
		of[c.Profile] = append(of[c.Profile], c.Container.Container)
	}
	needs := map[string][]string{}
	for _, c := range all {
		for _, on := range c.DependsOn {
			needs[c.Container.Container] = append(needs[c.Container.Container], of[on]...)
		}
	}
	var names []string
	for _, r := range chosen {
		names = append(names, r.name)
	}
	return dependentsOf(names, needs)
}

func dependentsOf(names []string, needs map[string][]string) map[string][]string {
	chosen := map[string]bool{}
	for _, name := range names {
		chosen[name] = true
	}
	dependents := map[string][]string{}
	state := map[string]int{} // 1: on the way here, 2: done
	var visit func(name string)
	visit = func(name string) {
		state[name] = 1
		for _, on := range needs[name] {
			if !chosen[on] || state[on] == 1 {
				continue
			}
			if state[on] == 0 {
				visit(on)
			}
			dependents[on] = append(dependents[on], name)
		}
		state[name] = 2
	}
	for _, name := range names {
		if state[name] == 0 {
			visit(name)
		}
	}
	return dependents
}

// onEachReversed is onEach, but a container waits for those that depend on it. Whether these could be ended does not matter.
func (s *session) onEachReversed(ctx context.Context, chosen []resident, fn func(client *runtime.Client, name string) error) error {
	before := s.dependents(ctx, chosen)
	if len(before) == 0 {
		return s.onEach(ctx, chosen, fn)
	}
	left := map[string]int{} // of the same name there may be several on the line
	done := map[string]chan struct{}{}
	for _, r := range chosen {
		left[r.name]++
		done[r.name] = make(chan struct{})
	}
	ended := make(chan string, len(chosen))
	go func() {
		for range chosen {
			name := <-ended
			if left[name]--; left[name] == 0 {
				close(done[name])
			}
		}
	}()
	return s.onEachThen(ctx, chosen, func(client *runtime.Client, name string) error {
		for _, first := range before[name] {
			select {
			case <-done[first]:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		return fn(client, name)
	}, func(name string) { ended <- name })
}
