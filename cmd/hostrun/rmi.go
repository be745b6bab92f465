package main

import (
	"context"
	"strings"

	"github.com/urfave/cli/v2"
)

type rmiOptions struct{ force, yes bool }

func rmiCommand(s *session) *cli.Command {
	var o rmiOptions
	return &cli.Command{
		Name: "rmi", Category: "images", Usage: "remove images", ArgsUsage: "IMAGE...",
		Description: page{
			about:    "Removes images from the namespace; containerd frees what nothing else uses. An image that a container was made from is refused, unless -f is given.",
			examples: []string{"hostrun rmi dinov2:old", "hostrun rmi -f -y dinov2:old"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "remove an image that containers use", Destination: &o.force},
			yesFlag(&o.yes),
		},
		Action: action(func(ctx context.Context) error { return runRmi(ctx, s, o) }),
	}
}

func runRmi(ctx context.Context, s *session, o rmiOptions) error {
	names, err := s.names(wants{what: "image", min: 1}, false)
	if err != nil {
		return err
	}
	if err := s.confirmed(o.yes, "remove %s?", strings.Join(names, ", ")); err != nil {
		return err
	}
	client, err := s.containerd(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, client.RemoveImage(ctx, name, o.force))
	}
	return severally(errs)
}
