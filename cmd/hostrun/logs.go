package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

type logsOptions struct {
	follow, timestamps bool
	all, plain         bool
	tail, since, until string
}

func logsCommand(s *session) *cli.Command {
	var o logsOptions
	return &cli.Command{
		Name: "logs", Category: "look", Usage: "print what a container wrote to stdout and stderr", ArgsUsage: "[NAME...] | --all",
		Description: page{
			about: "Prints the lines where they were written: stdout to stdout, stderr to stderr. Output stays until the container is removed; old output is rotated away. Of several containers each line begins with the name.\n\n" +
				"NAME is a container, a profile with replicas, or the file of a stack; without NAME it is the stack of this directory.\n\n" +
				"TIME is a duration back from now (10m, 2h), a date or an RFC 3339 time, or seconds since 1970.",
			examples: []string{"hostrun logs -f dinov2", "hostrun logs --tail 100 --timestamps dinov2", "hostrun logs --since 10m dinov2", "hostrun logs -f web worker"},
			statuses: containerdStatuses,
		}.on(s),
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "follow", Aliases: []string{"f"}, Usage: "go on until the container ends", Destination: &o.follow},
			&cli.StringFlag{Name: "tail", Aliases: []string{"n"}, Usage: "begin with the last `LINES`; all for all", Value: "all", Destination: &o.tail},
			&cli.StringFlag{Name: "since", Usage: "only lines from `TIME` on", Destination: &o.since},
			&cli.StringFlag{Name: "until", Usage: "only lines before `TIME`", Destination: &o.until},
			&cli.BoolFlag{Name: "timestamps", Aliases: []string{"t"}, Usage: "print the time before each line", Destination: &o.timestamps},
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "of every container of the namespace that has a log", Destination: &o.all},
			&cli.BoolFlag{Name: "no-log-prefix", Usage: "print no names before lines", Destination: &o.plain},
		},
		Action: action(func(ctx context.Context) error { return runLogs(ctx, s, o) }),
	}
}

func runLogs(ctx context.Context, s *session, o logsOptions) error {
	if !o.all {
		s.withStackHere()
		if _, err := s.names(wants{what: "container", min: 1}, false); err != nil {
			return err
		}
	}
	opt, err := o.selection(time.Now())
	if err != nil {
		return err
	}
	chosen, trouble := s.chosen(ctx, o.all)
	if trouble != nil && len(chosen) == 0 {
		return trouble
	}
	names := newPrefixes(s, chosen, o.plain || len(chosen) == 1 && !o.all)
	one := func(client *runtime.Client, name string) error {
		stdout, stderr, flush := names.of(name)
		defer flush()
		if err := client.Logs(ctx, name, opt, stdout, stderr); err != nil {
			if o.all && errors.Is(err, runtime.ErrNoLog) {
				return nil
			}
			return err
		}
		if known, err := s.inspect(ctx, client, name); err == nil { // one that was removed meanwhile has no more to say
			if one, ok := known.(runtime.Inspection); ok {
				s.noteFaults(one.Container)
			}
		}
		return nil
	}
	if o.follow {
		return severally([]error{s.exceptIdle(s.onEach(ctx, chosen, one)), trouble})
	}
	var failed []error
	for i := range chosen { // one after the other, so that the order is the line's
		failed = append(failed, s.exceptIdle(s.onEach(ctx, chosen[i:i+1], one)))
	}
	return severally(append(failed, trouble))
}

func (o logsOptions) selection(now time.Time) (runtime.LogOptions, error) {
	opt := runtime.LogOptions{Follow: o.follow, Timestamps: o.timestamps, Tail: -1}
	if o.tail != "all" && o.tail != "-1" {
		n, err := strconv.Atoi(o.tail)
		if err != nil || n < 0 {
			return opt, finding.Errorf(finding.StatusUsage, "write a number, or all", "flag --tail: %q is no number of lines", o.tail)
		}
		opt.Tail = n
	}
	var err error
	if opt.Since, err = moment("since", o.since, now); err != nil {
		return opt, err
	}
	opt.Until, err = moment("until", o.until, now)
	return opt, err
}

// moment reads a time as docker's logs do; a date without a zone is the caller's.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(text); err == nil {
		return now.Add(-d), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, text, now.Location()); err == nil {
			return t, nil
		}
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil && s >= 0 && s < 1e11 {
		return time.Unix(0, int64(s*float64(time.Second))), nil
	}
	return time.Time{}, finding.Errorf(finding.StatusUsage, "write 10m, 2026-01-31, 2026-01-31T12:00:00Z or seconds since 1970", "flag --%s: %q is no time", flag, text)
}
