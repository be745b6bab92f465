package main

import (
	"context"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

type profilesOptions struct {
	all    bool
	format string
}

// flags are those of profiles and of profiles list, which are one.
func (o *profilesOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "show those that one of the same name hides, too", Destination: &o.all},
		formatFlag(&o.format),
	}
}

var profilesPage = page{
	about: "Lists the profiles that can be named, and where each comes from. They are searched in the directories of --profile-dir, ./profiles, " +
		"$XDG_CONFIG_HOME/hostrun/profiles, /etc/hostrun/profiles, and among the built-in ones; the first hit wins.",
	examples: []string{"hostrun profiles", "hostrun profiles init train", "hostrun profiles schema > profile.schema.json"},
	statuses: []int{0, finding.StatusFailed, finding.StatusUsage},
}

func profilesCommand(s *session) *cli.Command {
	list := profilesListCommand(s)
	return &cli.Command{
		Name: "profiles", Category: "prove", Usage: "list profiles, write one, print the schema", ArgsUsage: "[list | init | schema]",
		Description: profilesPage.on(s),
		Subcommands: []*cli.Command{list, profilesInitCommand(s), profilesSchemaCommand(s)},
		Flags:       list.Flags,
		Action:      list.Action,
	}
}

func profilesListCommand(s *session) *cli.Command {
	var o profilesOptions
	return &cli.Command{
		Name: "list", Usage: "list profiles and where each comes from",
		Description: profilesPage.on(s),
		Flags:       o.flags(),
		Action:      action(func(ctx context.Context) error { return runProfiles(s, o) }),
	}
}

func runProfiles(s *session, o profilesOptions) error {
	if names := s.line.names; len(names) > 0 {
		return finding.Errorf(finding.StatusUsage, "hostrun profiles --help", "hostrun profiles has no subcommand %q", names[0])
	}
	all, err := profiles.List(s.profileOptions())
	if err != nil {
		return err
	}
	var shown []profileLine
	for _, e := range all {
		if !e.Hidden || o.all {
			shown = append(shown, profileLine{1, e})
		}
	}
	return show(s.stdout, o.format, shown, table[profileLine]{
		header: []string{"PROFILE", "FILE"},
		cells: func(p profileLine) []string {
			if p.Hidden {
				return []string{p.Name, p.File + " (hidden)"}
			}
			return []string{p.Name, p.File}
		},
	})
}

// A profileLine is one object of profiles --format json.
type profileLine struct {
	Schema int `json:"schema"`
	profiles.Entry
}

func profilesSchemaCommand(s *session) *cli.Command {
	var stack bool
	return &cli.Command{
		Name: "schema", Usage: "print the JSON Schema of a profile, for editors",
		Description: page{
			about: "Prints the JSON Schema (draft 2020-12) of a profile. An editor with the YAML language server completes and checks keys with this first line:\n\n" +
				"  # yaml-language-server: $schema=./profile.schema.json",
			examples: []string{"hostrun profiles schema > profiles/profile.schema.json"},
			statuses: []int{0, finding.StatusUsage},
		}.on(s),
		Flags: []cli.Flag{&cli.BoolFlag{Name: "stack", Usage: "that of a file with several profiles", Destination: &stack}},
		Action: action(func(context.Context) error {
			if err := s.none(); err != nil {
				return err
			}
			text := profiles.Schema()
			if stack {
				text = profiles.StackSchema()
			}
			_, err := s.stdout.Write(text)
			return err
		}),
	}
}
