package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	ctrlog "github.com/containerd/log"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"hostrun.dev/hostrun/abi/proof"
	"hostrun.dev/hostrun/devices/cdi"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/soon"
)

// A session is one run of the program: its streams, its words, its global flags and, once needed, containerd.
type session struct {
	deps
	stdin          io.Reader
	stdout, stderr io.Writer
	app            *cli.App
	args           []string // as they were given
	line           commandLine
	global         globals
	pages          bool // commands have their help pages
	foreground     bool // standard output is the container's alone: what is told goes to stderr
	log            *slog.Logger
	progress       *progress
	signals        *interrupts

	engines

	hosts     soon.Answers[host.Facts]        // by what is needed
	abilities soon.Answers[plan.Engine]       // of a containerd, by the client and the OCI runtime that is asked for
	shims     soon.Answers[map[string]string] // runtime.Shims, by the namespace
	looks     proof.Looks

	loansMu sync.Mutex
	loans   []*loan

	asksNPUs sync.Once // behind the back of this command
}

// globals are the flags of every verb.
type globals struct {
	address, engine, namespace  string
	profileDirs                 cli.StringSlice
	progress, color, logLevel   string
	quiet, noColor              bool
	stateDir, dataDir, cacheDir string
	libexecDir, systemAddress   string
	cdiDirs, lockFile           string
}

func newSession(stdin io.Reader, stdout, stderr io.Writer, d deps) *session {
	s := &session{deps: d, stdin: stdin, stdout: stdout, stderr: stderr}
	s.log = slog.New(slog.DiscardHandler)
	s.progress = newProgress(stderr, "quiet", false)
	s.signals = &interrupts{exit: os.Exit, say: s.note}
	return s
}

func (s *session) globalFlags() []cli.Flag {
	g := &s.global
	return []cli.Flag{
		&cli.StringFlag{Name: "address", Usage: "use the containerd at `SOCKET` and no other", EnvVars: []string{"CONTAINERD_ADDRESS"}, Destination: &g.address},
		&cli.StringFlag{Name: "engine", Usage: "which containerd is used: `auto|system|private`; auto is the system's if one answers, else hostrun's own, started when it is needed", Value: "auto", EnvVars: []string{"HOSTRUN_ENGINE"}, Destination: &g.engine},
		&cli.StringFlag{Name: "namespace", Usage: "containerd `NAMESPACE` that holds containers and images", Value: "hostrun", EnvVars: []string{"HOSTRUN_NAMESPACE"}, Destination: &g.namespace},
		&cli.StringSliceFlag{Name: "profile-dir", Usage: "search `DIR` for profiles first; may be given more than once", KeepSpace: true, Destination: &g.profileDirs},
		&cli.StringFlag{Name: "progress", Usage: "how progress is shown: `auto|tty|plain|json|quiet`", Value: "auto", EnvVars: []string{"HOSTRUN_PROGRESS"}, Destination: &g.progress},
		&cli.StringFlag{Name: "color", Usage: "colour diagnostics: `auto|always|never`; NO_COLOR is honoured", Value: "auto", Destination: &g.color},
		&cli.BoolFlag{Name: "no-color", Hidden: true, Destination: &g.noColor}, // docker compose's --color never
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "show errors only: no progress, no warnings", Destination: &g.quiet},
		&cli.StringFlag{Name: "log-level", Usage: "what is logged to stderr: `debug|info|warn|error`", Value: "warn", EnvVars: []string{"HOSTRUN_LOG"}, Destination: &g.logLevel},
		&cli.StringFlag{Name: "cdi-spec-dirs", Usage: "read CDI files in these `DIRS`, joined by commas", Value: strings.Join(cdi.Dirs, ","), EnvVars: []string{"HOSTRUN_CDI_SPEC_DIRS"}, Destination: &g.cdiDirs},
		&cli.StringFlag{Name: "lock-file", Usage: "the lock is `FILE`, instead of hostrun.lock beside the profile's file", EnvVars: []string{"HOSTRUN_LOCK_FILE"}, Destination: &g.lockFile},
		&cli.StringFlag{Name: "state-dir", Hidden: true, Value: "/run/hostrun", EnvVars: []string{"HOSTRUN_STATE_DIR"}, Destination: &g.stateDir},
		&cli.StringFlag{Name: "data-dir", Hidden: true, Value: "/var/lib/hostrun", EnvVars: []string{"HOSTRUN_DATA_DIR"}, Destination: &g.dataDir},
		&cli.StringFlag{Name: "cache-dir", Hidden: true, Value: "/var/cache/hostrun", EnvVars: []string{"HOSTRUN_CACHE_DIR"}, Destination: &g.cacheDir},
		&cli.StringFlag{Name: "libexec-dir", Hidden: true, EnvVars: []string{"HOSTRUN_LIBEXEC_DIR"}, Destination: &g.libexecDir},
		&cli.StringFlag{Name: "system-address", Hidden: true, Value: "/run/containerd/containerd.sock", EnvVars: []string{"HOSTRUN_SYSTEM_ADDRESS"}, Destination: &g.systemAddress},
	}
}

