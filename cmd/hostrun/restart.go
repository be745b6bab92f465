package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/runtime"
)

type restartOptions struct{ timeout string }

func restartCommand(s *session) *cli.Command {
	var o restartOptions
	return &cli.Command{
		Name: "restart", Category: "containers", Usage: "stop containers and start them again, as they are", ArgsUsage: "NAME...",
		Description: page{
			about:    "Stops the container as hostrun stop does and starts it with the specification that it has. After a change of the profile use hostrun up.",
			examples: []string{"hostrun restart dinov2", "hostrun restart -t 5 dinov2"},
			statuses: containerdStatuses,
		}.on(s),
		Flags:  []cli.Flag{timeoutFlag(&o.timeout)},
		Action: action(func(ctx context.Context) error { return runRestart(ctx, s, o) }),
	}
}

func runRestart(ctx context.Context, s *session, o restartOptions) error {
	timeout, err := grace("timeout", o.timeout)
	if err != nil {
		return err
	}
	return s.onContainers(ctx, false, func(client *runtime.Client, name string) error {
		// Between stop and start nobody else may get its devices.
		if err := client.Hold(ctx, name); err != nil {
			return err
		}
		defer client.Unreserve(name)
		if err := client.Stop(ctx, name, timeout); err != nil {
			return err
		}
		if err := client.Start(ctx, name); err != nil {
			return err
		}
		return s.supervised(ctx, client, name)
	})
}
