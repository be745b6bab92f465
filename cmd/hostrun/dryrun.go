package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"
)

// dryPrefix begins each line of what a command would do, as in compose.
const dryPrefix = "DRY-RUN MODE - "

func dryFlag(destination *bool) cli.Flag {
	return &cli.BoolFlag{Name: "dry-run", Usage: "say what would be done, and do nothing", Destination: destination}
}

func (s *session) drySay(format string, args ...any) {
	s.progress.pause()
	fmt.Fprintf(s.stdout, dryPrefix+format+"\n", args...)
}

// dryEnd says what would become of each of the chosen containers, in the order in which they would be ended. words are for one that
// runs, and for one that does not.
func (s *session) dryEnd(ctx context.Context, chosen []resident, running, ended string) error {
	all, err := s.list(ctx)
	if err != nil && len(all) == 0 {
		return err
	}
	for _, name := range inOrderOf(chosen, s.dependents(ctx, chosen)) {
		i := slices.IndexFunc(all, func(c listed) bool { return c.Container.Container == name })
		switch {
		case i < 0:
			s.drySay("%s is not there: nothing to do", name)
		case all[i].lives():
			s.drySay("%s would be %s", name, running)
		case ended == "":
			s.drySay("%s does not run: nothing to do", name)
		default:
			s.drySay("%s would be %s", name, ended)
		}
	}
	return err
}

// inOrderOf lists names so that each comes after those that have to be ended before it.
func inOrderOf(chosen []resident, before map[string][]string) []string {
	var order []string
	var visit func(name string)
	visit = func(name string) {
		if slices.Contains(order, name) {
			return
		}
		for _, first := range before[name] { // no circle: dependentsOf leaves out what closes one
			visit(first)
		}
		order = append(order, name)
	}
	for _, r := range chosen {
		visit(r.name)
	}
	return order
}
