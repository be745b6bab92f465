package main

import (
	"context"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/runtime"
)

type restartOptions struct {
	timeout string
	dryly   bool
	alone   bool
}

func restartCommand(s *session) *cli.Command {
	var o restartOptions
	return &cli.Command{
		Name: "restart", Category: "containers", Usage: "stop containers and start them again, as they are", ArgsUsage: "[NAME...]",
		Description: page{
			about:    "Stops the container as hostrun stop does and starts it with the specification that it has. After a change of the profile use hostrun up. Containers whose profiles say depends_on with restart: true of one of them are restarted after it. NAME is a container, a profile with replicas, or the file of a stack; without NAME it is the stack of this directory.",
			examples: []string{"hostrun restart dinov2", "hostrun restart -t 5 dinov2"},
			statuses: containerdStatuses,
		}.on(s),
		Flags:  []cli.Flag{timeoutFlag(&o.timeout), &cli.BoolFlag{Name: "no-deps", Usage: "leave those alone that are to be restarted after it", Destination: &o.alone}, dryFlag(&o.dryly)},
		Action: action(func(ctx context.Context) error { return runRestart(ctx, s, o) }),
	}
}

func runRestart(ctx context.Context, s *session, o restartOptions) error {
	timeout, err := grace("timeout", o.timeout)
	if err != nil {
		return err
	}
	s.withStackHere()
	chosen, err := s.chosen(ctx, false)
	if err != nil {
		return err
	}
	var names []string
	for _, r := range chosen {
		names = append(names, r.name)
	}
	if o.dryly {
		if err := s.dryEnd(ctx, chosen, "stopped and started", "started"); err != nil {
			return err
		}
		if o.alone {
			return nil
		}
		return s.restartDependents(ctx, names, func(c listed) error {
			s.drySay("%s would be restarted after it", c.Container.Container)
			return nil
		})
	}
	err = s.exceptIdle(s.onEach(ctx, chosen, func(client *runtime.Client, name string) error { return restartOne(ctx, s, client, name, timeout) }))
	if err != nil || o.alone {
		return err
	}
	return s.restartDependents(ctx, names, func(c listed) error { return restartOne(ctx, s, c.client, c.Container.Container, timeout) })
}

// restartOne stops a container and starts it again, as it is.
func restartOne(ctx context.Context, s *session, client *runtime.Client, name string, timeout *time.Duration) error {
	if err := client.NotUnits(ctx, name); err != nil {
		return err
	}
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
}

// restartDependents restarts the running containers whose profiles want that after a restart of one of those on the line
// (depends_on with restart: true), and so on.
func (s *session) restartDependents(ctx context.Context, restarted []string, restart func(listed) error) error {
	all, err := s.list(ctx)
	if err != nil {
		return nil // what was asked for is done
	}
	done := map[string]bool{}
	for _, c := range all {
		if slices.Contains(restarted, c.Container.Container) {
			done[c.Container.Container], done[c.Profile] = true, true
		}
	}
	for again := true; again; {
		again = false
		for _, c := range all {
			id := c.Container.Container
			if done[id] || !c.lives() || c.Unit != "" || !slices.ContainsFunc(c.RestartWith, func(on string) bool { return done[on] }) {
				continue
			}
			if err := restart(c); err != nil {
				return err
			}
			done[id], done[c.Profile], again = true, true, true
		}
	}
	return nil
}
