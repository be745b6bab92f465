package main

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

type gcOptions struct {
	all, stopped, dryRun, yes bool
	olderThan, format         string
}

func gcCommand(s *session) *cli.Command {
	var o gcOptions
	return &cli.Command{
		Name: "gc", Category: "images", Usage: "remove what is hostrun's and not needed any more",
		Description: page{
			about: "Removes images of the namespace that no container is made of and that were brought more than 30 days ago, cache entries that nobody has read for as long, and what killed processes have left of containers that are gone: " +
				"snapshots, logs and generated files, mounts, networks with their addresses and ports. It prints what, and how much room it took.\n\n" +
				"What lives, what another command is about to use, stopped containers, named volumes and whatever belongs to other programs stays; in a namespace that others use too, so do all images.",
			examples: []string{"hostrun gc --dry-run", "hostrun gc --older-than 7d", "hostrun gc --all --stopped -y"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "print what would be removed, and remove nothing", Destination: &o.dryRun},
			&cli.StringFlag{Name: "older-than", Usage: "take images and cache entries of more than `TIME`: 36h, 7d, 2w", Value: "30d", Destination: &o.olderThan},
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "take every image without a container, however new", Destination: &o.all},
			&cli.BoolFlag{Name: "stopped", Usage: "take containers, too, that have ended more than that TIME ago", Destination: &o.stopped},
			yesFlag(&o.yes),
			formatFlag(&o.format),
		},
		Action: action(func(ctx context.Context) error { return runGC(ctx, s, o) }),
	}
}

// span reads a duration that may be counted in days and weeks.
func span(flag, text string) (time.Duration, error) {
	for unit, hours := range map[string]float64{"d": 24, "w": 168} {
		if number, ok := strings.CutSuffix(text, unit); ok {
			if n, err := strconv.ParseFloat(number, 64); err == nil && n >= 0 && n < 1e5 {
				return time.Duration(n * hours * float64(time.Hour)), nil
			}
		}
	}
	d, err := time.ParseDuration(text)
	if text == "0" {
		d, err = 0, nil
	}
	if err != nil || d < 0 {
		return 0, finding.Errorf(finding.StatusUsage, "write 36h, 7d or 2w", "flag --%s: %q is no duration", flag, text)
	}
	return d, nil
}

// A heap is garbage with the containerd that it belongs to.
type heap struct {
	runtime.Garbage
	client *runtime.Client
}

func runGC(ctx context.Context, s *session, o gcOptions) error {
	if err := s.none(); err != nil {
		return err
	}
	older, err := span("older-than", o.olderThan)
	if err != nil {
		return err
	}
	clients, others, err := s.collectors(ctx)
	if err != nil {
		return err
	}
	found, trouble := findGarbage(ctx, clients, others, runtime.GCOptions{OlderThan: older, AllImages: o.all, Stopped: o.stopped, Now: time.Now()})
	if trouble != nil && len(found) == 0 {
		return trouble
	}
	if o.dryRun || len(found) == 0 {
		err := show(s.stdout, o.format, found, garbageTable(time.Now()))
		s.tellRoom("would be freed", found)
		return severally([]error{err, trouble})
	}
	if !o.yes && isTerminal(s.stdin) {
		_ = show(s.stderr, "table", found, garbageTable(time.Now())) // the question says it again
	}
	if err := s.confirmed(o.yes, "remove %s (%s)?", counted(len(found), "thing"), units.HumanSize(float64(room(found)))); err != nil {
		return err
	}
	removed, failed := collect(ctx, s, found)
	for _, client := range clients {
		failed = append(failed, client.Settle(ctx))
	}
	failed = append(failed, show(s.stdout, o.format, removed, garbageTable(time.Now())), trouble)
	s.tellRoom("freed", removed)
	return severally(failed)
}

