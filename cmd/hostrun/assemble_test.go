package main

import (
	"context"
	"fmt"
	"testing"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

// TestMembersAskForTheEngineOnce: each member of a stack read again what the same containerd can do.
func TestMembersAskForTheEngineOnce(t *testing.T) {
	client := new(runtime.Client)
	for range 1000 { // a slow machine may be late for an answer
		s, _, _ := testSession()
		_, _ = s.abilities.Ask(t.Context(), fmt.Sprintf("%p %s", client, "runc"), func(context.Context) (plan.Engine, error) {
			return plan.Engine{OCIRuntime: "runc of another member"}, nil
		})
		if e, err := s.engineFor(t.Context(), client, "runc"); err == nil && e.OCIRuntime == "runc of another member" {
			if e, err := s.engineFor(t.Context(), client, "crun"); err == nil {
				t.Errorf("who asks for crun is told of %+v", e)
			}
			return
		}
	}
	t.Error("each asks for itself")
}

// TestMembersLookForShimsOnce: each member of a stack whose names have left traces looked at each process of the machine, several times.
func TestMembersLookForShimsOnce(t *testing.T) {
	for range 1000 { // a slow machine may be late for an answer
		s, _, _ := testSession()
		_, _ = s.shims.Ask(t.Context(), s.global.namespace, func(context.Context) (map[string]string, error) {
			return map[string]string{"web": "seen by another member"}, nil
		})
		if s.shimOf(t.Context(), "web") == "seen by another member" {
			return
		}
	}
	t.Error("each looks for itself")
}
