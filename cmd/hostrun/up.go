package main

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

type upOptions struct {
	over                                  overrides
	attach, wait, recreate, dryly, strict bool
	devices                               waitFlag
}

func upCommand(s *session) *cli.Command {
	var o upOptions
	return &cli.Command{
		Name: "up", Category: "containers", Usage: "check, create and start the containers of profiles", ArgsUsage: "NAME... [-- ARGS...]",
		Description: page{
			about: "Proves that host and image fit, then creates and starts the container, detached. Nothing happens if the same specification " +
				"already runs. If it differs, the container is replaced and the fields that changed are printed. Several names start side by side.\n\n" +
				"ARGS replace the profile's command.",
			examples: []string{"hostrun up dinov2", "hostrun up dinov2 --dry-run", "hostrun up --attach dinov2 -e BATCH=8   # ^C stops it, twice kills it"},
			own:      "With --attach the status is the container's own, or one of 125 to 130 below.",
			statuses: append(append([]int{}, startStatuses[:len(startStatuses)-1]...), foregroundStatuses[1:]...),
		}.on(s),
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "attach", Usage: "follow the output until the container ends; its status becomes ours", Destination: &o.attach},
			&cli.BoolFlag{Name: "wait", Usage: "return when the containers run, and fail if one has ended", Destination: &o.wait},
			&cli.BoolFlag{Name: "force-recreate", Usage: "replace the container even if nothing changed", Destination: &o.recreate},
			strictFlag(&o.strict),
			waitDeviceFlag(&o.devices),
			&cli.BoolFlag{Name: "dry-run", Usage: "say what would be done, and do nothing", Destination: &o.dryly},
		}, o.over.flags()...),
		Action: action(func(ctx context.Context) error { return runUp(ctx, s, o) }),
	}
}

func runUp(ctx context.Context, s *session, o upOptions) error {
	names, err := s.names(wants{what: "profile", min: 1}, true)
	switch {
	case err != nil:
		return err
	case len(names) > 1 && o.attach:
		return finding.Errorf(finding.StatusUsage, "hostrun up starts them all; hostrun logs -f NAME follows one", "hostrun up --attach takes one name, not %d", len(names))
	case len(names) > 1 && s.line.dashes:
		return finding.Errorf(finding.StatusUsage, "", "hostrun up takes one name with ARGS, not %d", len(names))
	}
	if s.line.dashes {
		o.over.command = s.line.rest
	}
	switch {
	case o.dryly:
		return each(names, func(name string) error { return dryUp(ctx, s, o, name) })
	case o.attach:
		return attachedUp(ctx, s, o, names[0])
	}
	return each(names, func(name string) error {
		_, err := oneUp(ctx, s, o, name)
		return err
	})
}

// oneUp starts one profile and prints what was done.
func oneUp(ctx context.Context, s *session, o upOptions, name string) (plan.Plan, error) {
	layer := s.headStart(ctx)
	defer layer.end()
	facts, pl, err := s.assemble(ctx, order{name: name, over: o.over, strict: o.strict, starts: true, wait: o.devices.wait, layer: layer})
	defer s.unreserve(facts)
	if err != nil {
		return pl, err
	}
	s.warn(pl.Findings)
	client, err := s.containerdFor(ctx, pl.ID)
	if err != nil {
		return pl, err
	}
	if runtime.NeedsSupervisor(pl.Labels) {
		pl.Source = s.sourceOf(facts)
	}
	done, err := client.Up(ctx, pl, o.recreate)
	if err == nil && runtime.NeedsSupervisor(pl.Labels) {
		err = s.supervised(ctx, client, pl.ID)
	}
	if err != nil {
		return pl, err
	}
	s.printUp(done, plan.DeviceNumbers(facts.Grants))
	if o.wait {
		return pl, stillRuns(ctx, client, done.ID)
	}
	return pl, nil
}

func (s *session) printUp(done runtime.UpResult, numbers []plan.DeviceNumber) {
	if s.global.quiet {
		return
	}
	s.progress.pause()
	fmt.Fprintf(s.stdout, "%s %s\n", done.ID, done.Action)
	for _, change := range done.Changed {
		fmt.Fprintf(s.stdout, "  %s\n", change)
	}
	if done.Action != "unchanged" {
		for _, n := range numbers {
			fmt.Fprintf(s.stdout, "  %s\n", n)
		}
	}
}

// settleTime is how long --wait watches a container that has no health check: an import error shows within it.
const settleTime = 500 * time.Millisecond

func stillRuns(ctx context.Context, client *runtime.Client, id string) error {
	select {
	case <-time.After(settleTime):
	case <-ctx.Done():
		return ctx.Err()
	}
	all, err := existing(ctx, client)
	if err != nil {
		return err
	}
	c := all[id]
	if c.Status == "running" {
		return nil
	}
	status := ""
	if c.ExitStatus != nil {
		status = fmt.Sprintf(" with status %d", *c.ExitStatus)
	}
	return finding.Errorf(finding.StatusFailed, "hostrun logs "+id+" shows why", "container %s has ended%s", id, status)
}

// attachedUp starts one profile and stays with it. From the start on, signals are the container's.
func attachedUp(ctx context.Context, s *session, o upOptions, name string) error {
	pl, err := oneUp(ctx, s, o, name)
	if err != nil {
		return beforeStart(err)
	}
	client, err := s.containerdFor(ctx, pl.ID)
	if err != nil {
		return beforeStart(err)
	}
	s.progress.end()
	signals, release := s.signals.foreground(pl.StopSignal, seconds(pl.StopSeconds))
	defer release()
	status, err := client.Attach(ctx, pl.ID, runtime.IO{Stdout: s.stdout, Stderr: s.stderr}, signals)
	return s.inForeground(status, err)
}

// dryUp says what up would do, from containerd's records and the plan alone.
func dryUp(ctx context.Context, s *session, o upOptions, name string) error {
	_, pl, err := s.assemble(ctx, order{name: name, over: o.over, pull: "never", strict: o.strict})
	if err != nil {
		return err
	}
	s.warn(pl.Findings)
	client, err := s.containerdFor(ctx, pl.ID)
	if err != nil {
		return err
	}
	all, err := existing(ctx, client)
	if err != nil {
		return err
	}
	have, exists := all[pl.ID]
	fmt.Fprintf(s.stdout, "%s would be %s\n", pl.ID, dryAction(have, exists, pl.Hash, planHash(ctx, client, pl.ID, exists), o.recreate))
	return nil
}

func dryAction(have runtime.Container, exists bool, want, got string, recreate bool) string {
	switch {
	case !exists:
		return "created"
	case recreate || want != got:
		return "replaced"
	case have.Status == "running":
		return "left unchanged"
	}
	return "started"
}

// planHash returns the hash of the plan that the container was made from.
func planHash(ctx context.Context, client *runtime.Client, id string, exists bool) string {
	if !exists {
		return ""
	}
	known, err := client.InspectContainer(ctx, id)
	if err != nil {
		return ""
	}
	record, _ := known.(runtime.Inspection)
	return record.Labels["hostrun.dev/plan-sha256"]
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
