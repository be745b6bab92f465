package integration

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

func (w *world) one(id string) runtime.Container {
	w.t.Helper()
	list, err := w.c.List(context.Background(), true)
	ok(w.t, err)
	for _, c := range list {
		if c.Container == id {
			return c
		}
	}
	w.t.Fatalf("no container %s in %+v", id, list)
	return runtime.Container{}
}

func (w *world) up(pl plan.Plan, want string) runtime.UpResult {
	w.t.Helper()
	res, err := w.c.Up(context.Background(), pl, false)
	ok(w.t, err)
	equal(w.t, "action", res.Action, want)
	return res
}

func TestRuntimeLife(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		pl := w.plan("web", "sh", "-c", "trap 'echo bye; exit 7' TERM; echo out; echo err >&2; while :; do sleep 0.05; done")
		w.up(pl, "created")
		w.up(pl, "unchanged")
		c := w.one("web")
		equal(t, "status", c.Status, "running")
		if c.PID == 0 || c.StartedAt == nil || c.ExitStatus != nil || c.Profile != "test" || c.Image != busybox {
			t.Errorf("running: %+v", c)
		}
		w.eventually("the log has both lines", func() error { return w.logged("web", "out\n", "err\n") })
		ok(t, w.c.Stop(ctx, "web", nil))
		c = w.one("web")
		equal(t, "status", c.Status, "exited")
		if c.ExitStatus == nil || *c.ExitStatus != 7 || c.FinishedAt == nil {
			t.Errorf("stopped: %+v", c)
		}
		equal(t, "tasks and shims after stop", len(w.leaks().Tasks)+len(w.leaks().Shims), 0)
		status, err := w.c.Wait(ctx, "web")
		ok(t, err)
		equal(t, "wait", status, 7)
		ok(t, w.logged("web", "out\nbye\n", "err\n"))

		w.up(pl, "started")
		w.eventually("it logs again", func() error { return w.logged("web", "out\nbye\nout\n", "err\nerr\n") })
		if err := w.c.Remove(ctx, "web", false); err == nil || !strings.Contains(err.Error(), "it runs") {
			t.Errorf("remove a running one: %v", err)
		}
		changed := w.plan("web", "sleep", "1000")
		res := w.up(changed, "replaced")
		if len(res.Changed) != 1 || !strings.HasPrefix(res.Changed[0], "process.args") {
			t.Errorf("changed: %q", res.Changed)
		}
		ok(t, w.c.Kill(ctx, "web", "KILL"))
		status, err = w.c.Wait(ctx, "web")
		ok(t, err)
		equal(t, "wait after kill", status, 137)
		ok(t, w.c.Start(ctx, "web"))
		equal(t, "status", w.one("web").Status, "running")
		if _, err := w.c.InspectContainer(ctx, "web"); err != nil {
			t.Error(err)
		}
		none := time.Duration(0)
		ok(t, w.c.Stop(ctx, "web", &none))
		equal(t, "exit status", *w.one("web").ExitStatus, 137)
		ok(t, w.c.Remove(ctx, "web", false))
		w.clean()

		w.up(pl, "created")
		ok(t, w.c.Down(ctx, "web", nil))
		w.clean()
		if err := w.c.Down(ctx, "web", nil); !errors.Is(err, runtime.ErrNoContainer) {
			t.Errorf("down of what is not there: %v", err)
		}
	})
}

func (w *world) logged(id, wantOut, wantErr string) error {
	var stdout, stderr output
	if err := w.c.Logs(context.Background(), id, runtime.LogOptions{Tail: -1}, &stdout, &stderr); err != nil {
		return err
	}
	if stdout.String() != wantOut || stderr.String() != wantErr {
		return &wrongOutput{stdout.String(), stderr.String()}
	}
	return nil
}

type wrongOutput struct{ stdout, stderr string }

func (e *wrongOutput) Error() string { return "stdout " + e.stdout + " stderr " + e.stderr }

func TestRuntimeRun(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		for _, test := range []struct {
			name           string
			args           []string
			stdin          string
			status         int
			stdout, stderr string
		}{
			{name: "true", args: []string{"true"}},
			{name: "exit status", args: []string{"sh", "-c", "exit 42"}, status: 42},
			{name: "killed by itself", args: []string{"sh", "-c", "sh -c 'kill -9 $$' 2>/dev/null; exit $?"}, status: 137},
			{name: "streams", args: []string{"sh", "-c", "echo a; echo b >&2"}, stdout: "a\n", stderr: "b\n"},
			{name: "stdin", args: []string{"cat"}, stdin: "hello", stdout: "hello"},
			{name: "last output", args: []string{"sh", "-c", "seq 1 20000 | head -c 100000; printf end"}, stdout: "…end"},
		} {
			t.Run(test.name, func(t *testing.T) {
				var stdout, stderr output
				stdio := runtime.IO{Stdout: &stdout, Stderr: &stderr}
				if test.stdin != "" {
					stdio.Stdin = strings.NewReader(test.stdin)
				}
				status, err := w.c.Run(context.Background(), w.plan("one", test.args...), stdio, nil)
				ok(t, err)
				equal(t, "status", status, test.status)
				if tail, cut := strings.CutPrefix(test.stdout, "…"); cut {
					equal(t, "length", len(stdout.String()), 100003)
					equal(t, "tail", strings.HasSuffix(stdout.String(), tail), true)
				} else {
					equal(t, "stdout", stdout.String(), test.stdout)
				}
				if test.stderr != "" { // a shell may say "Killed"
					equal(t, "stderr", stderr.String(), test.stderr)
				}
				w.clean()
			})
		}
	})
}
