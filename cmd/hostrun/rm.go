package main

import (
	"context"
	"slices"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/runtime"
)

type rmOptions struct{ force, stop bool }

func rmCommand(s *session) *cli.Command {
	var o rmOptions
	return &cli.Command{
		Name: "rm", Category: "containers", Usage: "remove stopped containers", ArgsUsage: "[NAME...]",
		Description: page{
			about: "Removes the container's record, snapshot, generated files and log. A running container is refused, unless -s stops it first or -f kills it. Named volumes stay; those without a name go with their container.\n\n" +
				"NAME is a container, a profile with replicas, or the file of a stack. Without NAME they are the stopped containers of the stack of this directory; on a terminal you are asked, unless -f is given.",
			examples: []string{"hostrun rm dinov2", "hostrun rm -s dinov2"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "kill what runs", Destination: &o.force},
			&cli.BoolFlag{Name: "stop", Aliases: []string{"s"}, Usage: "stop what runs", Destination: &o.stop},
			taken("volumes", "v"),
		},
		Action: action(func(ctx context.Context) error { return runRm(ctx, s, o) }),
	}
}

func runRm(ctx context.Context, s *session, o rmOptions) error {
	if len(s.line.names) == 0 {
		return s.rmHere(ctx, o)
	}
	return s.exceptIdle(s.onContainers(ctx, false, func(client *runtime.Client, name string) error {
		if o.stop {
			if err := client.Stop(ctx, name, nil); err != nil {
				return err
			}
		}
		return client.Remove(ctx, name, o.force)
	}))
}

// rmHere removes the containers of the stack of this directory that do not run, as docker compose rm does: there, -f leaves the
// question away and nothing else.
func (s *session) rmHere(ctx context.Context, o rmOptions) error {
	s.withStackHere()
	chosen, err := s.chosen(ctx, false)
	if err != nil {
		return err
	}
	all, err := s.list(ctx)
	if !o.stop {
		chosen = slices.DeleteFunc(chosen, func(r resident) bool {
			return slices.ContainsFunc(all, func(c listed) bool { return c.Container.Container == r.name && c.lives() })
		})
	}
	if len(chosen) == 0 {
		s.note("no container of the stack has ended: nothing to do")
		return err
	}
	if err := s.confirmed(o.force, "remove %s?", namesOf(chosen)); err != nil {
		return err
	}
	return severally([]error{s.exceptIdle(s.onEach(ctx, chosen, func(client *runtime.Client, name string) error {
		if o.stop {
			if err := client.Stop(ctx, name, nil); err != nil {
				return err
			}
		}
		return client.Remove(ctx, name, false)
	})), err})
}
