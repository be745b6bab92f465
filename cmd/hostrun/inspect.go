package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

type inspectOptions struct {
	image    bool
	platform string
	format   string
}

func inspectCommand(s *session) *cli.Command {
	var o inspectOptions
	return &cli.Command{
		Name: "inspect", Category: "look", Usage: "print everything that is known of containers or images", ArgsUsage: "NAME...",
		Description: page{
			about:    "Prints one JSON document a container: its record, labels, specification and process. With --image the names are images, and what hostrun read of their configuration and files is printed.",
			examples: []string{"hostrun inspect dinov2", "hostrun inspect --image dinov2:latest --format '{{json .pythons}}'"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "image", Usage: "the names are images", Destination: &o.image},
			&cli.StringFlag{Name: "platform", Usage: "of an image for several platforms: `OS/ARCH[/VARIANT]`", Destination: &o.platform},
			&cli.StringFlag{Name: "format", Usage: "print as `pretty|json|TEMPLATE`: indented, one line each, or a Go template", Value: "pretty", Destination: &o.format},
		},
		Action: action(func(ctx context.Context) error { return runInspect(ctx, s, o) }),
	}
}

func runInspect(ctx context.Context, s *session, o inspectOptions) error {
	what := "container"
	if o.image {
		what = "image"
	}
	names, err := s.names(wants{what: what, min: 1}, false)
	if err != nil {
		return err
	}
	if !o.image {
		chosen, err := s.chosen(ctx, false)
		if err != nil {
			return err
		}
		names = nil
		for _, r := range chosen {
			names = append(names, r.name)
		}
	}
	found := make([]any, len(names))
	for i, name := range names {
		if found[i], err = o.look(ctx, s, name); err != nil {
			return err
		}
	}
	if o.format != "pretty" {
		return show(s.stdout, o.format, found, table[any]{header: []string{"NAME"}, cells: func(any) []string { return nil }})
	}
	for _, one := range found {
		if err := writeIndented(s.stdout, one); err != nil {
			return err
		}
	}
	return nil
}

func (o inspectOptions) look(ctx context.Context, s *session, name string) (any, error) {
	switch {
	case o.format == "table":
		return nil, finding.Errorf(finding.StatusUsage, "", "flag --format: inspect prints pretty, json, or a template")
	case !o.image:
		client, err := s.home(ctx, containerName(name))
		if err != nil {
			return nil, err
		}
		return s.inspect(ctx, client, containerName(name))
	}
	client, err := s.containerd(ctx)
	if err != nil {
		return nil, err
	}
	ref, err := client.EnsureImage(ctx, name, o.platform, "never")
	if err != nil {
		return nil, err
	}
	return client.Inspect(ctx, ref, o.platform, plan.ImageNeeds{Python: true})
}

// inspect adds what the kernel's log says of the container's devices.
func (s *session) inspect(ctx context.Context, client *runtime.Client, name string) (any, error) {
	known, err := client.InspectContainer(ctx, name)
	if one, ok := known.(runtime.Inspection); ok && err == nil {
		s.addFaults(&one.Container)
		return one, nil
	}
	return known, err
}
