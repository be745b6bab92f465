package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
	"hostrun.dev/hostrun/supervise"
	"hostrun.dev/hostrun/unit"
)

// This file is `hostrun up --supervise`: a service, whose end is that of its container. It starts it, tells the service manager how that
// goes, passes its output on, probes it, and stops it. When to start it again is the service manager's business.

// A keeper looks after one container.
type keeper struct {
	overseer
	name  string // of the profile
	o     upOptions
	id    string
	m     *member
	n     *notifier
	unit  plan.Unit
	under bool      // a unit of systemd
	since time.Time // the output that is passed on begins here
	ready bool

	probed   func()                   // the healthcheck has come to its end: no more time is asked for
	looked   chan supervise.Container // the latest look at the container
	outputMu sync.Mutex
	output   string // of the probe that made it unhealthy
}

// onlyForeground is what has no meaning for a process that stays.
func (o upOptions) onlyForeground() error {
	for flag, on := range map[string]bool{"--attach": o.attach, "--wait": o.wait || o.waitTimeout != "", "--all": o.all, "--dry-run": o.dryly} {
		if on {
			return finding.Errorf(finding.StatusUsage, "hostrun up --supervise NAME stays as long as the container, and is ready when it is healthy", "hostrun up: give --supervise or %s, not both", flag)
		}
	}
	return nil
}

func runKept(ctx context.Context, s *session, o upOptions) error {
	// A crash of ours must not look like wrong arguments, after which nobody starts a service again: Go's own status of it is 2.
	debug.SetTraceback("crash")
	if err := o.onlyForeground(); err != nil {
		return err
	}
	names, err := s.names(wants{what: "profile", min: 1, max: 1}, true)
	if err != nil {
		return err
	}
	if s.line.dashes {
		o.over.command = s.line.rest
	}
	defer dropRelay(s.env)
	n := newNotifier(s.toServiceManager)
	k := &keeper{overseer: overseer{s: s}, name: unit.Profile(names[0]), o: o, n: n, looked: make(chan supervise.Container, 1)}
	reload := s.signals.onHangup()
	release, err := k.start(ctx)
	defer release()
	if err != nil && ctx.Err() != nil { // systemctl stop, before it was up: nothing has failed
		n.say("STOPPING=1")
		return nil
	}
	if err != nil {
		n.is("not started: %v", err)
		return err
	}
	return k.keep(ctx, reload)
}

// start has the container run. release is never nil.
func (k *keeper) start(ctx context.Context) (release func(), err error) {
	release = func() {}
	s := k.s
	asking := make(chan struct{})
	defer close(asking)
	go k.n.keepAsking(asking)
	s.progress.tapped(k.n.event)
	if k.m, err = k.read(ctx); err != nil {
		return release, err
	}
	k.id = k.m.id
	if k.client, err = s.containerdFor(ctx, k.id); err != nil {
		return release, err
	}
	k.m.client = k.client
	if release, err = k.client.LockKeeper(k.id); err != nil {
		return func() {}, err
	}
	k.enterUnit()
	if err := k.awaitNeeds(ctx); err != nil {
		return release, err
	}
	return release, k.up(ctx)
}

// read reads the profile with those that it depends on.
func (k *keeper) read(ctx context.Context) (*member, error) {
	st, err := k.s.stackOf(ctx, []string{k.name}, stackOptions{one: k.o.replica == 0})
	if err != nil {
		return nil, err
	}
	return st.replica(k.name, k.o.replica)
}

// order is for the plan of what is kept.
func (k *keeper) order(m *member) order {
	return m.order(order{over: k.o.over, strict: k.o.strict, locked: k.o.locked, unit: &k.unit})
}

// replica is the asked one, or its replica of that number.
func (st *stack) replica(name string, number int) (*member, error) {
	if number == 0 {
		return st.asked(), nil
	}
	for _, m := range st.members {
		if m.asked && m.replica == number {
			return m, nil
		}
	}
	return nil, finding.Errorf(finding.StatusProfile, "hostrun systemd install "+name+" writes the units of those that there are", "%s: the profile %s has no replica %d", finding.NoReplica, name, number)
}

// enterUnit finds out whose service this is.
func (k *keeper) enterUnit() {
	around := k.client.EnterUnit(unitsMain(k.s.env))
	k.unit = plan.Unit{Name: around.Unit, User: around.User, Cgroup: around.Cgroup}
	if k.under = around.Unit != ""; !k.under {
		k.unit.Name = "hostrun up --supervise"
	}
	if k.under && around.Why != "" {
		k.s.note("%s: the container gets a cgroup of its own, outside of %s, whose limits do not hold for it: %s", finding.NotInUnit, around.Unit, around.Why)
	}
}

