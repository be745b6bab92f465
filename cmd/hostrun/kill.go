package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/runtime"
)

// stackHereWords are those of the verbs that take what names a container.
const stackHereWords = "NAME is a container, a profile with replicas, or the file of a stack; without NAME it is the stack of this directory."

type killOptions struct{ signal string }

func killCommand(s *session) *cli.Command {
	var o killOptions
	return &cli.Command{
		Name: "kill", Category: "containers", Usage: "send a signal to running containers", ArgsUsage: "[NAME...]",
		Description: page{
			about:    "Sends a signal to the container's first process. SIGKILL cannot be caught: the container ends at once. " + stackHereWords,
			examples: []string{"hostrun kill dinov2", "hostrun kill -s SIGUSR1 dinov2"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "signal", Aliases: []string{"s"}, Usage: "the `SIGNAL`, by name or number", Value: "SIGKILL", Destination: &o.signal},
		},
		Action: action(func(ctx context.Context) error { return runKill(ctx, s, o) }),
	}
}

func runKill(ctx context.Context, s *session, o killOptions) error {
	s.withStackHere()
	return s.exceptIdle(s.onContainers(ctx, false, func(client *runtime.Client, name string) error { return client.Kill(ctx, name, o.signal) }))
}
