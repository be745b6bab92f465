package integration

import (
	"context"
	"errors"
	"testing"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

// gone checks that nobody is shown a container whose removal goes on in the background.
func (w *world) gone(id string) {
	w.t.Helper()
	ctx := context.Background()
	list, err := w.c.List(ctx, true)
	ok(w.t, err)
	equal(w.t, "containers shown", len(list), 0)
	if _, err := w.c.InspectContainer(ctx, id); !errors.Is(err, runtime.ErrNoContainer) {
		w.t.Errorf("inspect: %v", err)
	}
	if err := w.logged(id, "", ""); !errors.Is(err, runtime.ErrNoContainer) {
		w.t.Errorf("logs: %v", err)
	}
}

// TestRuntimeUpRightAfterDown: down returns before all is removed; the next up of that name waits, and makes a new one.
func TestRuntimeUpRightAfterDown(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		pl := quick(w.plan("web", "sleep", "1000"))
		for _, end := range []func() error{
			func() error { return w.c.Down(ctx, "web", nil) },
			func() error { return w.c.Remove(ctx, "web", true) },
		} {
			for range 3 {
				w.up(pl, "created")
				ok(t, end())
				w.gone("web")
			}
		}
		if err := w.c.Start(ctx, "web"); !errors.Is(err, runtime.ErrNoContainer) {
			t.Errorf("start right after the end: %v", err)
		}
		if err := w.c.Down(ctx, "web", nil); !errors.Is(err, runtime.ErrNoContainer) {
			t.Errorf("down right after the end: %v", err)
		}
		w.clean()
	})
}

// TestRuntimeReaperKilled kills the child that down leaves behind at each of its steps: the same name can be used again
// at once, and a sweep removes what is left.
func TestRuntimeReaperKilled(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		pl := quick(w.plan("victim", "sleep", "1000"))
		for _, step := range append([]string{"task-deleted"}, removal[1:]...) {
			for what, after := range map[string]func(){
				"up":    func() { w.again(pl); ok(t, w.c.Remove(ctx, pl.ID, true)) },
				"down":  func() { _ = w.c.Down(ctx, pl.ID, nil) },
				"sweep": func() { w.eventually("the sweep", func() error { ok(t, w.c.Sweep(ctx)); return w.none() }) },
			} {
				w.again(pl)
				status, out := w.child("down", "HOSTRUN_DIE_AT="+step, pl)
				if !status.Exited() || status.ExitStatus() != 0 {
					t.Fatalf("down, its reaper killed at %s: %v\n%s", step, status, out)
				}
				w.gone(pl.ID)
				if what == "sweep" && step == "record-deleted" {
					w.again(pl) // nothing was left but the empty lock file, which goes with the next command of that name
					ok(t, w.c.Remove(ctx, pl.ID, true))
				}
				after()
				w.eventually(what+" after the reaper was killed at "+step, w.none)
			}
		}
	})
}

// none is an error as long as something of containers is left.
func (w *world) none() error {
	if l := w.leaks().String(); l != "" {
		return errors.New("left behind:\n" + l)
	}
	return nil
}

// TestRuntimeUpOverARunningOneOff: up took a container that hostrun run was running for one left half made, and removed it.
func TestRuntimeUpOverARunningOneOff(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		pl := quick(w.plan("web", "sleep", "1000"))
		ended := make(chan int, 1)
		go func() {
			status, _ := w.c.Run(ctx, pl, runtime.IO{}, nil)
			ended <- status
		}()
		w.eventually("it runs", func() error { return w.runs("web") })
		for _, up := range []plan.Plan{pl, quick(w.plan("web", "sleep", "2000"))} {
			_, err := w.c.Up(ctx, up, true)
			refused(t, "up", err, 1, "in use", "hostrun down web")
		}
		equal(t, "status", w.one("web").Status, "running")
		ok(t, w.c.Down(ctx, "web", nil))
		equal(t, "exit status", <-ended, 137)
		w.clean()
	})
}

func (w *world) runs(id string) error {
	list, err := w.c.List(context.Background(), false)
	if err != nil || len(list) != 1 || list[0].Container != id {
		return errors.Join(err, errors.New("it does not"))
	}
	return nil
}

// TestRuntimeReaperMeetsAnotherOfItsName: a reaper of a container of hostrun run came late, when a sweep had removed that one
// and a new one of the same name ran, and removed the new one.
func TestRuntimeReaperMeetsAnotherOfItsName(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		ended := make(chan int, 1)
		go func() {
			status, _ := w.c.Run(ctx, quick(w.plan("web", "sleep", "1000")), runtime.IO{}, nil)
			ended <- status
		}()
		w.eventually("it runs", func() error { return w.runs("web") })
		for _, late := range [][]string{{}, {"1:1:of another boot"}} {
			args := append([]string{w.opt.Address, w.opt.Namespace, w.opt.StateDir, w.opt.DataDir, "lock-free", "web"}, late...)
			reaping, err := runtime.ReapOptions(args)
			ok(t, err)
			ok(t, runtime.Reap(ctx, reaping))
			equal(t, "status", w.one("web").Status, "running")
		}
		ok(t, w.c.Down(ctx, "web", nil))
		equal(t, "exit status", <-ended, 137)
		w.clean()
	})
}
