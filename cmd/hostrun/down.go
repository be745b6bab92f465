package main

import (
	"context"
	"errors"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/runtime"
)

type downOptions struct {
	timeout  string
	all, yes bool
}

func downCommand(s *session) *cli.Command {
	var o downOptions
	return &cli.Command{
		Name: "down", Category: "containers", Usage: "stop and remove containers", ArgsUsage: "NAME... | --all",
		Description: page{
			about:    "Stops the containers and removes them with their snapshot, generated files and log. Named volumes stay. It returns when the processes have ended; the removal goes on in the background. A container that is not there is not an error: the end is the same. Several are ended side by side, but each before those that it depends on.",
			examples: []string{"hostrun down dinov2", "hostrun down --all -y"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			timeoutFlag(&o.timeout),
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "every container of the namespace", Destination: &o.all},
			yesFlag(&o.yes),
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
	if err != nil {
		return err
	}
	if !o.all {
		if _, err := s.names(wants{what: "container", min: 1}, false); err != nil {
			return err
		}
	}
	chosen, trouble := s.chosen(ctx, o.all)
	if len(chosen) == 0 {
		return trouble
	}
	if o.all {
		if err := s.confirmed(o.yes, "stop and remove %s?", namesOf(chosen)); err != nil {
			return err
		}
	}
	err = s.onEachReversed(ctx, chosen, func(client *runtime.Client, name string) error { return client.Down(ctx, name, timeout) })
	return severally([]error{s.exceptAbsent(err), trouble})
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
	var all several
	if !errors.As(err, &all) {
		all = several{err}
	}
	left := make([]error, len(all))
	for i, one := range all {
		if errors.Is(one, runtime.ErrNoContainer) {
			s.note("%v: nothing to do", one)
		} else {
			left[i] = one
		}
	}
	return severally(left)
}
