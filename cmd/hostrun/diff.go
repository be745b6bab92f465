package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

type diffOptions struct {
	over     overrides
	exitCode bool
	scale    cli.StringSlice
	format   string
}

// statusDiffers is the exit status of diff --exit-code where something differs.
const statusDiffers = 3

func diffCommand(s *session) *cli.Command {
	var o diffOptions
	return &cli.Command{
		Name: "diff", Category: "look", Usage: "tell how containers differ from what up would start now", ArgsUsage: "[NAME...]",
		Description: page{
			about: "Compares each container with what hostrun up would start now: the profile's keys, the image's digest, the driver's version, the host's Python, packages and CUDA, the devices, and every field of the specification, with where the new value comes from. " +
				"The first line says what up would do. Nothing is changed and nothing is pulled.\n\n" +
				"The host's packages are bound and not copied: a container that runs sees new ones at its next import, and up does not replace it for them.\n\n" +
				"NAME is a profile or the file of a stack; without NAME it is the stack of this directory.",
			examples: []string{"hostrun diff dinov2", "hostrun diff --exit-code dinov2 || hostrun up dinov2", "hostrun diff --format json ./stack.yaml"},
			own:      "3 with --exit-code if a container differs, is not there or does not run.",
			statuses: startStatuses,
		}.on(s),
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "exit-code", Usage: "end with status 3 if anything differs", Destination: &o.exitCode},
			&cli.StringSliceFlag{Name: "scale", Usage: "as for up: `NAME=NUMBER`", Destination: &o.scale},
			formatFlag(&o.format),
		}, o.over.flags()...),
		Action: action(func(ctx context.Context) error { return runDiff(ctx, s, o) }),
	}
}

// A diffResult is one object of diff --format json.
type diffResult struct {
	Schema    int           `json:"schema"` // 1
	Profile   string        `json:"profile"`
	Container string        `json:"container"`
	Action    string        `json:"action"` // what up would do: "created", "replaced", "started", "unchanged", "removed"
	Changes   []plan.Change `json:"changes"`
}

func runDiff(ctx context.Context, s *session, o diffOptions) error {
	s.withStackHere()
	names, err := s.names(wants{what: "profile", min: 1}, false)
	if err != nil {
		return err
	}
	scale, err := scales(o.scale)
	if err != nil {
		return err
	}
	st, err := s.stackOf(ctx, names, stackOptions{scale: scale})
	if err != nil {
		return err
	}
	var results []diffResult
	more, err := st.surplus(ctx)
	if err != nil {
		return err
	}
	for _, r := range more {
		results = append(results, diffResult{Schema: 1, Container: r.name, Action: "removed", Changes: []plan.Change{}})
	}
	err = st.inOrder(func(m *member) error {
		if !m.asked {
			return nil
		}
		one, err := diffOf(ctx, s, o, m)
		if err == nil {
			results = append(results, one)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := printDiff(s, o.format, results); err != nil {
		return err
	}
	for _, r := range results {
		if o.exitCode && (r.Action != "unchanged" || len(r.Changes) > 0) {
			return asEnded(statusDiffers)
		}
	}
	return nil
}

func diffOf(ctx context.Context, s *session, o diffOptions, m *member) (diffResult, error) {
	whose, err := s.unitOf(ctx, m.id)
	if err != nil {
		return diffResult{}, err
	}
	facts, pl, err := s.assemble(ctx, m.order(order{over: o.over, pull: "never", unit: whose}))
	if err != nil {
		return diffResult{}, err
	}
	client, err := s.containerdFor(ctx, pl.ID)
	if err != nil {
		return diffResult{}, err
	}
	found, err := client.Compare(ctx, pl)
	if err != nil {
		return diffResult{}, err
	}
	return diffResult{Schema: 1, Profile: pl.Profile, Container: pl.ID, Action: found.Action, Changes: changesOf(found, facts, pl)}, nil
}

// changesOf are what the container was made of and now would be, and then the fields of its specification.
func changesOf(found runtime.Comparison, facts plan.Facts, pl plan.Plan) []plan.Change {
	all := []plan.Change{}
	var was plan.Made
	if len(found.MadeOf) > 0 && json.Unmarshal(found.MadeOf, &was) == nil {
		all = append(all, plan.MadeOf(facts, pl).Since(was, facts.Profile.Lines)...)
	}
	for _, line := range plan.Words(found.Changed, pl) {
		if slices.ContainsFunc(all, func(c plan.Change) bool { return c.Text == line }) {
			continue
		}
		c := plan.Change{What: "container", Text: line}
		field, values, _ := strings.Cut(line, ": ")
		c.Field = field
		c.Was, c.Is, _ = strings.Cut(values, " -> ")
		all = append(all, c)
	}
	return all
}

// whyReplaced is what up says of a container that it has replaced: what of the machine is another one, and then the fields of the
// specification, with the profile's lines.
func whyReplaced(done runtime.UpResult, facts plan.Facts, pl plan.Plan) []string {
	var lines []string
	for _, c := range changesOf(runtime.Comparison{Changed: done.Changed, MadeOf: done.MadeOf}, facts, pl) {
		if c.What != "profile" && c.What != "device" {
			lines = append(lines, c.Text)
		}
	}
	return lines
}

// diffWords say what up would do.
var diffWords = map[string]string{
	"created": "it is not there: up would create it", "replaced": "up would replace it", "started": "it does not run: up would start it",
	"unchanged": "up would leave it as it is", "removed": "it is one too many: up would remove it",
}

func printDiff(s *session, format string, results []diffResult) error {
	if format != "table" {
		return show(s.stdout, format, results, table[diffResult]{})
	}
	s.progress.pause()
	for _, r := range results {
		fmt.Fprintf(s.stdout, "%s: %s\n", r.Container, diffWords[r.Action])
		for _, c := range r.Changes {
			fmt.Fprintf(s.stdout, "  %s\n", c.Text)
		}
	}
	return nil
}

// madeOf keeps with the container what diff will compare it with.
func madeOf(facts plan.Facts, pl plan.Plan) func() []byte {
	return func() []byte { return plan.MadeOf(facts, pl).JSON() }
}
