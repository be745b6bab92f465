package supervise

import (
	"context"
	"sync"
	"time"
)

// A World is where the containers are. Its methods are called from several goroutines, but for Watch.
type World interface {
	// List returns every container that has a policy or a healthcheck, complete or ended.
	List(ctx context.Context) ([]Container, error)
	// Look returns one of them; false where there is none.
	Look(ctx context.Context, id string) (Container, bool, error)
	// Watch calls changed with the name of each container that changes, until the stream of events breaks. It may miss changes at
	// its beginning.
	Watch(ctx context.Context, changed func(id string)) error
	// Do does an action other than Probe, and returns when it has its effect or has failed.
	Do(ctx context.Context, a Action) error
	// Probe returns within the time that the healthcheck gives it.
	Probe(ctx context.Context, c Container) ProbeResult
}

// Settings of Run.
type Settings struct {
	Linger time.Duration // Run returns after so long in which nothing needed it; 0: never
	Log    func(message string, args ...any)
}

const (
	// confirmAfter is when a resync is repeated: the stream of events may have begun only after the first.
	confirmAfter = time.Second
	// resyncEvery bounds what a lost event can cost.
	resyncEvery = time.Minute
	// reconnectAfter is the pause between two attempts to reach containerd.
	reconnectAfter = 300 * time.Millisecond
	// atOnce bounds the restarts and the like that are under way: after a reboot all containers want one.
	atOnce = 8
	// probesAtOnce bounds the probes.
	probesAtOnce = 16
)

// Run keeps the world's containers as their records want them, until ctx ends or nothing has needed it for Linger.
func Run(ctx context.Context, w World, set Settings) {
	ctx, cancel := context.WithCancel(ctx)
	r := &runner{ctx: ctx, world: w, set: set, core: NewCore(), changes: make(chan string, 256), results: make(chan func(), 64),
		work: make(chan struct{}, atOnce), probes: make(chan struct{}, probesAtOnce)}
	defer r.wait.Wait()
	defer cancel()
	r.wait.Go(r.watch)
	r.loop()
}

type runner struct {
	ctx     context.Context
	world   World
	set     Settings
	core    *Core
	changes chan string // names; "" is: look at all
	results chan func() // run by the loop
	work    chan struct{}
	probes  chan struct{}
	wait    sync.WaitGroup

	resync  time.Time // the next one
	confirm bool      // the one after the first, which may have missed what happened before the stream began
	synced  bool      // one has succeeded: before it nothing is known, and nothing may be concluded from that
	idle    time.Time // since when nothing needs us
}

// watch keeps a stream of events.
func (r *runner) watch() {
	for r.ctx.Err() == nil {
		r.change("")
		err := r.world.Watch(r.ctx, r.change)
		if r.ctx.Err() == nil {
			r.log("the stream of events broke", "error", err)
			sleep(r.ctx, reconnectAfter)
		}
	}
}

func (r *runner) change(id string) {
	select {
	case r.changes <- id:
	case <-r.ctx.Done():
	}
}

func (r *runner) loop() {
	for r.ctx.Err() == nil {
		now := time.Now()
		if !r.resync.IsZero() && !now.Before(r.resync) {
			r.resyncAll(now)
		}
		actions, next := r.core.Tick(now)
		for _, a := range actions {
			r.begin(a)
		}
		if r.over(now) {
			return
		}
		r.pause(now, next)
	}
}

// over says whether nothing has needed us for long enough.
func (r *runner) over(now time.Time) bool {
	switch {
	case r.set.Linger == 0, !r.synced, r.core.Needed():
		r.idle = time.Time{}
	case r.idle.IsZero():
		r.idle = now
	default:
		return now.Sub(r.idle) >= r.set.Linger
	}
	return false
}

// pause waits for the next thing to happen.
func (r *runner) pause(now, next time.Time) {
	wake := r.resync
	for _, at := range []time.Time{next, r.lingerEnd()} {
		if !at.IsZero() && (wake.IsZero() || at.Before(wake)) {
			wake = at
		}
	}
	var alarm <-chan time.Time
	if !wake.IsZero() {
		t := time.NewTimer(wake.Sub(now))
		defer t.Stop()
		alarm = t.C
	}
	select {
	case <-r.ctx.Done():
	case <-alarm:
	case id := <-r.changes:
		r.take(id)
	case f := <-r.results:
		f()
	}
}

func (r *runner) lingerEnd() time.Time {
	if r.idle.IsZero() {
		return time.Time{}
	}
	return r.idle.Add(r.set.Linger)
}

// take looks at a container of which an event told.
func (r *runner) take(id string) {
	if id == "" {
		r.confirm = true
		r.resyncAll(time.Now())
		return
	}
	r.look(id)
}

func (r *runner) resyncAll(now time.Time) {
	all, err := r.world.List(r.ctx)
	if err != nil {
		r.log("look at the containers", "error", err)
		r.resync = now.Add(retryAfter)
		return
	}
	r.core.Resync(all)
	r.synced = true
	r.resync = now.Add(resyncEvery)
	if r.confirm {
		r.confirm, r.resync = false, now.Add(confirmAfter)
	}
}

func (r *runner) look(id string) {
	c, there, err := r.world.Look(r.ctx, id)
	switch {
	case err != nil: // containerd is away: the stream breaks too, and what comes after it looks at all
		r.log("look at the container", "container", id, "error", err)
		r.resync = time.Now().Add(retryAfter)
	case there:
		r.core.See(c)
	default:
		r.core.Gone(id)
	}
}

// begin does an action in the background.
func (r *runner) begin(a Action) {
	if a.Kind == Probe {
		r.wait.Go(func() {
			if !enter(r.ctx, r.probes) {
				return
			}
			result := r.world.Probe(r.ctx, a.Container)
			<-r.probes
			r.result(func() { r.core.Probed(a, result, time.Now()) })
		})
		return
	}
	r.wait.Go(func() {
		if !enter(r.ctx, r.work) {
			return
		}
		err := r.world.Do(r.ctx, a)
		<-r.work
		r.result(func() {
			if err != nil {
				r.log(a.Kind.String(), "container", a.Container.ID, "error", err)
			}
			r.core.Done(a, err, time.Now())
			r.look(a.Container.ID)
		})
	})
}

func (r *runner) result(f func()) {
	select {
	case r.results <- f:
	case <-r.ctx.Done():
	}
}

func (r *runner) log(message string, args ...any) {
	if r.set.Log != nil && r.ctx.Err() == nil {
		r.set.Log(message, args...)
	}
}

func enter(ctx context.Context, room chan struct{}) bool {
	select {
	case room <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