// awaitNeeds waits for what the profile depends on. Who starts that is the service manager, by the order of the units.
func (k *keeper) awaitNeeds(ctx context.Context) error {
	for _, need := range k.m.needs {
		k.n.is("waiting for %s to be %s", need.of.id, strings.ReplaceAll(need.Condition, "_", " "))
		done := k.n.during("needs")
		err := k.awaitNeed(ctx, need)
		done()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case need.Optional:
			k.s.note("%s goes on without %s: %v", k.id, need.of.id, err)
		default:
			return finding.Errorf(finding.StatusOf(err), strings.Join(finding.HintOf(err), "\n"), "container %s: not started: %w", k.id, err)
		}
	}
	return nil
}

func (k *keeper) awaitNeed(ctx context.Context, n need) error {
	client, err := k.s.containerdFor(ctx, n.of.id)
	if err != nil {
		return err
	}
	if n.Condition != profiles.DependStarted {
		err = k.s.awaitState(ctx, client, n.of.id, n.Condition)
	} else {
		err = client.Await(ctx, n.of.id, func(c runtime.Container) (bool, error) { return c.StartedAt != nil, nil })
	}
	if errors.Is(err, runtime.ErrNoContainer) {
		return finding.Errorf(finding.StatusFailed, plan.Unit{Name: unit.Name(n.of.id), User: k.unit.User}.Systemctl("start")+"\nor hostrun up "+n.of.id, "%s, on which it depends, was not started", n.of.id)
	}
	return err
}

// up is oneUp for a container that is kept.
func (k *keeper) up(ctx context.Context) error {
	s := k.s
	if err := k.build(ctx); err != nil {
		return err
	}
	layer := s.headStart(ctx)
	defer layer.end()
	k.n.is("checking")
	ord := k.order(k.m)
	ord.starts, ord.wait, ord.layer = true, k.o.devices.wait, layer
	facts, pl, err := s.assemble(ctx, ord)
	defer s.unreserve(facts)
	if err != nil {
		return err
	}
	s.warn(pl.Findings)
	k.allowed(pl)
	pl.Keeper, pl.MadeOf = true, madeOf(facts, pl)
	if err := s.preStart(ctx, k.m, facts, pl, k.o); err != nil {
		return err
	}
	k.since = time.Now()
	done, err := k.client.Up(ctx, pl, k.o.recreate)
	if err != nil {
		return err
	}
	if k.m.plan = pl; done.Action == "unchanged" {
		k.since = time.Now() // what was written before was passed on before
	}
	for _, change := range whyReplaced(done, facts, pl) {
		s.note("%s replaced: %s", k.id, change)
	}
	return nil
}

// build is for a profile whose image is made here: that takes as long as it takes.
func (k *keeper) build(ctx context.Context) error {
	if k.m.profile.Build == nil {
		return nil
	}
	k.n.is("building the image")
	defer k.n.during("build")()
	return k.s.buildMissing(ctx, k.m.profile, k.o.over.image, k.o.build)
}

// A lastly is how the container has ended.
type lastly struct {
	status int
	err    error
}

// keep stays with the container until it has ended, or the service is to stop.
func (k *keeper) keep(ctx context.Context, reload <-chan struct{}) error {
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	ended := make(chan lastly, 1)
	go func() {
		status, err := k.client.Relay(life, k.id, k.since, runtime.IO{Stdout: k.s.stdout, Stderr: k.s.stderr})
		ended <- lastly{status, err}
	}()
	watch, rest := context.WithCancel(life)
	defer rest()
	go supervise.Run(watch, k, supervise.Settings{Log: k.s.superviseLog})
	var settled <-chan time.Time
	if k.m.profile.Healthcheck == nil {
		settled = time.After(settleTime)
	} else {
		k.n.is("running, not yet healthy")
		k.probed = k.n.during("the healthcheck")
		defer k.probed()
	}
	var pings <-chan time.Time
	if every := watchdogEvery(); every > 0 {
		t := time.NewTicker(every)
		defer t.Stop()
		pings = t.C
	}
	asks := time.NewTicker(askEvery)
	defer asks.Stop()
	parent := os.Getppid()
	for {
		select {
		case <-ctx.Done():
			rest()
			return k.stop(ctx, ended)
		case end := <-ended:
			return k.over(life, end)
		case c := <-k.looked:
			k.look(c)
		case <-settled:
			k.isReady("running")
		case <-reload:
			k.reload(ctx, pings)
		case <-pings:
			k.n.say(daemon.SdNotifyWatchdog)
		case <-asks.C:
			k.n.tick()
			if k.s.env[keepsFor] != "" && os.Getppid() != parent { // the engine was killed, and with it the way to whose service this is
				rest()
				return k.stop(ctx, ended)
			}
		}
	}
}

func (k *keeper) isReady(how string) {
	k.ready = true
	k.n.isReady(how)
}

