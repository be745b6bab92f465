package main

import (
	"context"

	"github.com/urfave/cli/v2"
)

type shellOptions struct{ execOptions }

func shellCommand(s *session) *cli.Command {
	var o shellOptions
	return &cli.Command{
		Name: "shell", Category: "containers", Usage: "open a shell in a running container", ArgsUsage: "NAME",
		Description: page{
			about: "Runs bash in the container, or sh where the image has no bash. It is no login shell, so PATH and the rest are the container's. " +
				"Where no container runs, hostrun run NAME -- bash opens a new one.",
			examples: []string{"hostrun shell dinov2", "echo 'python3 -V' | hostrun shell dinov2"},
			own:      "The status of the shell, or:",
			statuses: foregroundStatuses,
		}.on(s),
		Flags:  o.flags(),
		Action: action(func(ctx context.Context) error { return runShell(ctx, s, o) }),
	}
}

func runShell(ctx context.Context, s *session, o shellOptions) error {
	if _, err := s.names(wants{what: "container", min: 1, max: 1}, false); err != nil {
		return err
	}
	o.args = []string{"/bin/sh", "-c", "if command -v bash >/dev/null 2>&1; then exec bash; fi; exec sh"}
	o.interactive = true
	return runExec(ctx, s, o.execOptions)
}
