package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

type upOptions struct {
	over                                       overrides
	attach, wait, recreate, dryly, strict, all bool
	orphans                                    bool
	scale, tags                                cli.StringSlice
	build                                      bool
	waitTimeout                                string
	devices                                    waitFlag
	supervise                                  bool
	detach, noDeps, noRecreate, noBuild        bool
	pull, timeout, policy                      string // policy is pull for what is not built
	quietPull, freshVolumes, locked            bool
	ends                                       endWith
	replica                                    int // the one that --supervise means; 0: the profile's one container
}

func upCommand(s *session) *cli.Command {
	var o upOptions
	return &cli.Command{
		Name: "up", Category: "containers", Usage: "check, create and start the containers of profiles", ArgsUsage: "[NAME...] [-- ARGS...] | --all",
		Description: page{
			about: "Proves that host and image fit, then creates and starts the container, detached. Nothing happens if the same specification " +
				"already runs. If it differs, the container is replaced and the fields that changed are printed. Several names start side by side, but each after those that its profile names under depends_on, which are started too.\n\n" +
				"NAME may be the file of a stack, which has several profiles, or FILE:NAME for one of them; without NAME it is the stack of this directory (hostrun.yaml or stack.yaml).\n\n" +
				"ARGS replace the profile's command.",
			examples: []string{"hostrun up dinov2", "hostrun up dinov2 --dry-run", "hostrun up ./stack.yaml", "hostrun up --scale web=3 web", "hostrun up --attach dinov2 -e BATCH=8   # ^C stops it, twice kills it", "hostrun up --supervise dinov2   # what hostrun@dinov2.service runs (docs/systemd.md)"},
			own:      "With --attach and --supervise the status is the container's own, or one of 125 to 130 below.",
			statuses: append(append([]int{}, startStatuses[:len(startStatuses)-1]...), foregroundStatuses[1:]...),
		}.on(s),
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "attach", Usage: "follow the output until the container ends; its status becomes ours. Of several containers each line begins with the name", Destination: &o.attach},
			&cli.BoolFlag{Name: "abort-on-container-exit", Usage: "stop all as soon as one has ended, whose status becomes ours; implies --attach", Destination: &o.ends.abort},
			&cli.BoolFlag{Name: "abort-on-container-failure", Usage: "stop all as soon as one has failed; implies --attach", Destination: &o.ends.failure},
			&cli.StringFlag{Name: "exit-code-from", Usage: "stop all as soon as one has ended, with the status of `NAME`; implies --attach", Destination: &o.ends.from},
			&cli.BoolFlag{Name: "detach", Aliases: []string{"d"}, Usage: "return when they are started, which is always done without --attach", Destination: &o.detach},
			&cli.BoolFlag{Name: "wait", Usage: "return when the containers are healthy, or run if they have no healthcheck; fail if one has ended", Destination: &o.wait},
			&cli.StringFlag{Name: "wait-timeout", Usage: "wait at most `SECONDS`, or a duration as 1m30s, and then fail; implies --wait", Destination: &o.waitTimeout},
			&cli.StringSliceFlag{Name: "tag", Usage: "start the profiles with this `TAG` of a whole stack, too; * is any; may be given more than once", Destination: &o.tags},
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "every profile of ./profiles and of the stack of this directory, or of what --profile-dir names", Destination: &o.all},
			&cli.StringSliceFlag{Name: "scale", Usage: "start so many containers of a profile, instead of what it says: `NAME=NUMBER`", Destination: &o.scale},
			&cli.BoolFlag{Name: "remove-orphans", Usage: "with a stack: end its containers whose profiles are gone from the file", Destination: &o.orphans},
			&cli.BoolFlag{Name: "force-recreate", Usage: "replace the container even if nothing changed", Destination: &o.recreate},
			&cli.BoolFlag{Name: "no-recreate", Usage: "leave a container as it is, even if its profile changed", Destination: &o.noRecreate},
			&cli.BoolFlag{Name: "renew-anon-volumes", Aliases: []string{"V"}, Usage: "a container that is replaced hands no volumes without names down", Destination: &o.freshVolumes},
			&cli.BoolFlag{Name: "no-deps", Usage: "start only what is named, and nothing that it depends on", Destination: &o.noDeps},
			&cli.StringFlag{Name: "pull", Usage: "instead of the profile's pull_policy: `always|missing|never`", Destination: &o.pull},
			&cli.BoolFlag{Name: "quiet-pull", Usage: "taken from docker compose; --progress says what is shown", Destination: &o.quietPull},
			&cli.StringFlag{Name: "timeout", Aliases: []string{"t"}, Usage: "when containers are replaced: kill after `SECONDS`, or a duration as 1m30s, instead of the profile's stop_grace_period", Destination: &o.timeout},
			&cli.BoolFlag{Name: "build", Usage: "build images that profiles say how to build, even if they are here", Destination: &o.build},
			&cli.BoolFlag{Name: "no-build", Usage: "build nothing: an image that is not here is an error", Destination: &o.noBuild},
			strictFlag(&o.strict),
			lockedFlag(&o.locked),
			waitDeviceFlag(&o.devices),
			&cli.BoolFlag{Name: "supervise", Usage: "stay in the foreground as the container's supervisor, as a service of systemd does; the status becomes ours", Destination: &o.supervise},
			taken("yes", "y"), taken("quiet-build"),
			&cli.IntFlag{Name: "replica", Hidden: true, Destination: &o.replica},
			dryFlag(&o.dryly),
		}, o.over.flags()...),
		Action: action(func(ctx context.Context) error { return runUp(ctx, s, o) }),
	}
}

