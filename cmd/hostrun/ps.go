package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/network"
	"hostrun.dev/hostrun/runtime"
)

type psOptions struct {
	all, quiet, services bool
	format               string
	filters, statuses    cli.StringSlice
}

func psCommand(s *session) *cli.Command {
	var o psOptions
	return &cli.Command{
		Name: "ps", Category: "look", Usage: "list containers", ArgsUsage: "[NAME...]",
		Description: page{
			about:    "Lists the running containers of the namespace; with -a those that have ended too. Both the machine's containerd and hostrun's own are asked; where both hold containers a column says which. NAME is a container, a profile with replicas, or the file of a stack. The fields of the JSON form are the names that a template takes. A filter is status=, health=, name=, ancestor= (the image), exited= (the exit status): several of one kind are alternatives.",
			examples: []string{"hostrun ps -a", "hostrun ps --format json", "hostrun ps --format '{{.container}} {{.pid}}'", "hostrun ps --status exited -q"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "show those that have ended, too", Destination: &o.all},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print names only", Destination: &o.quiet},
			&cli.BoolFlag{Name: "services", Usage: "print the names of the profiles only", Destination: &o.services},
			&cli.StringSliceFlag{Name: "status", Usage: "only those with `STATUS`: created|running|paused|restarting|exited", Destination: &o.statuses},
			&cli.StringSliceFlag{Name: "filter", Usage: "only those of which `KEY=VALUE` holds", Destination: &o.filters},
			formatFlag(&o.format),
			taken("no-trunc"),
		},
		Action: action(func(ctx context.Context) error { return runPs(ctx, s, o) }),
	}
}

func runPs(ctx context.Context, s *session, o psOptions) error {
	names, err := s.names(wants{what: "container"}, false)
	if err != nil {
		return err
	}
	wanted, err := readFilters(o.filters.Value(), o.statuses.Value())
	if err != nil {
		return err
	}
	all, trouble := s.list(ctx)
	if trouble != nil && len(all) == 0 {
		return trouble
	}
	if o.format == "table" && !o.quiet && !o.services {
		s.noteUnseen(ctx, all)
	}
	var chosen []resident
	if len(names) > 0 {
		if chosen, err = s.chosen(ctx, false); err != nil {
			return err
		}
	}
	for _, r := range chosen {
		if !slices.ContainsFunc(all, func(c listed) bool { return c.Container.Container == r.name }) {
			if err := s.exceptIdle(runtime.NoContainer(r.name)); err != nil {
				return err
			}
		}
	}
	all = slices.DeleteFunc(all, func(c listed) bool {
		named := len(names) == 0 || slices.ContainsFunc(chosen, func(r resident) bool { return r.name == c.Container.Container })
		return !named || !wanted.hold(c.Container) || !o.all && !wanted.ofEnded() && !c.lives()
	})
	if !o.quiet {
		s.addListedFaults(all)
	}
	err = o.print(s, all)
	if o.format == "table" && !o.quiet && !o.services {
		s.noteWaiters()
		s.noteOrphans(all)
		s.notice(all)
	}
	return severally([]error{err, trouble})
}

// noteUnseen tells of containers that run in a containerd that does not answer, which no list can show.
func (s *session) noteUnseen(ctx context.Context, known []listed) {
	for _, one := range s.unseen(ctx, known) {
		s.note("%s runs, and is not in this list: its containerd does not answer (%s)", one.name, one.address)
	}
}

// noteWaiters tells of commands that wait for devices: they have no container yet.
func (s *session) noteWaiters() {
	for _, w := range runtime.Waiters(s.abs(s.global.stateDir)) {
		s.note("%s waits for devices, for %s (process %d)", w.Container, units.HumanDuration(time.Since(w.Since)), w.PID)
	}
}

func (o psOptions) print(s *session, all []listed) error {
	if o.services {
		var told []string
		for _, c := range all {
			if !slices.Contains(told, c.Profile) {
				told = append(told, c.Profile)
				fmt.Fprintln(s.stdout, c.Profile)
			}
		}
		return nil
	}
	if o.quiet {
		for _, c := range all {
			fmt.Fprintln(s.stdout, c.Container.Container)
		}
		return nil
	}
	return show(s.stdout, o.format, all, containerTable(time.Now(), all))
}

