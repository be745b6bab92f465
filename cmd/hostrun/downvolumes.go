package main

import (
	"context"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

// volumesToRemove are the named volumes of the containers that are to be removed, and those that the stacks declare. One that
// another container has is an error, before anything is done.
func (s *session) volumesToRemove(ctx context.Context, chosen []resident, stacks []*profiles.Stack) ([]string, error) {
	uses, err := s.volumeUses(ctx)
	if err != nil {
		return nil, err
	}
	ours := func(u runtime.VolumeUse) bool {
		return u.Namespace == s.global.namespace && slices.ContainsFunc(chosen, func(r resident) bool { return r.name == u.Container })
	}
	var all []string
	for _, st := range stacks {
		all = append(all, st.Volumes...)
	}
	for _, u := range uses {
		if ours(u) {
			all = append(all, u.Volumes...)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if len(all) > 0 {
		known, _ := s.list(ctx) // what could not be asked has been told of
		for _, one := range s.unseen(ctx, known) {
			return nil, finding.Errorf(finding.StatusTryAgain, "start that containerd again: systemctl start containerd\nor keep the volumes: leave -v away",
				"flag --volumes: %s runs in a containerd that does not answer (%s), so which volumes it has can't be told; nothing was done", one.name, one.address)
		}
	}
	return all, severally(s.inUse(all, slices.DeleteFunc(uses, ours)))
}

func (s *session) volumeUses(ctx context.Context) ([]runtime.VolumeUse, error) {
	var all []runtime.VolumeUse
	for _, client := range s.allContainerds(ctx) {
		uses, err := client.VolumeUses(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, uses...)
	}
	return all, nil
}

// inUse are the errors about volumes that others have.
func (s *session) inUse(volumes []string, others []runtime.VolumeUse) []error {
	var errs []error
	for _, name := range volumes {
		var holders []string
		for _, u := range others {
			if slices.Contains(u.Volumes, name) || slices.Contains(u.Others, name) {
				holder := u.Container
				if u.Namespace != s.global.namespace {
					holder += " (namespace " + u.Namespace + ")"
				}
				holders = append(holders, holder)
			}
		}
		if len(holders) > 0 {
			errs = append(errs, finding.Errorf(finding.StatusTryAgain, "end it as well: hostrun down "+strings.Join(holders, " ")+"\nor keep the volumes: leave -v away",
				"%s: volume %s: it is in use by the container %s; nothing was done", finding.VolumeInUse, name, strings.Join(holders, ", ")))
		}
	}
	return errs
}

// removeVolumes deletes them once their containers are gone. Somebody may have started one with such a volume meanwhile.
func (s *session) removeVolumes(ctx context.Context, volumes []string, client *runtime.Client) error {
	if len(volumes) == 0 {
		return nil
	}
	uses, err := s.volumeUses(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range volumes {
		if err := severally(s.inUse([]string{name}, uses)); err != nil {
			errs = append(errs, err)
			continue
		}
		removed, err := client.RemoveVolume(name)
		if err != nil {
			errs = append(errs, err)
		} else if removed {
			s.say("volume %s removed", name)
		}
	}
	return severally(errs)
}
