package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/runtime"
)

type stopOptions struct {
	timeout    string
	all, dryly bool
}

func stopCommand(s *session) *cli.Command {
	var o stopOptions
	return &cli.Command{
		Name: "stop", Category: "containers", Usage: "stop running containers; log and exit status stay", ArgsUsage: "[NAME...] | --all",
		Description: page{
			about:    "Sends the stop signal (the profile's stop_signal, else the image's, else SIGTERM), waits for the grace period and kills what is left. hostrun supervise leaves it alone from then on. Several are stopped side by side, but each before those that it depends on. NAME is a container, a profile with replicas, or the file of a stack; without NAME it is the stack of this directory.",
			examples: []string{"hostrun stop dinov2", "hostrun stop -t 60 dinov2"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			timeoutFlag(&o.timeout),
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "every running container of the namespace", Destination: &o.all},
			dryFlag(&o.dryly),
		},
		Action: action(func(ctx context.Context) error { return runStop(ctx, s, o) }),
	}
}

func runStop(ctx context.Context, s *session, o stopOptions) error {
	timeout, err := grace("timeout", o.timeout)
	if err != nil {
		return err
	}
	if !o.all {
		s.withStackHere()
		if _, err := s.names(wants{what: "container", min: 1}, false); err != nil {
			return err
		}
	}
	chosen, err := s.chosen(ctx, o.all)
	if err != nil && len(chosen) == 0 {
		return err
	}
	if o.dryly {
		return severally([]error{s.dryEnd(ctx, chosen, "stopped", ""), err})
	}
	return severally([]error{s.exceptIdle(s.onEachReversed(ctx, chosen, func(client *runtime.Client, name string) error {
		return client.Stop(ctx, name, timeout)
	})), err})
}

// onContainers does the same with each container that the line names.
func (s *session) onContainers(ctx context.Context, all bool, fn func(client *runtime.Client, name string) error) error {
	if !all {
		if _, err := s.names(wants{what: "container", min: 1}, false); err != nil {
			return err
		}
	}
	chosen, err := s.chosen(ctx, all)
	if err != nil && len(chosen) == 0 {
		return err
	}
	return severally([]error{s.onEach(ctx, chosen, fn), err})
}
