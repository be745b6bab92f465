package integration

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"

	"hostrun.dev/hostrun/plan"
)

// TestRuntimeKilledSuddenly kills verbs at moments that are no steps: in the middle of calls to containerd, which then
// loses its client. A deletion cut off there once left a shim that containerd itself no longer showed ("task already
// exists").
func TestRuntimeKilledSuddenly(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		pl := quick(w.plan("victim", "sleep", "1000"))
		for _, verb := range []string{"up", "down", "run"} {
			for moment := 5 * time.Millisecond; moment < 260*time.Millisecond; moment += 15 * time.Millisecond {
				if verb == "down" {
					w.again(pl)
				}
				ended := w.suddenly(verb, moment, pl)
				w.running(pl)
				ok(t, w.c.Down(ctx, pl.ID, nil))
				t.Logf("%s killed after %v", verb, moment)
				w.eventually("nothing is left", func() error { // containerd takes its time to undo what was cut off
					ok(t, w.c.Sweep(ctx))
					if l := w.leaks().String(); l != "" {
						return errors.New(l)
					}
					return nil
				})
				if t.Failed() {
					t.Fatalf("%s killed after %v", verb, moment)
				}
				if ended {
					break // it was through before the kill, and later ones come later still
				}
			}
		}
	})
}

// suddenly runs verb in a child that is killed after a while, and reports whether it had ended by itself.
func (w *world) suddenly(verb string, moment time.Duration, pl plan.Plan) (ended bool) {
	w.t.Helper()
	if verb == "run" {
		pl = quick(w.plan("once", "sleep", "1000"))
	}
	cmd := w.victim(verb, pl)
	ok(w.t, cmd.Start())
	timer := time.AfterFunc(moment, func() { _ = cmd.Process.Kill() })
	defer timer.Stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return err == nil
}