func runUp(ctx context.Context, s *session, o upOptions) error {
	if o.supervise {
		return runKept(ctx, s, o)
	}
	if err := o.read(); err != nil {
		return err
	}
	names, err := o.names(s)
	switch {
	case err != nil:
		return err
	case len(names) > 1 && s.line.dashes:
		return finding.Errorf(finding.StatusUsage, "", "hostrun up takes one name with ARGS, not %d", len(names))
	}
	if s.line.dashes {
		o.over.command = s.line.rest
	}
	timeout, err := grace("wait-timeout", o.waitTimeout)
	if err != nil {
		return err
	}
	o.wait = o.wait || timeout != nil
	var st *stack
	scale, err := scales(o.scale)
	if err == nil {
		st, err = s.stackOf(ctx, names, stackOptions{scale: scale, tags: o.tags.Value(), whole: o.all, alone: o.noDeps})
	}
	if err == nil {
		err = st.checkUp(o)
	}
	switch {
	case err != nil && o.attach:
		return beforeStart(err)
	case err != nil:
		return err
	case o.dryly:
		return st.dryUp(ctx, o)
	}
	if timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *timeout)
		defer cancel()
	}
	if err = st.removeSurplus(ctx); err == nil {
		err = st.each(ctx, func(ctx context.Context, m *member) error { return memberUp(ctx, s, o.of(m), m) })
	}
	if err == nil && len(st.wholes) > 0 {
		err = st.endOrphans(ctx, o)
	}
	switch {
	case o.attach && err != nil:
		return beforeStart(err)
	case o.attach && (st.countAsked() > 1 || o.ends.given()):
		return attachedAll(ctx, s, st, o.ends)
	case o.attach:
		return attached(ctx, s, st.asked())
	}
	return err
}

// read looks at flags that belong together.
func (o *upOptions) read() error {
	if err := o.ends.check(o.attach, o.wait || o.waitTimeout != ""); err != nil {
		return err
	}
	o.attach = o.attach || o.ends.given()
	switch {
	case o.detach && o.attach:
		return finding.Errorf(finding.StatusUsage, "leave -d away", "hostrun up: --detach returns, and --attach, --abort-on-container-exit and --exit-code-from stay in the foreground")
	case o.noRecreate && o.recreate:
		return finding.Errorf(finding.StatusUsage, "give one of the two", "hostrun up: --no-recreate and --force-recreate can't be had together")
	case o.noBuild && o.build:
		return finding.Errorf(finding.StatusUsage, "give one of the two", "hostrun up: --no-build and --build can't be had together")
	}
	if _, err := grace("timeout", o.timeout); err != nil {
		return err
	}
	return checkPull(o.pull)
}

