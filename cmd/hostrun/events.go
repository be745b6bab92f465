package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

type eventsOptions struct{ json bool }

func eventsCommand(s *session) *cli.Command {
	var o eventsOptions
	return &cli.Command{
		Name: "events", Category: "look", Usage: "print what happens to containers", ArgsUsage: "[NAME...]",
		Description: page{
			about: "Prints a line for each change of a container from now on, until ^C: create, start, die, oom, pause, unpause, destroy, health_status. " +
				"The words, and the fields of the JSON form, are those of docker compose events.",
			examples: []string{"hostrun events", "hostrun events --json dinov2"},
			statuses: containerdStatuses,
		}.on(s),
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print an object a line", Destination: &o.json}},
		Action: action(func(ctx context.Context) error { return runEvents(ctx, s, o) }),
	}
}

func runEvents(ctx context.Context, s *session, o eventsOptions) error {
	names, err := s.names(wants{what: "container"}, false)
	if err != nil {
		return err
	}
	var chosen []string
	for _, name := range names {
		if st := s.stackAt(name); st != nil && len(st.Profiles) > 0 {
			chosen = append(chosen, st.Profiles...)
			continue
		}
		chosen = append(chosen, containerName(name))
	}
	p := s.present(ctx)
	if len(p.there) == 0 {
		if p.trouble == nil {
			p.trouble = finding.Errorf(finding.StatusTryAgain, "hostrun up starts it", "follow the events: hostrun's own containerd does not run")
		}
		return p.trouble
	}
	var printing sync.Mutex
	group, ctx := errgroup.WithContext(ctx)
	for _, there := range p.there {
		group.Go(guard(func() error {
			return there.client.Happenings(ctx, func(h runtime.Happening) {
				if len(chosen) > 0 && !slices.ContainsFunc(chosen, func(name string) bool { return isReplica(h.ID, name) }) {
					return
				}
				printing.Lock()
				defer printing.Unlock()
				fmt.Fprintln(s.stdout, o.line(h))
			})
		}))
	}
	return group.Wait()
}

func (o eventsOptions) line(h runtime.Happening) string {
	if o.json {
		text, _ := json.Marshal(h) // text and times
		return string(text)
	}
	var attributes []string
	for name, value := range h.Attributes {
		attributes = append(attributes, name+"="+value)
	}
	sort.Strings(attributes)
	text := fmt.Sprintf("%s container %s %s", h.Time.Local().Format(time.RFC3339Nano), h.Action, h.ID)
	if len(attributes) > 0 {
		text += " (" + strings.Join(attributes, ", ") + ")"
	}
	return text
}
