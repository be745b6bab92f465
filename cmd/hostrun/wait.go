package main

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"
)

type waitOptions struct{}

func waitCommand(s *session) *cli.Command {
	var o waitOptions
	return &cli.Command{
		Name: "wait", Category: "containers", Usage: "wait until containers end, and print their exit statuses", ArgsUsage: "NAME...",
		Description: page{
			about:    "Blocks until every named container has ended and prints one exit status a line, in the order of the names.",
			examples: []string{"hostrun wait dinov2", "hostrun up train && hostrun wait train"},
			own:      "The first exit status of a container that is not 0, or:",
			statuses: containerdStatuses,
		}.on(s),
		Action: action(func(ctx context.Context) error { return runWait(ctx, s, o) }),
	}
}

func runWait(ctx context.Context, s *session, _ waitOptions) error {
	chosen, err := s.chosen(ctx, false)
	if err != nil {
		return err
	}
	var names []string
	for _, r := range chosen {
		names = append(names, r.name)
	}
	statuses := make([]int, len(names))
	index := map[string][]int{}
	for i, name := range names {
		index[name] = append(index[name], i)
	}
	if err := each(names, func(name string) error {
		client, err := s.home(ctx, containerName(name))
		if err != nil {
			return err
		}
		status, err := client.Wait(ctx, containerName(name))
		for _, i := range index[name] {
			statuses[i] = status
		}
		return err
	}); err != nil {
		return err
	}
	first := 0
	for _, status := range statuses {
		fmt.Fprintln(s.stdout, status)
		if first == 0 {
			first = status
		}
	}
	return asEnded(first)
}
