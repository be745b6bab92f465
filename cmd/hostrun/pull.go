package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"
)

type pullOptions struct{ platform string }

func pullCommand(s *session) *cli.Command {
	var o pullOptions
	return &cli.Command{
		Name: "pull", Category: "images", Usage: "fetch images from their registries", ArgsUsage: "IMAGE...",
		Description: page{
			about:    "Fetches and unpacks images and checks their digests. Names resolve as docker's do. A transfer that broke is taken up where it ended. The full references are printed.",
			examples: []string{"hostrun pull python:3.11-slim", "hostrun pull --platform linux/arm64 python:3.11-slim"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "platform", Usage: "fetch for `OS/ARCH[/VARIANT]` instead of this machine's", Destination: &o.platform},
		},
		Action: action(func(ctx context.Context) error { return runPull(ctx, s, o) }),
	}
}

func runPull(ctx context.Context, s *session, o pullOptions) error {
	names, err := s.names(wants{what: "image", min: 1}, false)
	if err != nil {
		return err
	}
	client, err := s.containerd(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		ref, err := client.Pull(ctx, name, o.platform)
		if err != nil {
			return err
		}
		s.progress.pause()
		fmt.Fprintln(s.stdout, ref)
	}
	return nil
}
