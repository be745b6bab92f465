package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
)

type explainOptions struct{ format string }

func explainCommand(s *session) *cli.Command {
	var o explainOptions
	return &cli.Command{
		Name: "explain", Category: "prove", Usage: "tell the story behind a finding", ArgsUsage: "[ID...]",
		Description: page{
			about:    "Tells what would happen without the check, why, and the ways out. Without an ID it lists all of them.",
			examples: []string{"hostrun explain HR012", "hostrun explain"},
			statuses: []int{0, finding.StatusUsage},
		}.on(s),
		Flags:  []cli.Flag{formatFlag(&o.format)},
		Action: action(func(context.Context) error { return runExplain(s, o) }),
	}
}

func runExplain(s *session, o explainOptions) error {
	words, err := s.names(wants{what: "finding"}, false)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return show(s.stdout, o.format, finding.Known(), table[finding.Entry]{
			header: []string{"ID", "STATUS", "FINDING"},
			cells:  func(e finding.Entry) []string { return []string{e.ID, fmt.Sprint(e.ExitStatus), e.Title} },
		})
	}
	var entries []finding.Entry
	for _, word := range words {
		entry, err := entryOf(word)
		if err != nil {
			return err
		}
		entries = append(entries, entry)
	}
	if o.format != "table" {
		return show(s.stdout, o.format, entries, table[finding.Entry]{})
	}
	for i, e := range entries {
		if i > 0 {
			fmt.Fprintln(s.stdout)
		}
		fmt.Fprintf(s.stdout, "%s: %s (exit status %d)\n\n%s", e.ID, e.Title, e.ExitStatus, wrap(e.Story, "", pageWidth))
	}
	return nil
}

// entryOf finds the story of HR012, hr012, 012 or 12.
func entryOf(word string) (finding.Entry, error) {
	id := strings.ToUpper(word)
	if digits := strings.TrimPrefix(id, "HR"); len(digits) < 3 || !strings.HasPrefix(id, "HR") {
		id = "HR" + strings.Repeat("0", max(0, 3-len(digits))) + digits
	}
	var known []string
	for _, entry := range finding.Known() {
		if entry.ID == id {
			return entry, nil
		}
		known = append(known, entry.ID)
	}
	hint := "hostrun explain lists them"
	if near := finding.Nearest(id, known, 3); len(near) > 0 {
		hint = "near it: " + strings.Join(near, ", ") + "; " + hint
	}
	return finding.Entry{}, finding.Errorf(finding.StatusUsage, hint, "no finding is called %q", word)
}