// checkPull refuses what is no policy of the flag --pull.
func checkPull(policy string) error {
	switch policy {
	case "", "always", "missing", "never":
		return nil
	}
	return finding.Errorf(finding.StatusUsage, "write always, missing or never", "flag --pull: there is no policy %q", policy)
}

// names are the profiles that the line names, or all.
func (o upOptions) names(s *session) ([]string, error) {
	if !o.all {
		s.withStackHere()
		return s.names(wants{what: "profile", min: 1}, true)
	}
	if len(s.line.names) > 0 {
		return nil, finding.Errorf(finding.StatusUsage, "", "hostrun up: give names or --all, not both")
	}
	return s.projectProfiles()
}

// projectProfiles are those of ./profiles and of the stack of this directory, or of what --profile-dir names.
func (s *session) projectProfiles() ([]string, error) {
	opt := s.profileOptions()
	if first := len(s.global.profileDirs.Value()); first > 0 {
		opt.Dirs = opt.Dirs[:first]
	} else {
		opt.Dirs = s.projectDirs()
	}
	all, err := profiles.List(opt)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range all {
		if !e.Hidden && !strings.HasPrefix(e.File, "builtin:") {
			names = append(names, e.Name)
		}
	}
	if len(names) == 0 {
		return nil, finding.Errorf(finding.StatusProfile, "hostrun profiles lists those that can be named", "%s: no profile in %s", s.line.title(), strings.Join(opt.Dirs, ", "))
	}
	return names, nil
}

// of are the options for one member: the changes of the line are for those that it names.
func (o upOptions) of(m *member) upOptions {
	if !m.asked {
		o.over, o.recreate, o.wait, o.build = overrides{}, false, false, false
	}
	return o
}

// memberUp starts one member of a stack, and waits where that is asked for.
func memberUp(ctx context.Context, s *session, o upOptions, m *member) error {
	s.progress.at(m.id, "Checking")
	if err := oneUp(ctx, s, o, m); err != nil {
		return err
	}
	if m.action == "unchanged" {
		s.progress.at(m.id, "Running")
	}
	if m.restartsWith() {
		if err := restartOne(ctx, s, m.client, m.id, nil); err != nil {
			return err
		}
		m.action = "restarted"
	}
	if !s.global.quiet && m.action == "restarted" {
		s.progress.pause()
		fmt.Fprintf(s.stdout, "%s restarted\n", m.id)
	}
	switch {
	case !o.wait:
		return nil
	case m.plan.Labels[plan.LabelHealthcheck] != "":
		s.progress.awaits(m.id, "its health")
		return s.awaitState(ctx, m.client, m.id, profiles.DependHealthy)
	}
	return stillRuns(ctx, m.client, m.id)
}

// order is o for the member.
func (m *member) order(o order) order {
	o.name, o.loaded = m.name, m.profile
	if m.replica > 0 {
		o.id, o.replica = m.id, m.replica
	}
	return o
}

// oneUp starts one profile and prints what was done.
func oneUp(ctx context.Context, s *session, o upOptions, m *member) error {
	whose, err := s.unitOf(ctx, m.id)
	if err != nil {
		return err
	}
	if o.pull != "" && m.profile.Build == nil {
		o.policy = o.pull
	}
	if !o.noBuild {
		if err := s.buildMissing(ctx, m.profile, o.over.image, o.build); err != nil {
			return err
		}
	}
	layer := s.headStart(ctx)
	defer layer.end()
	facts, pl, err := s.assemble(ctx, m.order(order{over: o.over, pull: o.policy, strict: o.strict, locked: o.locked, starts: true, wait: o.devices.wait, layer: layer, unit: whose}))
	defer s.unreserve(facts)
	if err != nil {
		return err
	}
	s.warn(pl.Findings)
	if m.client, err = s.containerdFor(ctx, pl.ID); err != nil {
		return err
	}
	if runtime.NeedsSupervisor(pl.Labels) {
		pl.Source = s.sourceOf(facts, o.locked)
	}
	pl.MadeOf = madeOf(facts, pl)
	if err := s.preStart(ctx, m, facts, pl, o); err != nil {
		return err
	}
	timeout, err := grace("timeout", o.timeout)
	if err != nil {
		return err
	}
	done, err := m.client.UpWith(ctx, pl, runtime.UpOptions{Force: o.recreate, Keep: o.noRecreate, Grace: timeout, FreshVolumes: o.freshVolumes})
	if err == nil && runtime.NeedsSupervisor(pl.Labels) {
		err = s.supervised(ctx, m.client, pl.ID)
	}
	if err != nil {
		return err
	}
	m.action, m.plan = done.Action, pl
	done.Changed = whyReplaced(done, facts, pl)
	s.printUp(done, plan.DeviceNumbers(facts.Grants))
	return nil
}