// containerTable has a column of ports where there are some, and names the containerd of each container where there are several.
func containerTable(now time.Time, all []listed) table[listed] {
	t := table[listed]{
		header: []string{"PROFILE", "CONTAINER", "IMAGE", "STATUS", "DEVICES"},
		cells: func(c listed) []string {
			return []string{
				dash(c.Profile), c.Container.Container, shownImage(c.Container), statusWords(c.Container, now), dash(deviceList(c.Container)),
			}
		},
	}
	if slices.ContainsFunc(all, func(c listed) bool { return len(c.Ports) > 0 }) {
		t = t.with("PORTS", func(c listed) string { return dash(strings.Join(network.Words(c.Ports), ", ")) })
	}
	if slices.ContainsFunc(all, func(c listed) bool { return c.Stack != "" }) {
		t = t.with("STACK", func(c listed) string { return dash(c.Stack) })
	}
	if !slices.ContainsFunc(all, func(c listed) bool { return c.Engine != all[0].Engine }) {
		return t
	}
	return t.with("ENGINE", func(c listed) string { return string(c.Engine) })
}

func (s *session) addListedFaults(all []listed) {
	var containers []*runtime.Container
	for i := range all {
		containers = append(containers, &all[i].Container)
	}
	s.addFaults(containers...)
}

// deviceList is the devices by their numbers on the machine, and what their drivers complained of: "GPU 4,5 (Xid 79)"; their names
// where they have no numbers.
func deviceList(c runtime.Container) string {
	if len(c.Faults) > 0 {
		faults := faultWords(c.Faults)
		c.Faults = nil
		return deviceList(c) + " (" + faults + ")"
	}
	if len(c.DeviceNumbers) == 0 {
		return strings.Join(c.Devices, ",")
	}
	var words []string
	for i, n := range c.DeviceNumbers {
		word := fmt.Sprint(n.Index)
		if n.Index < 0 {
			word = n.Name
		}
		if i == 0 || c.DeviceNumbers[i-1].Kind != n.Kind {
			word = devices.Noun(n.Kind) + " " + word
		}
		words = append(words, word)
	}
	return strings.Join(words, ",")
}

// statusWords is what docker says: how long it has been up, and its health; how and when it ended, and what comes of that.
func statusWords(c runtime.Container, now time.Time) string {
	var notes []string
	text := c.Status
	switch c.Status {
	case "running", "paused":
		text = "Up"
		if c.StartedAt != nil {
			text += " " + units.HumanDuration(max(now.Sub(*c.StartedAt), 0))
		}
		if c.Health != "" {
			notes = append(notes, strings.Replace(c.Health, "starting", "health: starting", 1))
		}
		if c.Status == "paused" {
			notes = append(notes, "paused")
		}
		switch {
		case c.Lost:
			notes = append(notes, "without a record: hostrun down ends it")
		case c.GivenUp:
			notes = append(notes, "given up by containerd: hostrun restart starts it anew")
		}
	case "exited", "unknown":
		text = map[string]string{"exited": "Exited", "unknown": "Ended unseen"}[c.Status]
		if c.RestartAt != nil {
			text = "Restarting"
		}
		if c.ExitStatus != nil {
			text += fmt.Sprintf(" (%d)", *c.ExitStatus)
		}
		if c.FinishedAt != nil {
			text += " " + ago(now.Sub(*c.FinishedAt))
		}
		if c.OOMKilled {
			notes = append(notes, "out of memory")
		}
		switch {
		case c.Refused != "":
			notes = append(notes, fmt.Sprintf("not started again: %s %d", finding.RestartRefused, c.RefusedAs))
		case c.StoppedBy == "health":
			notes = append(notes, "stopped: it was unhealthy")
		}
	case "created":
		text = "Created"
	}
	for _, note := range notes {
		text += " (" + note + ")"
	}
	return text
}

func ago(d time.Duration) string { return units.HumanDuration(max(d, 0)) + " ago" }

// shownImage is imageWords, or a dash where nobody knows.
func shownImage(c runtime.Container) string {
	if c.Lost {
		return "-"
	}
	return imageWords(c.Image)
}

// imageWords is the image's name; a container without one has the host's own root.
func imageWords(ref string) string {
	if ref == "" {
		return "(host)"
	}
	return familiar(ref)
}

// familiar is a reference as docker shows it: without the defaults that it implies.
func familiar(ref string) string {
	ref = strings.TrimPrefix(ref, "docker.io/")
	return strings.TrimPrefix(ref, "library/")
}
