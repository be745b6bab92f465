package main

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
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
			about: "Compares each container with what hostrun up would start now: the profile's keys, the image's digest, the driver's version, the host's Python, packages and CUDA, the devices, the contents of secrets and configs, and every field of the specification, with where the new value comes from. " +
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
	facts, pl, err := s.assemble(ctx, m.order(order{over: o.over, pull: "never", reads: true, unit: whose}))
	if err != nil {
		return diffResult{}, err
	}
	client, err := s.containerdFor(ctx, pl.ID)
	if err != nil {
		return diffResult{}, err
	}
	pl.MadeOf = madeOf(facts, pl)
	found, err := client.Compare(ctx, pl)
	if err != nil {
		return diffResult{}, err
	}
	changes := changesOf(found, facts, pl)
	if found.Action != "replaced" { // other keys that make no other container: the next up leaves it as it is, too
		changes = slices.DeleteFunc(changes, func(c plan.Change) bool { return c.What == "profile" })
	}
	return diffResult{Schema: 1, Profile: pl.Profile, Container: pl.ID, Action: found.Action, Changes: changes}, nil
}

// changesOf are what the container was made of and now would be, and then the fields of its specification.
func changesOf(found runtime.Comparison, facts plan.Facts, pl plan.Plan) []plan.Change {
	all := []plan.Change{}
	var was plan.Made
	if len(found.MadeOf) > 0 && json.Unmarshal(found.MadeOf, &was) == nil {
		all = append(all, plan.MadeOf(facts, pl).Since(was, facts.Profile.Lines)...)
	}
	told := len(all) > 0 && slices.ContainsFunc(all, func(c plan.Change) bool { return c.What == "profile" })
	for _, line := range plan.Words(found.Changed, pl) {
		if told && (line == plan.GeneratedFiles || strings.HasPrefix(line, "the annotation "+plan.LabelPrefix)) { // what the profile's keys have become
			continue
		}
		if slices.ContainsFunc(all, func(c plan.Change) bool { return c.Text == line }) {
			continue
		}
		c := plan.Change{What: "container", Text: line}
		field, values, _ := strings.Cut(line, ": ")
		c.Field = field
		if was, is, both := strings.Cut(values, " -> "); both {
			c.Was, c.Is = was, is
		} else {
			c.Is = values
		}
		all = append(all, c)
	}
	return all
}

// whyReplaced is what up says of a container that it has replaced: keys of the profile, what of the machine is another one, and the
// fields of the specification with the profile's lines; a key that such a line tells of is not told twice.
func whyReplaced(done runtime.UpResult, facts plan.Facts, pl plan.Plan) []string {
	var lines []string
	all := changesOf(runtime.Comparison{Changed: done.Changed, MadeOf: done.MadeOf}, facts, pl)
	for _, c := range all {
		if c.What == "profile" && shownBy(all, c) || c.What == "device" {
			continue
		}
		lines = append(lines, c.Text)
	}
	return lines
}

// shownBy says whether another line tells what a key of the profile has become: by its line, as what the variable is now, or as the image.
func shownBy(all []plan.Change, key plan.Change) bool {
	at := "(profile " + filepath.Base(key.Where) + ")"
	variable, _, _ := strings.Cut(strings.TrimPrefix(key.Field, "environment["), "]")
	return slices.ContainsFunc(all, func(c plan.Change) bool {
		switch c.What {
		case "container":
			return key.Where != "" && strings.HasSuffix(c.Text, at) || strings.HasPrefix(c.Field, "the variable ") && c.Field == "the variable "+variable
		case "image":
			return key.Field == "image"
		}
		return false
	})
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
