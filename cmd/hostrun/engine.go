package main

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"hostrun.dev/hostrun/engine"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

// An engineKind says which containerd.
type engineKind string

const (
	namedEngine   engineKind = "named"   // by --address or CONTAINERD_ADDRESS: used or failed, never replaced by another
	systemEngine  engineKind = "system"  // the machine's
	privateEngine engineKind = "private" // hostrun's own, started when it is needed
)

// A standing is what came of looking at a socket.
type standing int

const (
	unusable standing = iota // somebody is there, and does not answer as containerd does: an error, for containers may live in it
	usable
	absent // no socket, or one that nobody listens at
	denied
)

// An opening is one containerd as this command found it.
type opening struct {
	kind     engineKind
	client   *runtime.Client // nil unless usable
	standing standing
	err      error // why it is not usable
}

// engines are the containerds of one command. Each is looked at once: ahead, or when first asked for.
type engines struct {
	looking sync.Mutex
	looks   map[engineKind]*look
	ahead   context.CancelFunc // ends the looks that nobody has asked for

	errandAhead errandAhead // what the first containerd is asked for while it is being greeted

	holding sync.Mutex
	release func() // of engine.Hold

	choosing sync.Mutex
	homes    map[string]*runtime.Client // of names that have been looked for
}

// A look is one containerd's, with the lock that its looker holds.
type look struct {
	sync.Mutex
	done bool
	opening
}

func (e *engines) lookOf(kind engineKind) *look {
	e.looking.Lock()
	defer e.looking.Unlock()
	if e.looks == nil {
		e.looks = map[engineKind]*look{}
	}
	if e.looks[kind] == nil {
		e.looks[kind] = &look{}
	}
	return e.looks[kind]
}

// forgetLooks has each containerd looked at anew.
func (e *engines) forgetLooks() {
	e.looking.Lock()
	defer e.looking.Unlock()
	e.looks = nil
}

func (e *engines) close() {
	if e.ahead != nil {
		e.ahead()
	}
	e.looking.Lock()
	looks := slices.Collect(maps.Values(e.looks))
	e.looking.Unlock()
	for _, l := range looks {
		l.Lock()
		if l.client != nil {
			go func() { _ = l.client.Close() }() // the end of the program does the same, and sooner
		}
		l.Unlock()
	}
	if e.release != nil {
		e.release()
	}
}

// settleEngine checks --engine and --address against each other. A flag beats a variable of the environment, and of two
// variables the address, which is the narrower one.
func (s *session) settleEngine() error {
	g := &s.global
	if err := oneOf("engine", g.engine, engineModes); err != nil {
		return err
	}
	if !s.line.gave("engine") || g.address == "" {
		return nil
	}
	if s.line.gave("address") {
		return finding.Errorf(finding.StatusUsage, "give one of them", "--address %s and --engine %s: both say which containerd is used", g.address, g.engine)
	}
	g.address = ""
	return nil
}

// gave says whether a global flag is on the line, rather than in the environment.
func (l commandLine) gave(flag string) bool {
	for _, word := range l.global {
		if strings.HasPrefix(word, "--"+flag+"=") {
			return true
		}
	}
	return false
}

// kinds are the containerds that the flags allow, the preferred one first.
func (s *session) kinds() []engineKind {
	switch {
	case s.global.address != "":
		return []engineKind{namedEngine}
	case s.global.engine == "system":
		return []engineKind{systemEngine}
	case s.global.engine == "private":
		return []engineKind{privateEngine}
	}
	return []engineKind{systemEngine, privateEngine}
}

// layout is where the private engine's files are.
func (s *session) layout() engine.Layout {
	return engine.Layout{StateDir: filepath.Join(s.abs(s.global.stateDir), "engine"), RootDir: filepath.Join(s.abs(s.global.dataDir), "engine"), LibexecDir: s.libexec()}
}

func (s *session) libexec() string {
	if s.global.libexecDir != "" {
		return s.abs(s.global.libexecDir)
	}
	return s.libexecDir()
}

