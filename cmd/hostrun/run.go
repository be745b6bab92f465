package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

type runOptions struct {
	over                    overrides
	name                    string
	tty, noTTY, interactive bool
	rm, strict, ports       bool
	build, noDeps, locked   bool
	quietPull               bool
	pull                    string
	devices                 waitFlag
}

func runCommand(s *session) *cli.Command {
	var o runOptions
	return &cli.Command{
		Name: "run", Category: "containers", Usage: "run a one-off container of a profile in the foreground", ArgsUsage: "NAME [-- ARGS...]",
		Description: page{
			about: "Proves that host and image fit, runs a container of the profile until it ends, and removes it. What the profile depends on is started first, as by hostrun up; restart and healthcheck are for containers of up. The exit status is the container's. " +
				"ARGS replace the profile's command. A terminal is passed on when stdin and stdout are one; -i passes a pipe on as stdin.\n\n" +
				"^C is sent to the process, which has its stop_grace_period to end; ^C again kills it.",
			examples: []string{"hostrun run dinov2", "hostrun run dinov2 -- python3 -c 'import torch; print(torch.__version__)'", "hostrun run dinov2 -v ./data:/data:ro -- bash"},
			own:      "The status of the container's process, 128+n if signal n ended it, or:",
			statuses: foregroundStatuses,
		}.on(s),
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "call the container `NAME` instead of PROFILE-run-XXXXXXXX", Destination: &o.name},
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "insist on a terminal", Destination: &o.tty},
			&cli.BoolFlag{Name: "no-tty", Aliases: []string{"T", "no-TTY"}, Usage: "use pipes even on a terminal: stdout and stderr stay apart", Destination: &o.noTTY},
			&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "pass stdin on", Destination: &o.interactive},
			&cli.StringSliceFlag{Name: "entrypoint", KeepSpace: true, Usage: "run `PROGRAM` instead of the profile's entrypoint; empty for none", Destination: &o.over.entrypoint},
			&cli.StringSliceFlag{Name: "publish", Aliases: []string{"p"}, Usage: "publish a port: `[HOST:]PORT[/udp]`", Destination: &o.over.ports},
			&cli.StringSliceFlag{Name: "label", Aliases: []string{"l"}, Usage: "give the container the label `NAME=VALUE`", KeepSpace: true, Destination: &o.over.labels},
			&cli.StringSliceFlag{Name: "cap-add", Usage: "give it the capability `NAME`", Destination: &o.over.capAdd},
			&cli.StringSliceFlag{Name: "cap-drop", Usage: "take the capability `NAME` away", Destination: &o.over.capDrop},
			&cli.BoolFlag{Name: "no-deps", Usage: "start nothing that the profile depends on", Destination: &o.noDeps},
			&cli.StringFlag{Name: "pull", Usage: "instead of the profile's pull_policy: `always|missing|never`", Destination: &o.pull},
			&cli.BoolFlag{Name: "quiet-pull", Usage: "taken from docker compose; --progress says what is shown", Destination: &o.quietPull},
			&cli.BoolFlag{Name: "service-ports", Aliases: []string{"P"}, Usage: "publish the profile's ports, too", Destination: &o.ports},
			&cli.BoolFlag{Name: "build", Usage: "build the image that the profile says how to build, even if it is here", Destination: &o.build},
			strictFlag(&o.strict),
			lockedFlag(&o.locked),
			waitDeviceFlag(&o.devices),
			&cli.BoolFlag{Name: "rm", Usage: "remove the container afterwards, which is always done", Value: true, Destination: &o.rm},
		}, o.over.flags()...),
		Action: action(func(ctx context.Context) error { return runRun(ctx, s, o) }),
	}
}

func runRun(ctx context.Context, s *session, o runOptions) error {
	names, err := s.names(wants{what: "profile", min: 1, max: 1}, true)
	if err != nil {
		return err
	}
	switch {
	case !o.rm:
		return finding.Errorf(finding.StatusUsage, "hostrun up keeps its container until hostrun down", "hostrun run always removes its container")
	case o.tty && !s.terminals():
		return finding.Errorf(finding.StatusUsage, "leave -t away, or run it from a terminal", "flag --tty: stdin and stdout are no terminal")
	}
	if err := checkPull(o.pull); err != nil {
		return err
	}
	if s.line.dashes {
		o.over.command = s.line.rest
	}
	o.over.terminal = func(p *profiles.Profile) { o.fitTerminal(s, p); o.fitNetwork(p) }
	id := o.name
	if id == "" {
		id = oneOffName(containerName(names[0]))
	}
	s.foreground = true
	st, err := s.stackOf(ctx, names, stackOptions{one: true, alone: o.noDeps})
	if err == nil {
		err = st.before(ctx, o.devices, o.locked)
	}
	if err != nil {
		return beforeStart(err)
	}
	return runOnce(ctx, s, order{foreground: true, pull: o.pull, name: names[0], loaded: st.asked().profile, id: id, over: o.over, strict: o.strict, locked: o.locked, starts: true, wait: o.devices.wait}, o.build)
}

// fitTerminal gives the container a terminal when a person sits at ours: the profile's tty alone does not make one.
func (o runOptions) fitTerminal(s *session, p *profiles.Profile) {
	p.TTY = s.terminals() && !o.noTTY
	p.StdinOpen = p.TTY || o.interactive || p.StdinOpen
}

// fitNetwork leaves ports, aliases and fixed addresses to the container of `up`, which may run beside this one (compose's rule).
func (o runOptions) fitNetwork(p *profiles.Profile) {
	if !o.ports {
		p.Ports = nil
	}
	p.MACAddress, p.Networks = "", slices.Clone(p.Networks)
	for i := range p.Networks {
		n := &p.Networks[i]
		n.Aliases, n.IPv4, n.IPv6, n.MAC = nil, "", "", ""
	}
}

func runOnce(ctx context.Context, s *session, ord order, build bool) error {
	if err := s.buildMissing(ctx, ord.loaded, ord.over.image, build); err != nil {
		return beforeStart(err)
	}
	ord.layer = s.headStart(ctx)
	defer ord.layer.end()
	facts, pl, err := s.assemble(ctx, ord)
	defer s.unreserve(facts)
	if err != nil {
		return beforeStart(err)
	}
	s.warn(pl.Findings)
	client, err := s.containerdFor(ctx, pl.ID)
	if err != nil {
		return beforeStart(err)
	}
	s.progress.end()
	stdio := runtime.IO{Stdout: s.stdout, Stderr: s.stderr, TTY: pl.TTY}
	if pl.StdinOpen {
		stdio.Stdin = s.stdin
	}
	signals, release := s.signals.foreground("", seconds(pl.StopSeconds))
	defer release()
	begun := time.Now()
	status, err := client.Run(ctx, pl, stdio, signals)
	if status != 0 && err == nil {
		ended := time.Now()
		c := runtime.Container{Container: pl.ID, StartedAt: &begun, FinishedAt: &ended, DeviceNumbers: plan.DeviceNumbers(facts.Grants)}
		s.addFaults(&c)
		s.noteFaults(c)
	}
	return s.inForeground(status, err)
}

// oneOffName is the name of a container of run. Its random part keeps two of one profile apart.
func oneOffName(profile string) string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // crypto/rand never fails: it ends the program
	return profile + "-run-" + hex.EncodeToString(random[:])
}
