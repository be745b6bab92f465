package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/runtime"
)

type rmOptions struct{ force, stop bool }

func rmCommand(s *session) *cli.Command {
	var o rmOptions
	return &cli.Command{
		Name: "rm", Category: "containers", Usage: "remove stopped containers", ArgsUsage: "NAME...",
		Description: page{
			about:    "Removes the container's record, snapshot, generated files and log. A running container is refused, unless -s stops it first or -f kills it. Named volumes stay.",
			examples: []string{"hostrun rm dinov2", "hostrun rm -s dinov2"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "kill what runs", Destination: &o.force},
			&cli.BoolFlag{Name: "stop", Aliases: []string{"s"}, Usage: "stop what runs", Destination: &o.stop},
		},
		Action: action(func(ctx context.Context) error { return runRm(ctx, s, o) }),
	}
}

func runRm(ctx context.Context, s *session, o rmOptions) error {
	return s.exceptIdle(s.onContainers(ctx, false, func(client *runtime.Client, name string) error {
		if o.stop {
			if err := client.Stop(ctx, name, nil); err != nil {
				return err
			}
		}
		return client.Remove(ctx, name, o.force)
	}))
}