func (s *session) runtimeOptions(kind engineKind) runtime.Options {
	opt := runtime.Options{
		ListAhead:  s.lists(),
		Namespace:  s.global.namespace,
		StateDir:   s.global.stateDir,
		DataDir:    s.global.dataDir,
		CacheDir:   s.global.cacheDir,
		LibexecDir: s.libexec(),
		Log:        s.log,
		Progress:   s.progress.event,

		ContainerdsShim: s.env["HOSTRUN_SHIM"] == "containerd",
	}
	switch kind {
	case namedEngine:
		opt.Address = s.abs(strings.TrimPrefix(s.global.address, "unix://"))
	case systemEngine:
		opt.Address = s.abs(s.global.systemAddress)
	case privateEngine:
		opt.Address = s.layout().Address()
	}
	opt.Peers = func(ctx context.Context) []*runtime.Client { return s.peers(ctx, opt) }
	if opt.Address == s.layout().Address() { // also by its name
		opt.RuntimeRoot = s.layout().RuntimeRoot()
	}
	return opt
}

// lists says whether the command is there for the list of containers.
func (s *session) lists() bool {
	verb := s.line.verb()
	return verb != nil && verb.Name == "ps"
}

// reach looks at one containerd and starts nothing.
func (s *session) reach(ctx context.Context, kind engineKind) opening {
	l := s.lookOf(kind)
	l.Lock()
	defer l.Unlock()
	if !l.done {
		l.opening, l.done = s.open(ctx, kind), true
		s.log.Debug("look for containerd", "engine", kind, "address", s.runtimeOptions(kind).Address, "result", l.standing.String())
	}
	return l.opening
}

// reachAhead begins to look at the containerds that a command will ask for while the rest of it gets ready: to connect
// takes as long as to read profile and machine. All of them are asked for by those who look for containers, the first by
// those who start one.
func (s *session) reachAhead(ctx context.Context, kinds []engineKind) {
	ctx, s.ahead = context.WithCancel(ctx)
	for _, kind := range kinds {
		go func() { _ = guard(func() error { s.reach(ctx, kind); return nil })() }()
	}
}

// open connects. Where that fails it looks again to say why: a missing socket is no error of a choice, a daemon that
// hangs is.
func (s *session) open(ctx context.Context, kind engineKind) opening {
	s.hushContainerd()
	opt := s.runtimeOptions(kind)
	if opt.Address == s.layout().Address() {
		if err := s.hold(); err != nil && kind == privateEngine {
			return opening{kind: kind, standing: standingOf(err), err: err}
		}
	}
	if s.errandAhead != nil && kind == s.kinds()[0] {
		opt.Beside = s.errandAhead.beside(ctx)
	}
	client, err := runtime.Open(ctx, opt)
	if err == nil {
		return opening{kind: kind, client: client, standing: usable}
	}
	o := opening{kind: kind, standing: standingOf(err), err: err}
	if o.standing == unusable && nobodyAt(ctx, opt.Address) {
		o.standing = absent
	}
	return o
}

func standingOf(err error) standing {
	switch {
	case finding.StatusOf(err) == finding.StatusPermission, errors.Is(err, fs.ErrPermission):
		return denied
	case errors.Is(err, fs.ErrNotExist):
		return absent
	}
	return unusable
}

func (s standing) String() string {
	return map[standing]string{usable: "usable", absent: "absent", denied: "no permission", unusable: "does not answer"}[s]
}

// nobodyAt says whether a socket is missing, or left over from a daemon that is gone.
func nobodyAt(ctx context.Context, address string) bool {
	d := net.Dialer{Timeout: time.Second} // connect(2) to a full backlog would wait
	conn, err := d.DialContext(ctx, "unix", address)
	if err == nil {
		_ = conn.Close()
		return false
	}
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOTDIR)
}

