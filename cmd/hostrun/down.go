package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

type downOptions struct {
	timeout, rmi                      string
	all, yes, volumes, orphans, dryly bool
}

func downCommand(s *session) *cli.Command {
	var o downOptions
	return &cli.Command{
		Name: "down", Category: "containers", Usage: "stop and remove containers", ArgsUsage: "[NAME...] | --all",
		Description: page{
			about: "Stops the containers and removes them with their snapshot, generated files and log. Named volumes stay. It returns when the processes have ended; the removal goes on in the background. A container that is not there is not an error: the end is the same. Several are ended side by side, but each before those that it depends on.\n\n" +
				"NAME is a container, a profile with replicas, or the file of a stack; without NAME it is the stack of this directory (hostrun.yaml or stack.yaml).",
			examples: []string{"hostrun down dinov2", "hostrun down --all -y", "hostrun down ./stack.yaml -v"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			timeoutFlag(&o.timeout),
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "every container of the namespace", Destination: &o.all},
			&cli.BoolFlag{Name: "volumes", Aliases: []string{"v"}, Usage: "remove their named volumes too, with all data; refused where another container has one", Destination: &o.volumes},
			&cli.StringFlag{Name: "rmi", Usage: "remove their images too: `local|all`, where local are those that are built and that nobody named; one that another container has stays", Destination: &o.rmi},
			&cli.BoolFlag{Name: "remove-orphans", Usage: "with a stack: also its containers whose profiles are gone from the file", Destination: &o.orphans},
			yesFlag(&o.yes),
			dryFlag(&o.dryly),
		},
		Action: action(func(ctx context.Context) error { return runDown(ctx, s, o) }),
	}
}

func timeoutFlag(destination *string) cli.Flag {
	return &cli.StringFlag{Name: "timeout", Aliases: []string{"t"}, Usage: "kill after `SECONDS`, or a duration as 1m30s, instead of the profile's stop_grace_period", Destination: destination}
}

func yesFlag(destination *bool) cli.Flag {
	return &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask, even on a terminal", Destination: destination}
}

func runDown(ctx context.Context, s *session, o downOptions) error {
	timeout, err := grace("timeout", o.timeout)
	if err == nil {
		err = checkRmi(o.rmi)
	}
	if err != nil {
		return err
	}
	if !o.all {
		s.withStackHere()
		if _, err := s.names(wants{what: "container", min: 1}, false); err != nil {
			return err
		}
	}
	chosen, trouble := s.chosen(ctx, o.all)
	stacks, more, err := s.stacksNamed(ctx, o.orphans)
	if err != nil {
		return err
	}
	chosen = append(chosen, more...)
	var volumes []string
	if o.volumes && trouble == nil {
		if volumes, err = s.volumesToRemove(ctx, chosen, stacks); err != nil {
			return err
		}
	}
	images := s.imagesToRemove(ctx, o.rmi, chosen, stacks)
	if len(chosen)+len(volumes)+len(images) == 0 {
		return trouble
	}
	if o.dryly {
		err := s.dryEnd(ctx, chosen, "stopped and removed", "removed")
		for _, name := range volumes {
			s.drySay("the volume %s would be removed", name)
		}
		for _, name := range images {
			s.drySay("the image %s would be removed", familiar(name))
		}
		return severally([]error{err, trouble})
	}
	if o.all {
		if err := s.confirmed(o.yes, "stop and remove %s?", namesOf(chosen)); err != nil {
			return err
		}
	}
	var rest *runtime.Removals // a single one's begins at once
	if len(chosen) > 1 {
		rest = new(runtime.Removals)
	}
	err = s.onEachReversed(ctx, chosen, func(client *runtime.Client, name string) error { return client.DownOf(ctx, name, timeout, rest) })
	if rest != nil {
		rest.Begin()
	}
	err = s.exceptAbsent(err)
	if err == nil && len(volumes)+len(images) > 0 {
		var client *runtime.Client
		if client, err = s.containerd(ctx); err == nil {
			err = severally([]error{s.removeVolumes(ctx, volumes, client), s.removeImages(ctx, client, images)})
		}
	}
	return severally([]error{err, trouble})
}

// stacksNamed returns the stacks that the line names, and their orphans if these are wanted; else they are told.
func (s *session) stacksNamed(ctx context.Context, orphans bool) (stacks []*profiles.Stack, more []resident, err error) {
	for _, word := range s.line.names {
		if strings.ContainsRune(word, '/') || containerName(word) != word || !s.traceOf(word) {
			if st := profiles.ReadStack(s.profileOptions(), word); st != nil {
				stacks = append(stacks, st)
			}
		}
	}
	if len(stacks) == 0 {
		if orphans {
			return nil, nil, finding.Errorf(finding.StatusUsage, "name its file: hostrun "+s.line.verb().Name+" ./stack.yaml --remove-orphans", "flag --remove-orphans: no stack is named")
		}
		return nil, nil, nil
	}
	all, err := s.list(ctx)
	if err != nil && len(all) == 0 {
		return nil, nil, err
	}
	for _, st := range stacks {
		of := orphansOf(all, st)
		switch {
		case len(of) == 0:
		case orphans:
			more = append(more, of...)
		default:
			s.note("%s: %s has no such profile any more; --remove-orphans ends them", namesOf(of), st.Shown)
		}
	}
	return stacks, more, nil
}

func namesOf(chosen []resident) string {
	names := make([]string, len(chosen))
	for i, r := range chosen {
		names[i] = r.name
	}
	return strings.Join(names, ", ")
}

// exceptAbsent turns the errors about names without a container into notes: the end is the same.
func (s *session) exceptAbsent(err error) error {
	return s.exceptWhere(err, func(of *runtime.StateError) bool { return errors.Is(of, runtime.ErrNoContainer) })
}

// exceptIdle does so for names of profiles, where docker compose ends well, too: a service that is in the file and has no container, or
// one that has ended, is what the command would make of it. A name that is nobody's stays an error, as it is a slip.
func (s *session) exceptIdle(err error) error {
	return s.exceptWhere(err, func(of *runtime.StateError) bool {
		return errors.Is(of, runtime.ErrNotRunning) || s.isProfile(of.Name)
	})
}

func (s *session) exceptWhere(err error, passed func(*runtime.StateError) bool) error {
	var all several
	if !errors.As(err, &all) {
		all = several{err}
	}
	left := make([]error, len(all))
	for i, one := range all {
		if of := (*runtime.StateError)(nil); errors.As(one, &of) && passed(of) {
			s.note("%v: nothing to do", one)
		} else {
			left[i] = one
		}
	}
	return severally(left)
}

// isProfile says whether a container of that name would be one of a profile: of a word of the line, or one that can be found by name.
func (s *session) isProfile(container string) bool {
	for _, word := range append(slices.Clone(s.line.names), container) {
		name := containerName(word)
		if name == container && profiles.Exists(s.profileOptions(), word) {
			return true
		}
	}
	if base, number, ok := cutLast(container, "-"); ok && replicaNumber(container, base) > 0 && number != "" {
		return profiles.Exists(s.profileOptions(), base) // a replica's
	}
	return false
}

func cutLast(text, sep string) (before, after string, found bool) {
	i := strings.LastIndex(text, sep)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(sep):], true
}
