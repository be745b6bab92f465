package main

import (
	"context"
	_ "embed"
	"io"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
)

var (
	//go:embed completion/hostrun.bash
	bashCompletion string
	//go:embed completion/hostrun.zsh
	zshCompletion string
	//go:embed completion/hostrun.fish
	fishCompletion string
)

type completionOptions struct{}

func completionCommand(s *session) *cli.Command {
	var o completionOptions
	return &cli.Command{
		Name: "completion", Category: "about hostrun", Usage: "print the completion script of a shell", ArgsUsage: "bash | zsh | fish",
		Description: page{
			about:    "Prints a script that completes verbs, flags, and the names of profiles, containers and images.",
			examples: []string{"source <(hostrun completion bash)", "hostrun completion zsh > \"${fpath[1]}/_hostrun\"", "hostrun completion fish > ~/.config/fish/completions/hostrun.fish"},
			statuses: []int{0, finding.StatusUsage},
		}.on(s),
		Action: action(func(context.Context) error { return runCompletion(s, o) }),
	}
}

func runCompletion(s *session, _ completionOptions) error {
	names, err := s.names(wants{what: "shell", min: 1, max: 1}, false)
	if err != nil {
		return err
	}
	scripts := map[string]string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	script, ok := scripts[names[0]]
	if !ok {
		return finding.Errorf(finding.StatusUsage, "bash, zsh and fish are known", "no completion for shell %q", names[0])
	}
	_, err = io.WriteString(s.stdout, script)
	return err
}
