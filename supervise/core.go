package supervise

import "time"

// A Kind is what is to be done with a container.
type Kind int

const (
	Settle  Kind = iota // note the end of its process in the record and take the task away
	Restart             // start it again, by a fresh plan
	Probe               // see whether it is healthy
	Mark                // write Action.Health into the record
	End                 // do what on_failure says with one that is unhealthy
)

func (k Kind) String() string {
	return [...]string{"settle", "restart", "probe", "mark", "end"}[k]
}

// An Action is one thing to do now. It is done once, and Done is told of it.
type Action struct {
	Kind      Kind
	Container Container // as it was decided upon
	Health    string    // of Mark
	Output    string    // of Mark
}

// A Core decides. Its methods are called by one goroutine.
type Core struct {
	all map[string]*ward
}

// A ward is a container that is looked after.
type ward struct {
	Container
	seen   bool   // in the present round of a resync
	busy   bool   // something other than a probe is under way
	mark   string // health to be written
	output string
	wait   time.Time // nothing before: the last thing done failed
	course course
}

// NewCore returns one that knows no container.
func NewCore() *Core { return &Core{all: map[string]*ward{}} }

// See takes note of what a container is like now.
func (k *Core) See(c Container) {
	w := k.all[c.ID]
	if w == nil || !w.Created.Equal(c.Created) {
		w = &ward{busy: w != nil && w.busy}
		k.all[c.ID] = w
	}
	w.Container, w.seen = c, true
}

// Gone takes note that there is no such container any more.
func (k *Core) Gone(id string) { delete(k.all, id) }

// Resync replaces everything that is known by what is there now.
func (k *Core) Resync(now []Container) {
	for _, w := range k.all {
		w.seen = false
	}
	for _, c := range now {
		k.See(c)
	}
	for id, w := range k.all {
		if !w.seen {
			delete(k.all, id)
		}
	}
}

// Needed says whether a container has to be looked after, or something is under way.
func (k *Core) Needed() bool {
	for _, w := range k.all {
		if w.busy || w.course.probing || w.Needed() {
			return true
		}
	}
	return false
}

// retryAfter is the pause after something could not be done: containerd is away, somebody else is changing the container.
const retryAfter = 500 * time.Millisecond

// Done takes note that an action has ended. It did its work, or will be decided upon again after a pause.
func (k *Core) Done(a Action, err error, now time.Time) {
	w := k.all[a.Container.ID]
	if w == nil {
		return
	}
	w.busy = false
	if !w.Created.Equal(a.Container.Created) {
		return
	}
	if err != nil {
		w.wait = now.Add(retryAfter)
		return
	}
	if a.Kind == Mark {
		w.Health = a.Health
		if w.mark == a.Health {
			w.mark = ""
		}
	}
}

// Probed takes note of how a probe ended.
func (k *Core) Probed(a Action, r ProbeResult, now time.Time) {
	w := k.all[a.Container.ID]
	if w == nil || !w.course.started.Equal(a.Container.StartedAt) {
		return // of an earlier process
	}
	if w.Check == nil || !w.Running {
		w.course.probing = false
		return
	}
	if to := w.course.judge(w.Check, w.Health, r, now); to != "" {
		w.mark, w.output = to, r.Output
	}
}

// Tick returns what is to be done now, and when to ask again; the zero time is: when something has changed.
func (k *Core) Tick(now time.Time) (actions []Action, next time.Time) {
	later := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	for _, w := range k.all {
		at, act, ok := w.decide(now)
		switch {
		case !ok:
		case at.After(now):
			later(at)
		default:
			if act.Kind == Probe {
				w.course.probing, w.course.begun = true, now
			} else {
				w.busy = true
			}
			actions = append(actions, act)
		}
	}
	return actions, next
}

// decide says what the container needs, and when.
func (w *ward) decide(now time.Time) (time.Time, Action, bool) {
	if w.busy {
		return now, Action{}, false
	}
	if w.wait.After(now) {
		return w.wait, Action{}, true
	}
	act := Action{Container: w.Container}
	if w.Running {
		return w.tend(now, act)
	}
	if w.Ended && !w.Settled {
		act.Kind = Settle
		return now, act, true
	}
	at, due := w.RestartAt()
	act.Kind = Restart
	return at, act, due
}

// tend decides about one that runs.
func (w *ward) tend(now time.Time, act Action) (time.Time, Action, bool) {
	if w.Check == nil || w.Paused || w.StoppedBy != "" {
		return now, act, false
	}
	if !w.course.started.Equal(w.StartedAt) {
		w.course = course{started: w.StartedAt, next: w.StartedAt.Add(firstProbe)}
		w.mark = ""
	}
	switch {
	case w.mark != "" && w.mark != w.Health:
		act.Kind, act.Health, act.Output = Mark, w.mark, w.output
		return now, act, true
	case w.Health == Unhealthy && w.Check.OnFailure != "" && w.Check.OnFailure != "none":
		act.Kind = End
		return now, act, true
	case w.course.probing:
		return now, act, false
	}
	act.Kind = Probe
	return w.course.next, act, true
}
