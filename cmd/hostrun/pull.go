package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

type pullOptions struct {
	platform, name, policy string
	passFailures, locked   bool
}

func pullCommand(s *session) *cli.Command {
	var o pullOptions
	return &cli.Command{
		Name: "pull", Category: "images", Usage: "fetch images from their registries", ArgsUsage: "[IMAGE|PROFILE...]",
		Description: page{
			about: "Fetches and unpacks images and checks their digests. Names resolve as docker's do. A transfer that broke is taken up where it ended. The full references are printed.\n\n" +
				"docker-daemon:IMAGE comes from a local Docker, at DOCKER_HOST or its usual socket, without a file in between.\n\n" +
				"The name of a profile, or of the file of a stack, means their images; those that are to be built are left out. Without a name it is the stack of this directory. " +
				"With --locked each is fetched by the digest that hostrun.lock has; the name in the profile stands for it from then on.",
			examples: []string{"hostrun pull python:3.11-slim", "hostrun pull --platform linux/arm64 python:3.11-slim", "hostrun pull docker-daemon:dinov2:latest",
				"hostrun pull && hostrun up   # what is new of the stack of this directory", "hostrun pull --locked dinov2"},
			statuses: startStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "platform", Usage: "fetch for `OS/ARCH[/VARIANT]` instead of this machine's", Destination: &o.platform},
			&cli.StringFlag{Name: "name", Usage: "call an image of Docker's `NAME`", Destination: &o.name},
			&cli.StringFlag{Name: "policy", Usage: "`always|missing`: with missing, leave out what is here", Value: "always", Destination: &o.policy},
			&cli.BoolFlag{Name: "locked", Usage: "fetch the images of profiles, as hostrun.lock has them", Destination: &o.locked},
			&cli.BoolFlag{Name: "ignore-pull-failures", Usage: "go on with the others, and tell at the end", Destination: &o.passFailures},
			taken("ignore-buildable"),
		},
		Action: action(func(ctx context.Context) error { return runPull(ctx, s, o) }),
	}
}

func runPull(ctx context.Context, s *session, o pullOptions) error {
	if o.policy != "always" && o.policy != "missing" {
		return finding.Errorf(finding.StatusUsage, "write always or missing", "flag --policy: there is no policy %q", o.policy)
	}
	s.withStackHere()
	if o.locked {
		return pullLocked(ctx, s, o)
	}
	names, err := s.names(wants{what: "image", min: 1}, false)
	if err == nil {
		names, err = s.imagesOf(names)
	}
	if err != nil || len(names) == 0 {
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
		if o.policy == "missing" && !strings.HasPrefix(name, runtime.DockerDaemon) {
			if here, err := client.HasImage(ctx, name); here || err != nil {
				if err != nil {
					return err
				}
				continue
			}
		}
		ref, err := o.pull(ctx, client, name)
		if err != nil && o.passFailures && ctx.Err() == nil {
			s.note("%v", err)
			continue
		}
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

// imagesOf puts the images of profiles in the place of their names, each once. Of a whole stack those count that up starts: without
// tags. What is to be built comes from no registry.
func (s *session) imagesOf(words []string) ([]string, error) {
	var images []string
	add := func(image string) {
		if !slices.Contains(images, image) {
			images = append(images, image)
		}
	}
	for _, word := range words {
		members := s.eachOfStacks([]string{word})
		whole := !slices.Equal(members, []string{word})
		if !whole && (strings.ContainsAny(word, ":@") || !profiles.Exists(s.profileOptions(), word)) {
			add(word)
			continue
		}
		for _, member := range members {
			p, err := profiles.Load(s.profileOptions(), member)
			switch {
			case err != nil:
				return nil, err
			case whole && len(p.Tags) > 0, p.Image == "":
			case p.Build != nil:
				s.note("%s: its image is built: hostrun build %s", p.Name, member)
			default:
				add(p.Image)
			}
		}
	}
	return images, nil
}