func collect(ctx context.Context, s *session, found []heap) (removed []heap, failed []error) {
	for _, g := range found {
		if ctx.Err() != nil {
			return removed, append(failed, context.Cause(ctx))
		}
		switch err := g.client.Collect(ctx, g.Garbage); {
		case err == nil:
			removed = append(removed, g)
		case errors.Is(err, runtime.ErrStillUsed):
			s.note("%s %s stays: %v", g.Kind, g.Name, err)
		default:
			failed = append(failed, err)
		}
	}
	return removed, failed
}

func room(all []heap) (size int64) {
	for _, g := range all {
		size += g.Size
	}
	return size
}

func (s *session) tellRoom(what string, all []heap) {
	s.note("%s %s: %s", units.HumanSize(float64(room(all))), what, counted(len(all), "thing"))
}

// others are the containerds that files on the host may belong to a container of.
type others struct {
	of    func(*runtime.Client) func(string) bool // runtime.GCOptions.Elsewhere, for the garbage of one
	asked []string
}

// collectors are the containerds to clean up, and those that are asked as well.
func (s *session) collectors(ctx context.Context) (clients []*runtime.Client, all others, err error) {
	p := s.present(ctx)
	for _, there := range p.there {
		clients = append(clients, there.client)
	}
	if p.sleeping {
		private, err := s.startPrivate(ctx)
		if err == nil {
			clients = append(clients, private)
		} else if p.trouble == nil {
			p.trouble = err
		}
	}
	if len(clients) == 0 && p.trouble != nil {
		return nil, all, p.trouble
	}
	witnesses, trouble := s.witnesses(ctx, clients)
	if trouble == nil {
		trouble = p.trouble
	}
	if trouble != nil {
		s.note("files of containers that are gone are not looked for: %v", trouble)
	}
	for _, w := range witnesses {
		all.asked = append(all.asked, w.Address())
	}
	all.of = func(self *runtime.Client) func(string) bool {
		if trouble != nil {
			return nil
		}
		return func(id string) bool {
			return slices.ContainsFunc(witnesses, func(other *runtime.Client) bool {
				if other == self {
					return false
				}
				has, err := holds(ctx, other, id)
				return has || err != nil
			})
		}
	}
	return clients, all, nil
}

// witnesses are all containerds of the machine that may have containers of hostrun, also where --address or --engine means one.
func (s *session) witnesses(ctx context.Context, clients []*runtime.Client) ([]*runtime.Client, error) {
	all := slices.Clone(clients)
	for _, kind := range []engineKind{systemEngine, privateEngine} {
		if slices.Contains(s.kinds(), kind) {
			continue
		}
		switch o := s.reach(ctx, kind); {
		case o.standing == usable:
			all = append(all, o.client)
		case o.standing != absent:
			return nil, o.err
		case kind == privateEngine && s.everRan():
			return nil, errors.New("hostrun's own containerd does not run, and may have containers")
		}
	}
	return all, nil
}

func findGarbage(ctx context.Context, clients []*runtime.Client, all others, o runtime.GCOptions) (heaps []heap, err error) {
	var failed []error
	seen := map[string]bool{} // directories and the cache are all containerds'
	for _, client := range clients {
		o.Elsewhere, o.Asked = all.of(client), all.asked
		found, err := client.Garbage(ctx, o)
		if err != nil {
			failed = append(failed, err)
		}
		for _, g := range found {
			shared := g.Kind == runtime.GarbageFiles || g.Kind == runtime.GarbageCache || g.Kind == runtime.GarbageMount
			if shared && seen[g.Kind+g.Name] {
				continue
			}
			seen[g.Kind+g.Name] = true
			heaps = append(heaps, heap{g, client})
		}
	}
	return heaps, severally(failed)
}

func garbageTable(now time.Time) table[heap] {
	return table[heap]{
		header: []string{"KIND", "NAME", "SIZE", "LAST USED", "WHY"},
		cells: func(g heap) []string {
			since := "-"
			if g.Since != nil {
				since = ago(now.Sub(*g.Since))
			}
			name := g.Name
			if g.Kind == runtime.GarbageImage {
				name = familiar(name)
			}
			return []string{g.Kind, name, size(g.Size), since, g.Why}
		},
	}
}
