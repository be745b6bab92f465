package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
)

type saveOptions struct{ output string }

func saveCommand(s *session) *cli.Command {
	var o saveOptions
	return &cli.Command{
		Name: "save", Category: "images", Usage: "write images to an archive", ArgsUsage: "IMAGE...",
		Description: page{
			about:    "Writes images as one archive that docker load and hostrun load read, to stdout or to a file. The file appears when it is complete.",
			examples: []string{"hostrun save -o dinov2.tar dinov2:latest", "hostrun save dinov2:latest | ssh gpu2 hostrun load"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to `FILE`", Destination: &o.output},
		},
		Action: action(func(ctx context.Context) error { return runSave(ctx, s, o) }),
	}
}

func runSave(ctx context.Context, s *session, o saveOptions) error {
	names, err := s.names(wants{what: "image", min: 1}, false)
	if err != nil {
		return err
	}
	toStdout := o.output == "" || o.output == "-"
	if toStdout && isTerminal(s.stdout) {
		return finding.Errorf(finding.StatusUsage, "hostrun save -o FILE IMAGE", "hostrun save: stdout is a terminal, and an archive would garble it")
	}
	client, err := s.containerd(ctx)
	if err != nil {
		return err
	}
	if toStdout {
		return client.Save(ctx, names, s.stdout)
	}
	return writeWhole(s.abs(o.output), func(w io.Writer) error { return client.Save(ctx, names, w) })
}

// writeWhole writes a file that appears complete or not at all: a temporary one beside it is renamed.
func writeWhole(path string, write func(io.Writer) error) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fileError("write", path, err)
	}
	defer os.Remove(file.Name())
	err = errors.Join(write(file), file.Chmod(0o644), file.Close())
	if err != nil {
		return err
	}
	return fileError("write", path, os.Rename(file.Name(), path))
}
