package main

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
)

type factsOptions struct {
	python, cuda string
}

func factsCommand(s *session) *cli.Command {
	var o factsOptions
	return &cli.Command{
		Name: "facts", Category: "prove", Usage: "print what hostrun knows of this machine, as JSON", ArgsUsage: "[NAME]",
		Description: page{
			about: "Without a name: the machine, its Python environment and its CUDA toolkit. With the name of a profile: everything that the plan depends on, " +
				"image and containerd among it. hostrun spec --facts replays it elsewhere. The fields are in docs/facts.md.",
			examples: []string{"hostrun facts", "hostrun facts --python /opt/venv/bin/python3", "hostrun facts dinov2 > dinov2-on-h100.json"},
			statuses: startStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "python", Usage: "the environment to look at: `auto|none|PATH`", Value: "auto", Destination: &o.python},
			&cli.StringFlag{Name: "cuda", Usage: "the toolkit to look at: `auto|none|PATH`", Value: "auto", Destination: &o.cuda},
		},
		Action: action(func(ctx context.Context) error { return runFacts(ctx, s, o) }),
	}
}

func runFacts(ctx context.Context, s *session, o factsOptions) error {
	names, err := s.names(wants{what: "profile", max: 1}, false)
	if err != nil {
		return err
	}
	if len(names) == 1 {
		facts, _, err := s.assemble(ctx, order{name: names[0], pull: "never"})
		var refused *plan.Refused
		if err != nil && !errors.As(err, &refused) {
			return err
		}
		return writeIndented(s.stdout, facts)
	}
	facts, err := host.Probe(ctx, s.hostOptions(), host.Needs{Python: s.needed(o.python), CUDA: s.needed(o.cuda)})
	if err != nil {
		return err
	}
	inventories, err := s.accelerators(ctx)
	if err != nil {
		return err
	}
	return writeIndented(s.stdout, machineFacts{facts, inventories})
}

// machineFacts are those of the machine alone.
type machineFacts struct {
	host.Facts
	Inventories []devices.Inventory `json:"inventories,omitempty"`
}

// accelerators lists those of all kinds, with their health and users.
func (s *session) accelerators(ctx context.Context) ([]devices.Inventory, error) {
	e := s.equipment(nil)
	var asks []devices.Ask
	for _, kind := range e.kinds() {
		asks = append(asks, devices.Ask{Kind: kind})
	}
	return e.inventories(ctx, asks, devices.Needs{Health: true, Users: true})
}

// needed is a flag's word as host.Needs takes it.
func (s *session) needed(word string) string {
	if word == "none" {
		return ""
	}
	return s.pythonPath(word)
}
