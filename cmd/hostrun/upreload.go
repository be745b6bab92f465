package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

// reload reads the profile again and applies what a running container can be given.
func (k *keeper) reload(ctx context.Context) {
	was := k.n.last()
	if k.ready {
		k.n.say(append(reloading(), statusLine("reading the profile again"))...)
	}
	status, err := k.retune(ctx)
	if err != nil {
		k.s.reportOne(err)
		status = fmt.Sprintf("not reloaded, goes on as it was: %v", err)
	}
	if status == "" {
		status = was
	}
	if k.ready {
		k.n.say("READY=1")
	}
	k.n.is("%s", status)
}

// retune returns the new status; "" for that of before.
func (k *keeper) retune(ctx context.Context) (string, error) {
	s := k.s
	st, err := s.stackOf([]string{k.m.name})
	if err != nil {
		return "", err
	}
	m := st.asked()
	_, pl, err := s.assemble(ctx, order{name: m.name, loaded: m.profile, pull: "never", unit: &k.unit})
	if err != nil {
		return "", err
	}
	changed, fixed, err := k.client.Retune(ctx, pl)
	switch {
	case errors.Is(err, runtime.ErrNoContainer), err != nil:
		return "", err
	case len(fixed) > 0:
		return "", finding.Errorf(finding.StatusFailed, "systemctl restart "+k.unit.Name, "%s: %s: a new container is needed: %s", finding.UnitReload, k.id, strings.Join(fixed, "; "))
	}
	for _, change := range changed {
		s.note("%s: %s", k.id, change)
	}
	k.m.profile, k.m.plan.StopSeconds = m.profile, pl.StopSeconds
	return "", nil
}
