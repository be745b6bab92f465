package main

import (
	"context"
	"slices"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

// checkUp refuses words of up's line that have no meaning for what it names.
func (st *stack) checkUp(o upOptions) error {
	asked := 0
	for _, m := range st.members {
		if m.asked {
			asked++
		}
	}
	for name := range st.opt.scale {
		if st.groups[name] == nil {
			return finding.Errorf(finding.StatusUsage, "", "flag --scale: the profile %s is not among those that are started", name)
		}
	}
	title := st.s.line.title()
	switch {
	case asked != 1 && o.attach:
		return finding.Errorf(finding.StatusUsage, "hostrun up starts them all; hostrun logs -f NAME follows them", "%s --attach takes one container, not %d", title, asked)
	case asked != 1 && st.s.line.dashes && len(st.wholes) > 0:
		return finding.Errorf(finding.StatusUsage, "", "%s takes one name with ARGS, not %d", title, asked)
	case o.orphans && len(st.wholes) == 0:
		return finding.Errorf(finding.StatusUsage, "name its file: "+title+" ./stack.yaml --remove-orphans", "flag --remove-orphans: no stack is named")
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
