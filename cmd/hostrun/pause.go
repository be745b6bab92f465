package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/runtime"
)

func pauseCommand(s *session) *cli.Command {
	var all bool
	return &cli.Command{
		Name: "pause", Category: "containers", Usage: "freeze the processes of running containers", ArgsUsage: "[NAME...] | --all",
		Description: page{
			about: "Takes all processors from the container's processes until hostrun unpause. They keep their memory and their devices, and what they compute on a device goes on to its end. " +
				"A paused container is not probed; exec and start refuse it; stop, down and the signals that end a container wake it, so that it can end in order. " + stackHereWords,
			examples: []string{"hostrun pause dinov2", "hostrun pause --all"},
			statuses: containerdStatuses,
		}.on(s),
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "every running container of the namespace", Destination: &all}},
		Action: action(func(ctx context.Context) error { return runPause(ctx, s, all, "running", (*runtime.Client).Pause) }),
	}
}

func unpauseCommand(s *session) *cli.Command {
	var all bool
	return &cli.Command{
		Name: "unpause", Category: "containers", Usage: "let paused containers go on", ArgsUsage: "[NAME...] | --all",
		Description: page{
			about:    "Lets the processes of a container that hostrun pause has frozen go on where they were. " + stackHereWords,
			examples: []string{"hostrun unpause dinov2", "hostrun unpause --all"},
			statuses: containerdStatuses,
		}.on(s),
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "every paused container of the namespace", Destination: &all}},
		Action: action(func(ctx context.Context) error { return runPause(ctx, s, all, "paused", (*runtime.Client).Unpause) }),
	}
}

func runPause(ctx context.Context, s *session, all bool, status string, do func(*runtime.Client, context.Context, string) error) error {
	each := func(client *runtime.Client, name string) error { return do(client, ctx, name) }
	if !all {
		s.withStackHere()
		return s.exceptIdle(s.onContainers(ctx, false, each))
	}
	if _, err := s.chosen(ctx, true); err != nil {
		return err
	}
	list, err := s.list(ctx)
	var chosen []resident
	for _, c := range list {
		if c.Status == status {
			chosen = append(chosen, resident{c.Container.Container, c.client})
		}
	}
	return severally([]error{s.onEach(ctx, chosen, each), err})
}
