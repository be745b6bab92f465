package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

// checkUp refuses words of up's line that have no meaning for what it names.
func (st *stack) checkUp(o upOptions) error {
	asked := st.countAsked()
	for name := range st.opt.scale {
		if st.groups[name] == nil {
			return finding.Errorf(finding.StatusUsage, "", "flag --scale: the profile %s is not among those that are started", name)
		}
	}
	title := st.s.line.title()
	switch {
	case asked != 1 && st.s.line.dashes && len(st.wholes) > 0:
		return finding.Errorf(finding.StatusUsage, "", "%s takes one name with ARGS, not %d", title, asked)
	case o.orphans && len(st.wholes) == 0:
		return finding.Errorf(finding.StatusUsage, "name its file: "+title+" ./stack.yaml --remove-orphans", "flag --remove-orphans: no stack is named")
	}
	_, err := o.ends.source(st)
	return err
}

func (st *stack) countAsked() (n int) {
	for _, m := range st.members {
		if m.asked {
			n++
		}
	}
	return n
}

// checkTags refuses a tag that nothing has, and a line that starts nothing.
func (st *stack) checkTags() error {
	have := map[string]bool{}
	for _, p := range st.left {
		for _, tag := range p.Tags {
			have[tag] = true
		}
	}
	for _, g := range st.groups {
		for _, tag := range g.profile.Tags {
			have[tag] = true
		}
	}
	known := slices.Sorted(maps.Keys(have))
	for _, tag := range st.opt.tags {
		if tag != profiles.AnyTag && !have[tag] {
			hint := "no profile of it has tags"
			if len(known) > 0 {
				hint = "the tags are " + strings.Join(known, ", ")
			}
			return finding.Errorf(finding.StatusUsage, hint, "flag --tag: no profile has the tag %q", tag)
		}
	}
	if len(st.members) == 0 && len(st.left) > 0 {
		return finding.Errorf(finding.StatusUsage, st.s.line.title()+" --tag "+known[0]+", or name profiles", "nothing is started: each profile has tags, and none of them is given")
	}
	return nil
}

// endOrphans ends the containers of the stacks whose profiles are gone from the file, or names them.
func (st *stack) endOrphans(ctx context.Context, o upOptions) error {
	all, err := st.s.list(ctx)
	if err != nil {
		return err
	}
	for _, whole := range st.wholes {
		of := orphansOf(all, &whole)
		switch {
		case len(of) == 0:
		case !o.orphans:
			st.s.note("%s: %s has no such profile any more; --remove-orphans ends them", namesOf(of), whole.Shown)
		default:
			slices.SortFunc(of, func(a, b resident) int { return len(a.name) - len(b.name) })
			err = st.s.onEachReversed(ctx, of, func(client *runtime.Client, name string) error {
				if err := client.Down(ctx, name, nil); err != nil {
					return err
				}
				st.s.say("%s removed", name)
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