// hold keeps the private engine from going idle while this command works. Where it has never run there is nothing to hold.
func (s *session) hold() error {
	s.holding.Lock()
	defer s.holding.Unlock()
	if s.release != nil {
		return nil
	}
	if _, err := os.Stat(s.layout().StateDir); err != nil {
		return err
	}
	release, err := engine.Hold(s.layout())
	if err == nil {
		s.release = release
	}
	return err
}

// startPrivate brings the private engine up, if it is not, and connects.
func (s *session) startPrivate(ctx context.Context) (*runtime.Client, error) {
	private := s.lookOf(privateEngine)
	private.Lock()
	defer private.Unlock()
	if private.client != nil {
		return private.client, nil
	}
	l := s.layout()
	if err := engine.Installed(l); err != nil {
		return nil, s.noEngine(err)
	}
	if err := s.holdNew(l); err != nil {
		return nil, err
	}
	started, err := engine.Ensure(ctx, l, func(text string) { s.progress.event(runtime.Event{ID: "Engine", Status: "Starting", Text: text}) })
	if err != nil {
		return nil, err
	}
	if started {
		s.log.Debug("started the private engine", "address", l.Address(), "root", l.RootDir)
	}
	private.opening, private.done = s.open(ctx, privateEngine), true
	return private.client, private.err
}

// holdNew is hold for an engine that may never have run.
func (s *session) holdNew(l engine.Layout) (err error) {
	s.holding.Lock()
	defer s.holding.Unlock()
	if s.release == nil {
		s.release, err = engine.Hold(l)
	}
	return err
}

// noEngine is the one error of a machine without any containerd: both ways out.
func (s *session) noEngine(cause error) error {
	if len(s.kinds()) == 1 {
		return cause
	}
	return finding.Errorf(finding.StatusTryAgain,
		"install hostrun's own: make install puts hostrun-engine into "+s.libexec()+"\n"+
			"or the distribution's: apt-get install containerd, and systemctl start containerd",
		"no containerd is here: nobody listens at %s, and hostrun's own is not installed: %w", s.runtimeOptions(systemEngine).Address, cause)
}

// containerd returns the containerd that new containers and images go to: the one that was named, else the machine's if
// it answers, else hostrun's own, which is started if it does not run. One that hangs is an error and not passed over,
// as containers may live in it. Several goroutines may ask.
func (s *session) containerd(ctx context.Context) (*runtime.Client, error) {
	s.choosing.Lock()
	defer s.choosing.Unlock()
	var refused error
	kinds := s.kinds()
	for _, kind := range kinds {
		o := s.reach(ctx, kind)
		switch o.standing {
		case usable:
			s.log.Debug("containerd chosen", "engine", kind, "address", s.runtimeOptions(kind).Address)
			return o.client, nil
		case unusable:
			return nil, s.unusableError(o)
		case denied:
			if refused == nil {
				refused = o.err
			}
		case absent:
			if len(kinds) == 1 && kind != privateEngine {
				return nil, o.err
			}
		}
	}
	if refused != nil {
		return nil, s.deniedError(refused)
	}
	return s.startPrivate(ctx)
}

// unusableError adds, where the machine's containerd hangs, the way around it.
func (s *session) unusableError(o opening) error {
	if o.kind != systemEngine || len(s.kinds()) == 1 || finding.StatusOf(o.err) != finding.StatusTryAgain {
		return o.err
	}
	hints := append(finding.HintOf(o.err), "or go on with hostrun's own, which does not see the containers of this one: hostrun --engine private ...")
	return finding.Errorf(finding.StatusTryAgain, strings.Join(hints, "\n"), "%w", o.err)
}

// deniedError says what a person without the right to any socket can type.
func (s *session) deniedError(cause error) error {
	if len(s.kinds()) == 1 && s.kinds()[0] != privateEngine {
		return cause
	}
	return finding.Errorf(finding.StatusPermission,
		"run hostrun as root: sudo hostrun ...\n"+
			"or join the group that may use hostrun's own containerd, and log in again: sudo usermod -aG hostrun $USER (docs/security.md says what that gives)",
		"%w", cause)
}
