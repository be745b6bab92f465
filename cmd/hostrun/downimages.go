package main

import (
	"context"
	"slices"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

// checkRmi refuses what is no word of the flag --rmi, which are compose's.
func checkRmi(which string) error {
	if which == "" || which == "all" || which == "local" {
		return nil
	}
	return finding.Errorf(finding.StatusUsage, "write local, for images that are built and have no name of their own, or all", "flag --rmi: there is no %q", which)
}

// imagesToRemove are the images that down removes: all are those of the containers and of the profiles that the line names, local
// those of the profiles alone that are built under a name that nobody gave them.
func (s *session) imagesToRemove(ctx context.Context, which string, chosen []resident, stacks []*profiles.Stack) []string {
	if which == "" {
		return nil
	}
	var names, words []string
	for _, st := range stacks {
		for _, one := range st.Profiles {
			words = append(words, st.Member(one))
		}
	}
	for _, word := range s.line.names {
		if !slices.ContainsFunc(stacks, func(st *profiles.Stack) bool { return st.Shown == word }) && profiles.Exists(s.profileOptions(), word) {
			words = append(words, word)
		}
	}
	for _, word := range words {
		p, err := profiles.Load(s.profileOptions(), word)
		switch {
		case err != nil:
			s.log.Info("read the profile for its image", "profile", word, "error", err)
		case p.Image != "" && (which == "all" || unnamed(p)):
			names = append(names, fullImage(p.Image))
		}
	}
	if which == "all" {
		all, _ := s.list(ctx) // who did not answer has been told of
		for _, c := range all {
			if c.Image != "" && slices.ContainsFunc(chosen, func(r resident) bool { return r.name == c.Container.Container }) {
				names = append(names, fullImage(c.Image))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// unnamed reports whether a profile's image is built under the name that it has without image:, or that hostrun import writes there.
func unnamed(p *profiles.Profile) bool {
	if p.Build == nil {
		return false
	}
	_, named := p.Lines["image"]
	return !named || p.Stack != nil && p.Image == p.Stack.Name+"-"+p.Name
}

// removeImages removes those that are here. One that a container still has stays, as with compose.
func (s *session) removeImages(ctx context.Context, client *runtime.Client, names []string) error {
	for _, name := range names {
		here, err := client.HasImage(ctx, name)
		if err != nil {
			return err
		}
		if !here {
			continue
		}
		if err := client.RemoveImage(ctx, name, false); err != nil {
			s.note("%v: it stays", err)
			continue
		}
		s.say("image %s removed", familiar(name))
	}
	return nil
}
