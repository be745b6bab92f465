package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

// run does what one command line says and returns the exit status of docs/exit-status.md. args are without the
// program's name.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, d deps) (status int) {
	s := newSession(stdin, stdout, stderr, d)
	defer s.close()
	defer func() {
		if cause := recover(); cause != nil {
			status = s.report(internalError(cause))
		}
	}()
	ctx, stop := s.signals.watch(ctx)
	defer stop()
	return s.report(s.dispatch(ctx, args))
}

// dispatch sorts the words, answers what needs no verb, and lets urfave/cli parse the flags' types and call the verb.
func (s *session) dispatch(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == runtime.ReapVerb {
		return runReap(ctx, args[1:])
	}
	if len(args) > 0 && args[0] == npuHealthVerb {
		return runNPUHealth(ctx, s, args[1:])
	}
	s.args = args
	app, line, err := appFor(s, args)
	s.line, s.app = line, app
	switch {
	case err != nil:
		return err
	case line.version:
		return runVersion(s, versionOptions{format: "table"})
	case line.help, line.verb() == nil:
		return showHelp(s, args)
	}
	return app.RunContext(ctx, line.words("hostrun"))
}

// newApp returns the program's verbs and flags. It is a value: nothing is read or opened.
func newApp(s *session) *cli.App { return appOf(s, func(string) bool { return true }) }

// appFor has the verbs that the line may mean: to describe all of them takes longer than most of what a command does before it asks
// containerd. Whatever is not understood with these is looked at again with all.
func appFor(s *session, args []string) (*cli.App, commandLine, error) {
	app := appOf(s, func(verb string) bool { return slices.Contains(args, verb) })
	line, err := arrange(app, args)
	if verb := line.verb(); err == nil && !line.help && verb != nil && !slices.Contains(aboutVerbs, verb.Name) {
		return app, line, nil
	}
	app = newApp(s)
	line, err = arrange(app, args)
	return app, line, err
}

// aboutVerbs are the verbs that speak of others.
var aboutVerbs = []string{"help", "completion", completeVerb}

func appOf(s *session, has func(verb string) bool) *cli.App {
	app := &cli.App{
		Name:                      "hostrun",
		Usage:                     "start ML containers with the host's Python packages and CUDA, proven to fit",
		ArgsUsage:                 "[global flags] VERB [flags] NAME... [-- ARGS...]",
		Flags:                     s.globalFlags(),
		HideHelp:                  true, // ours: see writeHelp
		HideVersion:               true,
		DisableSliceFlagSeparator: true, // a comma belongs to the value
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError:              usageError,
		Writer:                    s.stdout,
		ErrWriter:                 s.stderr,
		Before:                    func(c *cli.Context) error { return s.begin(c.Context) },
	}
	for _, v := range verbs() {
		if has(v.name) {
			app.Commands = append(app.Commands, v.command(s))
		}
	}
	silence(app.Commands)
	return app
}

func silence(commands []*cli.Command) {
	for _, command := range commands {
		command.HideHelp = true
		command.OnUsageError = usageError
		silence(command.Subcommands)
	}
}

// A verb is one of the program's, by the function that describes it.
type verb struct {
	name    string
	command func(*session) *cli.Command
}

// verbs returns every verb in the order of help.
func verbs() []verb {
	return []verb{
		{"up", upCommand}, {"run", runCommand}, {"down", downCommand}, {"stop", stopCommand}, {"start", startCommand}, {"restart", restartCommand},
		{"pause", pauseCommand}, {"unpause", unpauseCommand}, {"kill", killCommand}, {"rm", rmCommand}, {"wait", waitCommand}, {"supervise", superviseCommand}, {"systemd", systemdCommand}, {"exec", execCommand}, {"shell", shellCommand}, {"attach", attachCommand}, {"cp", cpCommand},
		{"ps", psCommand}, {"diff", diffCommand}, {"top", topCommand}, {"stats", statsCommand}, {"devices", devicesCommand}, {"logs", logsCommand}, {"events", eventsCommand},
		{"inspect", inspectCommand}, {"port", portCommand},
		{"check", checkCommand}, {"lock", lockCommand}, {"where", whereCommand}, {"spec", specCommand}, {"facts", factsCommand}, {"export", exportCommand}, {"import", importCommand},
		{"doctor", doctorCommand}, {"explain", explainCommand}, {"profiles", profilesCommand},
		{"images", imagesCommand}, {"pull", pullCommand}, {"build", buildCommand}, {"load", loadCommand}, {"save", saveCommand}, {"rmi", rmiCommand}, {"gc", gcCommand},
		{"completion", completionCommand}, {"version", versionCommand}, {"help", helpCommand},
		{completeVerb, completeCommand}, {againVerb, againCommand},
	}
}

// usageError turns flag's "invalid value "x" for flag -tail: parse error" into our words.
func usageError(_ *cli.Context, err error, _ bool) error {
	text := err.Error()
	if rest, ok := strings.CutPrefix(text, "invalid value "); ok {
		if value, rest, ok := strings.Cut(rest, " for flag -"); ok {
			name, cause, _ := strings.Cut(rest, ": ")
			return finding.Errorf(finding.StatusUsage, "", "flag --%s: %s is no value for it: %s", name, value, cause)
		}
	}
	return finding.Errorf(finding.StatusUsage, "", "%s", text)
}

// action is a verb's run function as urfave/cli calls it.
func action(fn func(ctx context.Context) error) cli.ActionFunc {
	return func(c *cli.Context) error { return fn(c.Context) }
}

// guard runs fn in a goroutine of its own without letting a panic kill the program with a stack.
func guard(fn func() error) func() error {
	return func() (err error) {
		defer func() {
			if cause := recover(); cause != nil {
				err = internalError(cause)
			}
		}()
		return fn()
	}
}

// internalError is a panic as a person sees it: what and where, and that it is not their fault.
func internalError(cause any) error {
	where := "unknown place"
	pcs := make([]uintptr, 32)
	frames := goruntime.CallersFrames(pcs[:goruntime.Callers(3, pcs)])
	for {
		frame, more := frames.Next()
		if strings.HasPrefix(frame.Function, "hostrun.dev/") || strings.HasPrefix(frame.Function, "main.") {
			where = fmt.Sprintf("%s:%d", filepath.Base(frame.File), frame.Line)
			break
		}
		if !more {
			break
		}
	}
	return finding.Errorf(finding.StatusFailed,
		"this is a defect of hostrun: please report it, with the command line and the output of hostrun version",
		"internal error at %s: %v", where, cause)
}

// interrupted is the end of a command by a signal of the caller.
type interrupted struct{ number int }

func (i interrupted) Error() string { return "interrupted by " + signalName(syscall.Signal(i.number)) }

// ended is the exit status of a container's process, which becomes ours without a word.
type ended int

func (e ended) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// asEnded makes an exit status an error; 0 is none.
func asEnded(status int) error {
	if status == 0 {
		return nil
	}
	return ended(status)
}

// several is the errors of a command with several names, in their order.
type several []error

func (s several) Error() string { return errors.Join(s...).Error() }

// severally returns nil, the one error, or several.
func severally(errs []error) error {
	var all several
	for _, err := range errs {
		if inner, ok := err.(several); ok {
			all = append(all, inner...)
		} else if err != nil {
			all = append(all, err)
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return all
}
