package main

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/docker/go-units"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

// A retuned is what the profile says by now.
type retuned struct {
	m    *member
	plan plan.Plan
	err  error // it is not applied
}

// reload reads the profile again and applies what a running container can be given.
func (k *keeper) reload(ctx context.Context, pings <-chan time.Time) {
	was := k.n.last()
	if k.ready {
		k.n.say(append(reloading(), statusLine("reading the profile again"))...)
	}
	now, over := k.meanwhile(ctx, pings, k.retune)
	if !over { // the service is to stop
		return
	}
	status := was
	if now.err != nil {
		k.s.reportOne(now.err)
		status = fmt.Sprintf("not reloaded, goes on as it was: %v", now.err)
	} else {
		k.m.profile, k.m.plan.StopSeconds = now.m.profile, now.plan.StopSeconds
		k.allowed(now.plan)
	}
	if k.ready {
		k.n.say("READY=1")
	}
	k.n.is("%s", status)
}

// meanwhile lets the watchdog know that the service lives, while a plan is made: a proof on a slow disk takes as long as it takes. over is
// false where ctx has ended before.
func (k *keeper) meanwhile(ctx context.Context, pings <-chan time.Time, work func(context.Context) retuned) (now retuned, over bool) {
	done := make(chan retuned, 1)
	go func() { done <- work(ctx) }()
	for {
		select {
		case now := <-done:
			return now, true
		case <-pings:
			k.n.say(daemon.SdNotifyWatchdog)
		case <-ctx.Done():
			return retuned{}, false
		}
	}
}

func (k *keeper) retune(ctx context.Context) retuned {
	m, err := k.read(ctx)
	if err != nil {
		return retuned{err: err}
	}
	ord := k.order(m)
	ord.pull = "never"
	facts, pl, err := k.s.assemble(ctx, ord)
	if err != nil {
		return retuned{err: err}
	}
	pl.MadeOf = madeOf(facts, pl)
	changed, fixed, err := k.client.Retune(ctx, pl)
	switch {
	case errors.Is(err, runtime.ErrNoContainer), err != nil:
		return retuned{err: err}
	case len(fixed) > 0:
		return retuned{err: finding.Errorf(finding.StatusFailed, k.unit.Systemctl("restart"), "%s: %s: a new container is needed: %s", finding.UnitReload, k.id, strings.Join(fixed, "; "))}
	}
	for _, change := range changed {
		k.s.note("%s: %s", k.id, change)
	}
	return retuned{m: m, plan: pl}
}

// allowed says which limits of the profile are more than the unit has: the container does not get them.
func (k *keeper) allowed(pl plan.Plan) {
	if k.unit.Cgroup == "" || pl.Spec == nil || pl.Spec.Linux == nil || pl.Spec.Linux.Resources == nil {
		return
	}
	for _, less := range beyond(pl, runtime.AllowanceOf(path.Dir(k.unit.Cgroup))) {
		k.s.note("%s: container %s: %s; hostrun systemd install %s writes what the profile says", finding.UnitLess, k.id, less, k.id)
	}
}

// beyond are the plan's limits that are more than is allowed.
func beyond(pl plan.Plan, a runtime.Allowance) (less []string) {
	r := pl.Spec.Linux.Resources
	if r.Memory != nil && r.Memory.Limit != nil && a.Memory > 0 && *r.Memory.Limit > a.Memory {
		less = append(less, fmt.Sprintf("mem_limit is %s, and the unit allows %s (MemoryMax=)", units.BytesSize(float64(*r.Memory.Limit)), units.BytesSize(float64(a.Memory))))
	}
	if r.Pids != nil && r.Pids.Limit != nil && a.Pids > 0 && *r.Pids.Limit > a.Pids {
		less = append(less, fmt.Sprintf("pids_limit is %d, and the unit allows %d (TasksMax=)", *r.Pids.Limit, a.Pids))
	}
	if c := r.CPU; c != nil && c.Quota != nil && *c.Quota > 0 && a.CPUs > 0 {
		period := uint64(100_000) // the kernel's
		if c.Period != nil && *c.Period > 0 {
			period = *c.Period
		}
		if cpus := float64(*c.Quota) / float64(period); cpus > a.CPUs {
			less = append(less, fmt.Sprintf("cpus is %g, and the unit allows %g (CPUQuota=)", cpus, a.CPUs))
		}
	}
	return less
}