// begin checks the global flags and sets up what they govern.
func (s *session) begin(ctx context.Context) error {
	g := &s.global
	if err := oneOf("progress", g.progress, progressModes); err != nil {
		return err
	}
	if err := oneOf("color", g.color, colorModes); err != nil {
		return err
	}
	if err := oneOf("log-level", g.logLevel, logLevels); err != nil {
		return err
	}
	if err := s.settleEngine(); err != nil {
		return err
	}
	var level slog.Level
	_ = level.UnmarshalText([]byte(g.logLevel)) // one of logLevels
	s.log = slog.New(slog.NewTextHandler(s.stderr, &slog.HandlerOptions{Level: level}))
	mode := g.progress
	if g.quiet {
		mode = "quiet"
	}
	s.progress = newProgress(s.stderr, mode, s.dumbTerminal())
	if mode == "auto" && slices.Contains(inPassing, s.line.verb().Name) {
		s.progress.patience = patience
	}
	if status, done, err := s.errand(ctx); err != nil {
		return err
	} else if done {
		return ended(status)
	}
	switch verb := s.line.verb().Name; {
	case slices.Contains(startVerbs, verb):
		s.errandAhead = make(errandAhead, 1)
		s.reachAhead(ctx, s.kinds()[:1])
	case slices.Contains(findVerbs, verb):
		s.reachAhead(ctx, s.kinds())
	}
	return nil
}

// Verbs that surely ask a containerd: those that start something new ask the first one that answers, those that look for
// what is there ask all.
var (
	startVerbs = []string{"up", "run", "check"}
	findVerbs  = []string{"ps", "down", "stop", "exec", "logs", "wait", "restart", "kill", "rm", "inspect", "pause", "unpause", "top", "attach", "cp"}
)

// inPassing are verbs whose result is not what progress tells about: they show it only where it keeps a person waiting.
var inPassing = []string{"run", "exec", "shell", "check", "lock", "spec", "facts", "inspect", "logs", "ps", "devices", "export", "images", "top", "cp", "attach"}

// patience is how long a person waits without asking why.
const patience = 500 * time.Millisecond

var (
	progressModes = []string{"auto", "tty", "plain", "json", "quiet"}
	colorModes    = []string{"auto", "always", "never"}
	logLevels     = []string{"debug", "info", "warn", "error"}
	engineModes   = []string{"auto", "system", "private"}
)

func oneOf(flag, value string, choices []string) error {
	if slices.Contains(choices, value) {
		return nil
	}
	return finding.Errorf(finding.StatusUsage, "", "flag --%s: %q is none of %s", flag, value, strings.Join(choices, ", "))
}

// hushContainerd keeps the client library from writing to stderr what comes back as an error anyway.
func (s *session) hushContainerd() {
	level := s.global.logLevel
	if level == "warn" {
		level = "error"
	}
	_ = ctrlog.SetLevel(level) // one of logLevels
}

func (s *session) close() {
	s.progress.end()
	s.endLoans()
	s.engines.close() // the program ends; containers go on
}

// profileOptions say where profiles are, for package profiles.
func (s *session) profileOptions() profiles.Options {
	var first []string
	for _, dir := range s.global.profileDirs.Value() {
		first = append(first, s.abs(dir))
	}
	return profiles.Options{Dirs: s.profileDirs(first), Env: s.env, Cwd: s.dir}
}

// terminals says whether a person sits at stdin and stdout.
func (s *session) terminals() bool { return isTerminal(s.stdin) && isTerminal(s.stdout) }

func isTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}
