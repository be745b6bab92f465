package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

type pullOptions struct {
	platform, name string
	locked         bool
}

func pullCommand(s *session) *cli.Command {
	var o pullOptions
	return &cli.Command{
		Name: "pull", Category: "images", Usage: "fetch images from their registries", ArgsUsage: "IMAGE... | --locked NAME...",
		Description: page{
			about: "Fetches and unpacks images and checks their digests. Names resolve as docker's do. A transfer that broke is taken up where it ended. The full references are printed.\n\n" +
				"With --locked the words are profiles, and each image is fetched by the digest that hostrun.lock has; the name in the profile stands for it from then on.\n\n" +
				"docker-daemon:IMAGE comes from a local Docker, at DOCKER_HOST or its usual socket, without a file in between.",
			examples: []string{"hostrun pull python:3.11-slim", "hostrun pull --platform linux/arm64 python:3.11-slim", "hostrun pull docker-daemon:dinov2:latest", "hostrun pull --locked dinov2"},
			statuses: startStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "platform", Usage: "fetch for `OS/ARCH[/VARIANT]` instead of this machine's", Destination: &o.platform},
			&cli.StringFlag{Name: "name", Usage: "call an image of Docker's `NAME`", Destination: &o.name},
			&cli.BoolFlag{Name: "locked", Usage: "fetch the images of profiles, as hostrun.lock has them", Destination: &o.locked},
		},
		Action: action(func(ctx context.Context) error { return runPull(ctx, s, o) }),
	}
}

func runPull(ctx context.Context, s *session, o pullOptions) error {
	if o.locked {
		return pullLocked(ctx, s, o)
	}
	names, err := s.names(wants{what: "image", min: 1}, false)
	if err != nil {
		return err
	}
	if o.name != "" && (len(names) > 1 || !strings.HasPrefix(names[0], runtime.DockerDaemon)) {
		return finding.Errorf(finding.StatusUsage, "hostrun pull --name dinov2 docker-daemon:4bd7b8cb7b1e", "flag --name: it is for one image of Docker's")
	}
	client, err := s.containerd(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		ref, err := o.pull(ctx, client, name)
		if err != nil {
			return err
		}
		s.progress.pause()
		fmt.Fprintln(s.stdout, ref)
	}
	return nil
}

func (o pullOptions) pull(ctx context.Context, client *runtime.Client, name string) (string, error) {
	if strings.HasPrefix(name, runtime.DockerDaemon) {
		return client.PullDocker(ctx, name, o.name, o.platform)
	}
	return client.Pull(ctx, name, o.platform)
}
