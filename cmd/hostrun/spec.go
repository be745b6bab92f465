package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

type specOptions struct {
	over  overrides
	full  bool
	facts string

	locked bool
}

func specCommand(s *session) *cli.Command {
	var o specOptions
	return &cli.Command{
		Name: "spec", Category: "prove", Usage: "print the OCI specification that up would start", ArgsUsage: "NAME [-- ARGS...]",
		Description: page{
			about: "Prints the config.json of the OCI runtime specification, byte for byte what containerd would be given. --full prints the whole plan: " +
				"findings, generated files, what is borrowed, and where every entry comes from.\n\n" +
				"--facts replays a recording of hostrun facts NAME, on any machine and without containerd; NAME may then be left out.",
			examples: []string{"hostrun spec dinov2", "hostrun spec --full dinov2", "hostrun facts dinov2 > h100.json && hostrun spec --facts h100.json dinov2"},
			statuses: startStatuses,
		}.on(s),
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "full", Usage: "print the whole plan", Destination: &o.full},
			&cli.StringFlag{Name: "facts", Usage: "use the facts that hostrun facts NAME recorded in `FILE`; - is stdin", Destination: &o.facts},
			lockedFlag(&o.locked),
		}, o.over.flags()...),
		Action: action(func(ctx context.Context) error { return runSpec(ctx, s, o) }),
	}
}

func runSpec(ctx context.Context, s *session, o specOptions) error {
	w := wants{what: "profile", min: 1, max: 1}
	if o.facts != "" {
		w.min = 0
	}
	names, err := s.names(w, true)
	if err != nil {
		return err
	}
	if s.line.dashes {
		o.over.command = s.line.rest
	}
	ord := order{over: o.over, pull: "never", locked: o.locked}
	if len(names) > 0 {
		ord.name = names[0]
	}
	_, pl, err := s.planned(ctx, ord, o.facts)
	var refused *plan.Refused
	switch {
	case o.full && (err == nil || errors.As(err, &refused) && pl.Spec != nil):
		if err := writeIndented(s.stdout, pl); err != nil {
			return err
		}
	case err == nil:
		s.warn(pl.Findings)
		return writeIndented(s.stdout, pl.Spec)
	}
	return err
}

// recorded reads the facts that hostrun facts NAME printed, and applies the command line to their profile.
func (s *session) recorded(file string, o order) (plan.Facts, error) {
	var facts plan.Facts
	text, err := s.readFile(file)
	if err != nil {
		return facts, err
	}
	var kind struct {
		Schema  int             `json:"schema"`
		Profile json.RawMessage `json:"profile"`
	}
	if err := json.Unmarshal(text, &kind); err != nil {
		return facts, notFacts(file, fmt.Sprintf("it is no JSON object: %v", err))
	}
	if kind.Profile == nil {
		return facts, notFacts(file, "they are of a machine alone, without profile and image")
	}
	if kind.Schema != 1 {
		return facts, notFacts(file, fmt.Sprintf("their schema is %d, and this version reads 1", kind.Schema))
	}
	if err := json.Unmarshal(text, &facts); err != nil {
		return facts, notFacts(file, err.Error())
	}
	if have := facts.Profile.Name; o.name != "" && containerName(o.name) != have {
		return facts, finding.Errorf(finding.StatusUsage, "record the other one: hostrun facts "+o.name, "%s: the facts are those of profile %s, not %s", file, have, o.name)
	}
	return facts, o.over.apply(s, &facts.Profile)
}

func notFacts(file, why string) error {
	return finding.Errorf(finding.StatusProfile, "record them with: hostrun facts NAME > FILE", "read facts from %s: %s", file, why)
}

// readFile reads a file of the command line; "-" is stdin.
func (s *session) readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(s.stdin)
	}
	text, err := os.ReadFile(s.abs(name))
	return text, fileError("read", name, err)
}

// fileError gives an error of a file of the command line its exit status.
func fileError(doing, name string, err error) error {
	var cause *fs.PathError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &cause):
		err = cause.Err
	}
	status := finding.StatusFailed
	switch {
	case errors.Is(err, fs.ErrNotExist):
		status = finding.StatusNoPath
	case errors.Is(err, fs.ErrPermission):
		status = finding.StatusPermission
	}
	return finding.Errorf(status, "", "%s %s: %w", doing, name, err)
}
