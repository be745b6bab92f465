package main

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

// wants is how many names a verb takes.
type wants struct {
	what     string // "profile", "container", "image"
	min, max int    // max 0: any number
}

// names returns the words before "--", if their number is right. A verb that takes no ARGS refuses "--" with words.
func (s *session) names(w wants, args bool) ([]string, error) {
	names := s.line.names
	title := s.line.title()
	switch {
	case len(s.line.rest) > 0 && !args:
		return nil, finding.Errorf(finding.StatusUsage, title+" --help", "%s takes no arguments after --", title)
	case len(names) < w.min:
		hint := w.hint()
		if file := s.composeHere(); file != "" && w.what != "image" {
			hint = "hostrun import compose makes a stack of " + file + ", which is here"
		}
		return nil, finding.Errorf(finding.StatusUsage, hint, "%s needs the name of %s %s", title, article(w.what), w.what)
	case w.max > 0 && len(names) > w.max && args:
		return nil, finding.Errorf(finding.StatusUsage, fmt.Sprintf("%s %s -- %s", title, names[0], strings.Join(names[w.max:], " ")),
			"%s takes one name; what the container is to run comes after --", title)
	case w.max > 0 && len(names) > w.max:
		return nil, finding.Errorf(finding.StatusUsage, title+" --help", "%s takes %d name, not %d: %s", title, w.max, len(names), strings.Join(names, " "))
	}
	return names, nil
}

// none refuses names where a verb takes none.
func (s *session) none() error {
	if len(s.line.names)+len(s.line.rest) == 0 {
		return nil
	}
	return finding.Errorf(finding.StatusUsage, s.line.title()+" --help", "%s takes no names, and %q is one", s.line.title(), append(s.line.names, s.line.rest...)[0])
}

func (w wants) hint() string {
	switch w.what {
	case "profile":
		return "hostrun profiles lists them"
	case "container":
		return "hostrun ps -a lists them"
	case "image":
		return "hostrun images lists those that are here"
	}
	return ""
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an"
	}
	return "a"
}

// each calls fn for every name at the same time, and returns the errors in the names' order.
func each(names []string, fn func(name string) error) error {
	errs := make([]error, len(names))
	var group errgroup.Group
	for i, name := range names {
		group.Go(guard(func() error { errs[i] = guard(func() error { return fn(name) })(); return nil }))
	}
	_ = group.Wait() // the errors are in errs
	return severally(errs)
}

// existing returns the namespace's containers of hostrun, by name.
func existing(ctx context.Context, client *runtime.Client) (map[string]runtime.Container, error) {
	all, err := client.List(ctx, true)
	if err != nil {
		return nil, err
	}
	byName := make(map[string]runtime.Container, len(all))
	for _, c := range all {
		byName[c.Container] = c
	}
	return byName, nil
}

// chosen returns the containers that a verb is about: those named, or all of the namespace. With all, an error may come
// beside containers: one containerd could not be asked.
func (s *session) chosen(ctx context.Context, all bool) ([]resident, error) {
	var chosen []resident
	if !all {
		words, err := s.names(wants{what: "container", min: 1}, false)
		for _, word := range words {
			of, _, err := s.meant(ctx, word)
			if err != nil {
				return nil, err
			}
			for _, r := range of {
				if !slices.ContainsFunc(chosen, func(have resident) bool { return have.name == r.name }) {
					chosen = append(chosen, r)
				}
			}
		}
		return chosen, err
	}
	if len(s.line.names) > 0 {
		return nil, finding.Errorf(finding.StatusUsage, "", "%s: give names or --all, not both", s.line.title())
	}
	list, err := s.list(ctx)
	s.noteUnseen(ctx, list)
	for _, c := range list {
		chosen = append(chosen, resident{c.Container.Container, c.client})
	}
	return chosen, err
}

// onEach calls fn for every container at the same time, with the containerd that it lives in.
func (s *session) onEach(ctx context.Context, chosen []resident, fn func(client *runtime.Client, name string) error) error {
	return s.onEachThen(ctx, chosen, fn, func(string) {})
}

// onEachThen also calls done with each name, whatever came of it.
func (s *session) onEachThen(ctx context.Context, chosen []resident, fn func(client *runtime.Client, name string) error, done func(name string)) error {
	errs := make([]error, len(chosen))
	var group errgroup.Group
	for i, r := range chosen {
		group.Go(func() error {
			defer done(r.name)
			errs[i] = guard(func() (err error) {
				if r.client == nil {
					r.client, err = s.home(ctx, r.name)
				}
				if err != nil {
					return err
				}
				return fn(r.client, r.name)
			})()
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	return severally(errs)
}

// confirmed asks before something is destroyed, if a person is there to answer.
func (s *session) confirmed(yes bool, format string, args ...any) error {
	if yes || !isTerminal(s.stdin) || !isTerminal(s.stderr) {
		return nil
	}
	fmt.Fprintf(s.stderr, format+" [y/N] ", args...)
	answer, _ := bufio.NewReader(s.stdin).ReadString('\n') // no answer is no
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return finding.Errorf(finding.StatusFailed, "-y answers yes", "nothing done: not confirmed")
}

// grace reads a number of seconds or a duration: "10", "1m30s"; "" is nil, the container's own.
func grace(flag, text string) (*time.Duration, error) {
	if text == "" {
		return nil, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		d, err = time.ParseDuration(text + "s")
	}
	if err != nil || d < 0 {
		return nil, finding.Errorf(finding.StatusUsage, "write seconds or a duration: 10, 1m30s", "flag --%s: %q is no duration", flag, text)
	}
	return &d, nil
}
