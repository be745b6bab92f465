package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
)

type loadOptions struct{ input, name string }

func loadCommand(s *session) *cli.Command {
	var o loadOptions
	return &cli.Command{
		Name: "load", Category: "images", Usage: "load images from an archive", ArgsUsage: "[FILE]",
		Description: page{
			about:    "Loads and unpacks an archive that docker save, podman save, buildctl or hostrun save wrote, compressed or not, and checks its digests. Without a FILE it reads stdin. The names of the images are printed.",
			examples: []string{"hostrun load dinov2.tar", "docker save dinov2:latest | hostrun load"},
			statuses: append([]int{0, finding.StatusFailed, finding.StatusUsage, finding.StatusNoPath}, containerdStatuses[3:]...),
		}.on(s),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "input", Aliases: []string{"i"}, Usage: "read `FILE`, as docker load names it", Destination: &o.input},
			&cli.StringFlag{Name: "name", Usage: "call the image `NAME` if the archive names none", Destination: &o.name},
		},
		Action: action(func(ctx context.Context) error { return runLoad(ctx, s, o) }),
	}
}

func runLoad(ctx context.Context, s *session, o loadOptions) error {
	files, err := s.names(wants{what: "file", max: 1}, false)
	if err != nil {
		return err
	}
	if len(files) == 1 && o.input != "" {
		return finding.Errorf(finding.StatusUsage, "", "hostrun load: give FILE or --input, not both")
	}
	if len(files) == 1 {
		o.input = files[0]
	}
	archive, err := s.openArchive(o.input)
	if err != nil {
		return err
	}
	defer archive.Close()
	client, err := s.containerd(ctx)
	if err != nil {
		return err
	}
	names, err := client.Load(ctx, archive, o.name)
	if err != nil {
		return err
	}
	s.progress.pause()
	for _, name := range names {
		fmt.Fprintln(s.stdout, name)
	}
	return nil
}

func (s *session) openArchive(name string) (io.ReadCloser, error) {
	if name != "" && name != "-" {
		file, err := os.Open(s.abs(name))
		return file, fileError("load", name, err)
	}
	if isTerminal(s.stdin) {
		return nil, finding.Errorf(finding.StatusUsage, "hostrun load FILE, or docker save IMAGE | hostrun load", "hostrun load: stdin is a terminal, not an archive")
	}
	return io.NopCloser(s.stdin), nil
}
