package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/runtime"
)

type imagesOptions struct {
	quiet  bool
	format string
}

func imagesCommand(s *session) *cli.Command {
	var o imagesOptions
	return &cli.Command{
		Name: "images", Category: "images", Usage: "list the images of the namespace",
		Description: page{
			about:    "Lists the images that containers of this namespace can use. SIZE is that of the compressed content.",
			examples: []string{"hostrun images", "hostrun images --format '{{.name}} {{.digest}}'"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print names only", Destination: &o.quiet},
			formatFlag(&o.format),
		},
		Action: action(func(ctx context.Context) error { return runImages(ctx, s, o) }),
	}
}

func runImages(ctx context.Context, s *session, o imagesOptions) error {
	if err := s.none(); err != nil {
		return err
	}
	all, err := s.images(ctx)
	if err != nil {
		return err
	}
	if o.quiet {
		for _, image := range all {
			fmt.Fprintln(s.stdout, image.Name)
		}
		return nil
	}
	return show(s.stdout, o.format, all, imageTable(time.Now()))
}

// images lists those of the containerd that would be used. A private engine that has never run is not started to say none.
func (s *session) images(ctx context.Context) ([]runtime.ImageInfo, error) {
	client, err := s.forImages(ctx)
	if err != nil || client == nil {
		return nil, err
	}
	return client.Images(ctx)
}

func imageTable(now time.Time) table[runtime.ImageInfo] {
	return table[runtime.ImageInfo]{
		header: []string{"NAME", "DIGEST", "PLATFORMS", "SIZE", "CREATED"},
		cells: func(i runtime.ImageInfo) []string {
			return []string{familiar(i.Name), shortDigest(i.Digest), dash(strings.Join(i.Platforms, ",")), size(i.Size), ago(now.Sub(i.CreatedAt))}
		},
	}
}

// shortDigest is as much of a digest as tells images apart.
func shortDigest(digest string) string {
	algorithm, hex, ok := strings.Cut(digest, ":")
	if !ok || len(hex) < 12 {
		return digest
	}
	return algorithm + ":" + hex[:12]
}
