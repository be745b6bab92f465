package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/runtime"
)

type attachOptions struct {
	keys              string
	noStdin, sigProxy bool
}

func attachCommand(s *session) *cli.Command {
	var o attachOptions
	return &cli.Command{
		Name: "attach", Category: "containers", Usage: "connect to the first process of a running container", ArgsUsage: "NAME",
		Description: page{
			about: "Shows what the container writes from now on, and passes on what is typed and the terminal's size, if its profile says stdin_open: true; other containers get no input. " +
				"Signals go to the container. ctrl-p ctrl-q leaves it, and it runs on; several may be attached at once. The exit status is the container's, 0 after the detach keys.",
			examples: []string{"hostrun attach dinov2", "hostrun attach --no-stdin --sig-proxy=false dinov2"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "detach-keys", Usage: "leave by `KEYS`: letters, or ctrl- and a letter, joined by commas; empty for none", Value: "ctrl-p,ctrl-q", Destination: &o.keys},
			&cli.BoolFlag{Name: "no-stdin", Usage: "pass no input on", Destination: &o.noStdin},
			&cli.BoolFlag{Name: "sig-proxy", Usage: "pass signals on to the container; without, they end the attachment alone", Value: true, Destination: &o.sigProxy},
		},
		Action: action(func(ctx context.Context) error { return runAttach(ctx, s, o) }),
	}
}

func runAttach(ctx context.Context, s *session, o attachOptions) error {
	names, err := s.names(wants{what: "container", min: 1, max: 1}, false)
	if err != nil {
		return err
	}
	keys, err := runtime.DetachKeys(o.keys)
	if err != nil {
		return err
	}
	of, err := s.theOne(ctx, names[0], 0)
	if err != nil {
		return err
	}
	client, name := of.client, of.name
	var signals <-chan string
	if o.sigProxy {
		proxied, release := s.proxied()
		defer release()
		signals = proxied
	}
	status, err := client.AttachTo(ctx, name, runtime.AttachOptions{DetachKeys: keys, NoStdin: o.noStdin},
		runtime.IO{Stdin: s.stdin, Stdout: s.stdout, Stderr: s.stderr, TTY: isTerminal(s.stdin) && isTerminal(s.stdout)}, signals)
	if errors.Is(err, runtime.ErrDetached) {
		s.note("detached: %s runs on", name)
		return nil
	}
	if err != nil {
		return err
	}
	return asEnded(status)
}

// proxied hands every signal on as it is: unlike those of run, they are the container's to understand.
func (s *session) proxied() (signals <-chan string, release func()) {
	s.signals.leave()
	received, names, done := make(chan os.Signal, 8), make(chan string, 8), make(chan struct{})
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for {
			select {
			case sig := <-received:
				s.signals.send(names, signalName(sig.(syscall.Signal)))
			case <-done:
				return
			}
		}
	}()
	return names, func() { signal.Stop(received); close(done) }
}
