package main

import (
	"context"
	"time"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

type execOptions struct {
	env                     cli.StringSlice
	workdir, user           string
	tty, noTTY, interactive bool
	index                   int
	args                    []string
}

func (o *execOptions) flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "set `NAME=VALUE`; NAME alone takes the caller's value", KeepSpace: true, Destination: &o.env},
		&cli.StringFlag{Name: "workdir", Aliases: []string{"w"}, Usage: "start in directory `DIR` of the container", Destination: &o.workdir},
		&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "run as `USER[:GROUP]`, a name of the container or numbers", Destination: &o.user},
		&cli.IntFlag{Name: "index", Usage: "of a profile with replicas, container `NUMBER`; the first by default", Destination: &o.index},
	}
}

func execCommand(s *session) *cli.Command {
	var o execOptions
	return &cli.Command{
		Name: "exec", Category: "containers", Usage: "run a further process in a running container", ArgsUsage: "NAME -- CMD...",
		Description: page{
			about: "Runs CMD in the container, with the container's environment, user and directory. A terminal is passed on when stdin is one. " +
				"stdin is passed on with a terminal, or with -i.",
			examples: []string{"hostrun exec dinov2 -- nvidia-smi", "hostrun exec -i dinov2 -- python3 - < probe.py"},
			own:      "The status of CMD, 128+n if signal n ended it, or:",
			statuses: foregroundStatuses,
		}.on(s),
		Flags: append(o.flags(),
			&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "insist on a terminal", Destination: &o.tty},
			&cli.BoolFlag{Name: "no-tty", Aliases: []string{"T"}, Usage: "use pipes even on a terminal", Destination: &o.noTTY},
			&cli.BoolFlag{Name: "interactive", Aliases: []string{"i"}, Usage: "pass stdin on", Destination: &o.interactive},
		),
		Action: action(func(ctx context.Context) error { return runExec(ctx, s, o) }),
	}
}

func runExec(ctx context.Context, s *session, o execOptions) error {
	names, err := s.names(wants{what: "container", min: 1, max: 1}, true)
	if err != nil {
		return err
	}
	if o.args == nil {
		o.args = s.line.rest
	}
	switch {
	case len(o.args) == 0:
		return finding.Errorf(finding.StatusUsage, s.line.title()+" "+names[0]+" -- CMD, or hostrun shell "+names[0], "%s needs a command after --", s.line.title())
	case o.tty && !isTerminal(s.stdin):
		return finding.Errorf(finding.StatusUsage, "leave -t away, or run it from a terminal", "flag --tty: stdin is no terminal")
	}
	if o.index < 0 {
		return finding.Errorf(finding.StatusUsage, "", "flag --index: replicas count from 1")
	}
	one, err := s.theOne(ctx, names[0], o.index)
	if err != nil {
		return beforeStart(err)
	}
	tty := isTerminal(s.stdin) && isTerminal(s.stdout) && !o.noTTY
	stdio := runtime.IO{Stdout: s.stdout, Stderr: s.stderr, TTY: tty}
	if tty || o.interactive {
		stdio.Stdin = s.stdin
	}
	signals, release := s.signals.foreground("", execGrace)
	defer release()
	status, err := one.client.Exec(ctx, one.name, runtime.ExecOptions{
		Args: o.args, Env: s.callerEnv(o.env.Value()), WorkingDir: o.workdir, User: o.user, TTY: tty,
	}, stdio, signals)
	return s.inForeground(status, err)
}

// execGrace is how long a process of exec may take to end after ^C. The container's own grace period is for its
// first process.
const execGrace = 10 * time.Second

// callerEnv fills in the caller's values of names without one; what the caller lacks is left out.
func (s *session) callerEnv(words []string) []string {
	var env []string
	for _, word := range words {
		name, _, given := cutEnv(word)
		if given {
			env = append(env, word)
		} else if value, ok := s.env[name]; ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
