package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// A candidate is one word that may stand where the cursor is.
type candidate struct{ word, about string }

// fileCandidates tells the shell to complete names of files itself.
const fileCandidates = ":files"

// completionPatience is how long a person who pressed Tab waits for containerd.
const completionPatience = 500 * time.Millisecond

const completeVerb = "__complete"

// completeCommand is asked by the shells' scripts: hostrun __complete -- WORDS... prints what the last word may become,
// one a line, with a tab and what it is.
func completeCommand(s *session) *cli.Command {
	return &cli.Command{
		Name: completeVerb, Hidden: true,
		Action: action(func(ctx context.Context) error { return runComplete(ctx, s, s.line.rest) }),
	}
}

func runComplete(ctx context.Context, s *session, words []string) error {
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	for _, c := range s.candidates(ctx, words[:len(words)-1], last) {
		if strings.HasPrefix(c.word, last) || c.word == fileCandidates {
			fmt.Fprintln(s.stdout, strings.TrimRight(c.word+"\t"+c.about, "\t"))
		}
	}
	return nil
}

// candidates returns what may follow the words before. Words that are wrong have no continuation.
func (s *session) candidates(ctx context.Context, before []string, last string) []candidate {
	if slices.Contains(before, "--") {
		return nil // the container's words
	}
	line, err := arrange(s.app, before)
	if err != nil {
		return s.valueCandidates(before)
	}
	flags := visibleFlags(s.app.Flags)
	verb := line.verb()
	switch {
	case strings.HasPrefix(last, "-") && verb != nil:
		return flagCandidates(append(visibleFlags(verb.Flags), flags...))
	case strings.HasPrefix(last, "-"):
		return flagCandidates(flags)
	case verb == nil:
		return commandCandidates(s.app.Commands)
	case len(verb.Subcommands) > 0 && len(line.names) == 0:
		return commandCandidates(verb.Subcommands)
	}
	s.takeGlobals(line)
	return without(s.nameCandidates(ctx, verb.Name), line.names)
}

// takeGlobals lets completion look where the line would: --profile-dir, --address, --namespace.
func (s *session) takeGlobals(line commandLine) {
	for _, word := range line.global {
		name, value, _ := strings.Cut(word[2:], "=")
		switch name {
		case "profile-dir":
			_ = s.global.profileDirs.Set(value) // it refuses nothing
		case "address":
			s.global.address = value
		case "engine":
			s.global.engine = value
		case "namespace":
			s.global.namespace = value
		}
	}
}

// nameCandidates returns what a verb's names may be.
func (s *session) nameCandidates(ctx context.Context, verb string) []candidate {
	ctx, cancel := context.WithTimeout(ctx, completionPatience)
	defer cancel()
	switch verb {
	case "up", "diff", "run", "check", "lock", "where", "spec", "facts", "cdi", "install", "uninstall", "print":
		return s.profileCandidates()
	case "down", "stop", "start", "restart", "kill", "rm", "wait", "exec", "shell", "logs", "events", "inspect", "port", "pause", "unpause", "top", "attach":
		return s.containerCandidates(ctx)
	case "save", "rmi":
		return s.imageCandidates(ctx)
	case "devices":
		var all []candidate
		for _, kind := range s.equipment(nil).kinds() {
			all = append(all, candidate{kind, ""})
		}
		return all
	case "compose":
		return []candidate{{fileCandidates, ""}}
	case "explain":
		var all []candidate
		for _, e := range finding.Known() {
			all = append(all, candidate{e.ID, e.Title})
		}
		return all
	case "completion":
		return []candidate{{"bash", ""}, {"zsh", ""}, {"fish", ""}}
	case "help":
		return commandCandidates(s.app.Commands)
	case "cp":
		all := []candidate{{fileCandidates, ""}}
		for _, c := range s.containerCandidates(ctx) {
			all = append(all, candidate{c.word + ":", c.about})
		}
		return all
	case "load":
		return []candidate{{fileCandidates, ""}}
	}
	return nil
}

func (s *session) profileCandidates() []candidate {
	all, err := profiles.List(s.profileOptions())
	if err != nil {
		return nil
	}
	var names []candidate
	for _, e := range all {
		if !e.Hidden {
			names = append(names, candidate{e.Name, e.File})
		}
	}
	return names
}

func (s *session) containerCandidates(ctx context.Context) []candidate {
	all, _ := listAll(ctx, s.present(ctx).there) // nobody starts a daemon by pressing Tab
	var names []candidate
	for _, c := range all {
		names = append(names, candidate{c.Container.Container, c.Status})
	}
	return names
}

func (s *session) imageCandidates(ctx context.Context) []candidate {
	there := s.present(ctx).there
	if len(there) == 0 {
		return nil
	}
	all, err := there[0].client.Images(ctx)
	if err != nil {
		return nil
	}
	var names []candidate
	for _, i := range all {
		names = append(names, candidate{familiar(i.Name), size(i.Size)})
	}
	return names
}

// valueCandidates completes the value of a flag that is the last word before the cursor.
func (s *session) valueCandidates(before []string) []candidate {
	word := before[len(before)-1]
	line, err := arrange(s.app, before[:len(before)-1])
	if err != nil || !strings.HasPrefix(word, "-") {
		return nil
	}
	flag, _ := line.find(s.app, strings.TrimLeft(word, "-"))
	if flag == nil {
		return nil
	}
	values := placeholder(flag)
	if !strings.Contains(values, "|") {
		return []candidate{{fileCandidates, ""}}
	}
	var choices []candidate
	for value := range strings.SplitSeq(values, "|") {
		if value == strings.ToLower(value) { // an upper case word stands for something
			choices = append(choices, candidate{value, ""})
		}
	}
	return choices
}

func commandCandidates(commands []*cli.Command) []candidate {
	var all []candidate
	for _, command := range commands {
		if !command.Hidden {
			all = append(all, candidate{command.Name, command.Usage})
		}
	}
	return all
}

func flagCandidates(flags []cli.Flag) []candidate {
	all := []candidate{{"--help", "show the page of the verb"}}
	for _, flag := range flags {
		for _, name := range flag.Names() {
			if len(name) > 1 {
				all = append(all, candidate{"--" + name, flagAbout(flag)})
			}
		}
	}
	return all
}

func without(all []candidate, used []string) []candidate {
	return slices.DeleteFunc(all, func(c candidate) bool { return slices.Contains(used, c.word) })
}