// look takes note of the container's health.
func (k *keeper) look(c supervise.Container) {
	switch {
	case !c.Running || k.m.profile.Healthcheck == nil:
	case c.Health == supervise.Healthy:
		k.isReady("healthy")
	case c.Health == supervise.Unhealthy:
		k.probed() // it may yet recover, within the time that the unit gives it
		k.n.is("unhealthy%s", colon(k.lastOutput()))
	}
}

// over makes the end of the container that of the service.
func (k *keeper) over(ctx context.Context, end lastly) error {
	if end.err != nil && !errors.Is(end.err, runtime.ErrNoContainer) {
		return end.err
	}
	c, there, err := k.client.Tended(ctx, k.id)
	switch {
	case err != nil:
		k.s.log.Warn("look at what has ended", "error", err)
	case !there:
		return k.leave("removed by hostrun")
	case c.StoppedBy == supervise.ByUser:
		return k.leave("stopped by hostrun")
	case c.StoppedBy == supervise.ByHealth:
		return k.leave("stopped, as it was unhealthy" + colon(k.lastOutput()))
	case c.Owed:
		k.n.say("STOPPING=1")
		return finding.Errorf(finding.StatusFailed, "hostrun logs "+k.id, "container %s: stopped to be started again, as it was unhealthy%s", k.id, colon(k.lastOutput()))
	}
	if end.status == 0 && !k.ready { // a job that was quick
		k.isReady("done")
	}
	k.n.say("STOPPING=1", statusLine(fmt.Sprintf("ended with status %d", end.status)))
	return asEnded(k.outward(end.status))
}

// outward is the container's exit status as the service's. What a service manager would take for one of ours, after which it starts nothing
// again, becomes 1.
func (k *keeper) outward(status int) int {
	if slices.Contains(finalStatuses, status) {
		k.s.note("container %s has ended with status %d, which is shown as %d: of hostrun itself it would mean that no restart helps", k.id, status, finding.StatusFailed)
		return finding.StatusFailed
	}
	return status
}

// finalStatuses are those of RestartPreventExitStatus= in the template.
var finalStatuses = []int{finding.StatusUsage, finding.StatusProfile, finding.StatusNoPath, finding.StatusNoDevice, finding.StatusPermission, finding.StatusMisfit}

// leave ends the service for good, whatever its policy of restarts: by SIGTERM, which is a clean end to systemd, and one after which the
// template lets nothing be started again.
func (k *keeper) leave(why string) error {
	k.s.note("container %s: %s", k.id, why)
	if !k.ready { // it would be a start that failed
		k.isReady(why)
	}
	k.n.say("STOPPING=1", statusLine(why))
	if !k.under {
		return nil
	}
	dieOf(syscall.SIGTERM)
	return nil
}

// flushed is how long the last output of a stopped container may take to be passed on.
const flushed = 10 * time.Second

// stop ends the container with its grace: the service is to end.
func (k *keeper) stop(ctx context.Context, ended <-chan lastly) error {
	ctx = context.WithoutCancel(ctx)
	k.n.stopping(unit.StopTimeout(k.m.profile), fmt.Sprintf("stopping, with %s of grace", seconds(k.m.plan.StopSeconds)))
	err := k.client.StopKept(ctx, k.id)
	if err != nil && k.client.Address() == k.s.layout().Address() && k.wake(ctx) == nil {
		err = k.client.StopKept(ctx, k.id)
	}
	if err != nil {
		return err
	}
	select {
	case <-ended:
	case <-time.After(flushed):
	}
	return nil
}

// The keeper is the world of package supervise, with one container in it, which is not started again here.

func (k *keeper) List(ctx context.Context) ([]supervise.Container, error) {
	c, there, err := k.Look(ctx, k.id)
	if err != nil && k.client.Address() == k.s.layout().Address() {
		err = errors.Join(err, k.wake(ctx))
	}
	if err != nil || !there {
		return nil, err
	}
	return []supervise.Container{c}, nil
}

func (k *keeper) Look(ctx context.Context, id string) (supervise.Container, bool, error) {
	if id != k.id {
		return supervise.Container{}, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	c, there, err := k.client.Tended(ctx, id)
	if err != nil || !there {
		return c, there, err
	}
	select {
	case <-k.looked: // the one before is of no use any more
	default:
	}
	select {
	case k.looked <- c:
	default:
	}
	c.Restart, c.Owed = "", false
	return c, true, nil
}

func (k *keeper) Do(ctx context.Context, a supervise.Action) error {
	if a.Kind == supervise.Mark {
		k.s.note("container %s is %s%s", k.id, a.Health, colon(a.Output))
		k.setOutput(a.Output)
	}
	return k.overseer.Do(ctx, a)
}

func (k *keeper) setOutput(text string) {
	k.outputMu.Lock()
	defer k.outputMu.Unlock()
	k.output = text
}

func (k *keeper) lastOutput() string {
	k.outputMu.Lock()
	defer k.outputMu.Unlock()
	return k.output
}

func colon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}
