package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/runtime"
)

type startOptions struct{}

func startCommand(s *session) *cli.Command {
	var o startOptions
	return &cli.Command{
		Name: "start", Category: "containers", Usage: "start stopped containers again, as they are", ArgsUsage: "[NAME...]",
		Description: page{
			about:    "Starts the container with the specification that it has, without looking at the profile. After a change of the profile use hostrun up. NAME is a container, a profile with replicas, or the file of a stack; without NAME it is the stack of this directory.",
			examples: []string{"hostrun start dinov2"},
			statuses: containerdStatuses,
		}.on(s),
		Action: action(func(ctx context.Context) error { return runStart(ctx, s, o) }),
	}
}

func runStart(ctx context.Context, s *session, _ startOptions) error {
	s.withStackHere()
	return s.onContainers(ctx, false, func(client *runtime.Client, name string) error {
		if err := client.Start(ctx, name); err != nil {
			return err
		}
		return s.supervised(ctx, client, name)
	})
}