// unitOf is the unit that keeps the container now; nil for none. It costs a look at a directory where there are none.
func (s *session) unitOf(ctx context.Context, id string) (*plan.Unit, error) {
	if kept, _ := filepath.Glob(filepath.Join(s.abs(s.global.stateDir), "kept", "*."+id)); len(kept) == 0 {
		return nil, nil
	}
	client, err := s.containerdFor(ctx, id)
	if err != nil {
		return nil, err
	}
	return client.UnitOf(ctx, id)
}

func (s *session) printUp(done runtime.UpResult, numbers []plan.DeviceNumber) {
	if s.global.quiet {
		return
	}
	s.progress.pause()
	out := s.stdout
	if s.foreground { // that is the container's alone
		out = s.stderr
	}
	fmt.Fprintf(out, "%s %s\n", done.ID, done.Action)
	for _, change := range done.Changed {
		fmt.Fprintf(out, "  %s\n", change)
	}
	if done.Action != "unchanged" {
		for _, n := range numbers {
			fmt.Fprintf(out, "  %s\n", n)
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
	if c.OOMKilled {
		status += ": " + starvedWords
	}
	return withLog(ctx, client, id, finding.Errorf(finding.StatusFailed, "hostrun logs "+id+" shows why", "container %s has ended%s", id, status))
}

// attached stays with a container that has been started. From the start on, signals are the container's.
func attached(ctx context.Context, s *session, m *member) error {
	s.progress.end()
	signals, release := s.signals.foreground(m.plan.StopSignal, seconds(m.plan.StopSeconds))
	defer release()
	status, err := m.client.Attach(ctx, m.id, runtime.IO{Stdout: s.stdout, Stderr: s.stderr}, signals)
	s.noteMemory(ctx, m.client, m.id, status)
	return s.inForeground(status, err)
}

// dryUp says what up would do, from containerd's records and the plan alone.
func (st *stack) dryUp(ctx context.Context, o upOptions) error {
	more, err := st.surplus(ctx)
	if err != nil {
		return err
	}
	for _, r := range more {
		st.s.drySay("%s would be removed", r.name)
	}
	return st.inOrder(func(m *member) error { return dryUp(ctx, st.s, o.of(m), m) })
}

func dryUp(ctx context.Context, s *session, o upOptions, m *member) error {
	whose, err := s.unitOf(ctx, m.id)
	if err != nil {
		return err
	}
	facts, pl, err := s.assemble(ctx, m.order(order{over: o.over, pull: "never", reads: true, strict: o.strict, locked: o.locked, unit: whose}))
	if err != nil {
		return err
	}
	s.warn(pl.Findings)
	client, err := s.containerdFor(ctx, pl.ID)
	if err != nil {
		return err
	}
	pl.MadeOf = madeOf(facts, pl)
	found, err := client.Compare(ctx, pl)
	if err != nil {
		return err
	}
	action := found.Action
	if o.recreate && action != "created" {
		action = "replaced"
	}
	s.drySay("%s would be %s", pl.ID, dryActions[action])
	if action != "replaced" {
		return nil
	}
	for _, words := range whyReplaced(runtime.UpResult{Changed: found.Changed, MadeOf: found.MadeOf}, facts, pl) {
		s.drySay("  %s", words)
	}
	return nil
}

var dryActions = map[string]string{"created": "created", "replaced": "replaced", "started": "started", "unchanged": "left unchanged"}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
