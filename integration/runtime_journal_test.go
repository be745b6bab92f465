package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

// A victim is what the child does that is killed at one of runtime.Steps.
type victim struct {
	Verb    string
	Options runtime.Options
	Plan    plan.Plan
}

func init() {
	if len(os.Args) == 3 && os.Args[1] == "__victim" {
		if err := suffer(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

func suffer(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var v victim
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	c, err := runtime.Open(ctx, v.Options)
	if err != nil {
		return err
	}
	defer c.Close()
	switch v.Verb {
	case "ahead":
		defer c.Ahead(ctx, v.Plan.ID, v.Plan.ChainID)()
		_, err = c.Up(ctx, v.Plan, false)
	case "up":
		_, err = c.Up(ctx, v.Plan, false)
	case "run":
		_, err = c.Run(ctx, v.Plan, runtime.IO{Stdout: os.Stdout, Stderr: os.Stderr}, nil)
	case "stop":
		err = c.Stop(ctx, v.Plan.ID, nil)
	case "remove":
		err = c.Remove(ctx, v.Plan.ID, true)
	case "down":
		err = c.Down(ctx, v.Plan.ID, nil)
	case "reap":
		err = runtime.Reap(ctx, runtime.Reaping{Options: v.Options, ID: v.Plan.ID})
	case "inspect":
		_, err = c.Inspect(ctx, busybox, "", plan.ImageNeeds{Paths: []string{"/bin/sh"}})
	default:
		err = errors.New("no such verb: " + v.Verb)
	}
	return err
}

// mortal is this test's binary with the failpoints built in.
var mortal = sync.OnceValues(func() (string, error) {
	return built("mortal.test", nil, "test", "-c", "-tags", "failpoints", "hostrun.dev/hostrun/integration")
})

// victim is a process of its own that does verb with the plan.
func (w *world) victim(verb string, pl plan.Plan, env ...string) *exec.Cmd {
	w.t.Helper()
	bin, err := mortal()
	ok(w.t, err)
	opt := w.opt
	b, err := json.Marshal(struct {
		Verb    string
		Options map[string]string
		Plan    plan.Plan
	}{verb, map[string]string{"Address": opt.Address, "Namespace": opt.Namespace, "StateDir": opt.StateDir, "DataDir": opt.DataDir,
		"CacheDir": opt.CacheDir, "LibexecDir": opt.LibexecDir}, pl})
	ok(w.t, err)
	file := w.ctrd.Path("victim.json")
	ok(w.t, os.WriteFile(file, b, 0o600))
	cmd := exec.Command(bin, "__victim", file)
	cmd.Env = append(os.Environ(), env...)
	return cmd
}

// child runs verb in a process of its own.
func (w *world) child(verb, env string, pl plan.Plan) (syscall.WaitStatus, string) {
	w.t.Helper()
	cmd := w.victim(verb, pl, env)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return cmd.ProcessState.Sys().(syscall.WaitStatus), string(out)
}

// die runs verb in a child that is killed at step, and reports whether it got there.
func (w *world) die(verb, step string, pl plan.Plan) bool {
	w.t.Helper()
	status, out := w.child(verb, "HOSTRUN_DIE_AT="+step, pl)
	if status.Signaled() && status.Signal() == syscall.SIGKILL {
		return true
	}
	if status.ExitStatus() != 0 {
		w.t.Fatalf("%s, to be killed at %s: %v\n%s", verb, step, status, out)
	}
	return false
}

var (
	creation = []string{"up-locked", "snapshot-marked", "snapshot-made", "record-created", "files-written", "snapshot-prepared", "task-created", "task-started", "record-ready"}
	ending   = []string{"stop-signalled", "exit-recorded", "task-deleted"}
	removal  = []string{"removal-marked", "snapshot-removed", "files-removed", "record-deleted"}
)

// deaths are the steps that each verb comes to.
var deaths = []struct {
	verb  string
	steps []string
}{
	{"up", creation},
	{"ahead", creation[:4]},
	{"replace", slices.Concat([]string{"stop-signalled", "task-deleted"}, removal)},
	{"restart", []string{"task-created", "task-started", "record-ready"}},
	{"run", []string{"record-created", "files-written", "snapshot-prepared", "task-created", "task-started", "run-exited"}},
	{"stop", ending},
	{"remove", []string{"removal-marked"}},
	{"down", []string{"stop-signalled", "removal-marked"}},
	{"reap", slices.Concat([]string{"task-deleted"}, removal[1:])},
	{"inspect", []string{"view-made", "view-removed"}},
}

// TestRuntimeKilledAnywhere kills each verb at each of its steps and does it again: it succeeds, and then there is
// exactly what there is without the kill.
func TestRuntimeKilledAnywhere(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		reached := map[string]bool{}
		for _, d := range deaths {
			for _, step := range d.steps {
				t.Run(d.verb+" "+step, func(t *testing.T) {
					v := *w
					v.t = t
					if reached[step] = v.killed(d.verb, step); !reached[step] {
						t.Errorf("%s does not come to step %s", d.verb, step)
					}
				})
			}
		}
		for _, step := range runtime.Steps {
			if !reached[step] {
				t.Errorf("no verb came to step %s", step)
			}
		}
	})
}

// TestRuntimeInterrupted presses ^C at each step: what was begun is undone, or was already complete.
func TestRuntimeInterrupted(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		for _, d := range deaths {
			if d.verb != "up" && d.verb != "ahead" && d.verb != "run" && d.verb != "inspect" {
				continue
			}
			for _, step := range d.steps {
				t.Run(d.verb+" "+step, func(t *testing.T) {
					v := *w
					v.t = t
					v.interrupted(d.verb, step)
				})
			}
		}
	})
}

func (w *world) interrupted(verb, step string) {
	pl := quick(w.plan("victim", "sleep", "1000"))
	if step == "run-exited" {
		pl = w.plan("victim", "true")
	}
	if verb == "inspect" {
		ok(w.t, os.RemoveAll(w.opt.CacheDir))
	}
	begun := time.Now()
	status, out := w.child(verb, "HOSTRUN_INTERRUPT_AT="+step, pl)
	w.t.Logf("%s interrupted at %s: status %v after %v: %s", verb, step, status, time.Since(begun).Round(time.Millisecond), out)
	if verb == "up" && (step == "task-started" || step == "record-ready") { // it runs: too late to undo
		equal(w.t, "status", w.one("victim").Status, "running")
		ok(w.t, w.c.Remove(context.Background(), "victim", true))
	}
	w.clean()
}

func (w *world) killed(verb, step string) bool {
	ctx := context.Background()
	pl := quick(w.plan("victim", "sleep", "1000"))
	once := w.plan("once", "true")
	other := quick(w.plan("victim", "sleep", "2000"))
	died := false
	switch verb {
	case "up", "ahead":
		died = w.die(verb, step, pl)
		w.again(pl)
	case "replace":
		w.again(other)
		died = w.die("up", step, pl)
		w.again(pl)
	case "restart":
		w.again(pl)
		ok(w.t, w.c.Stop(ctx, pl.ID, nil))
		died = w.die("up", step, pl)
		w.again(pl)
	case "run":
		died = w.die("run", step, once)
		_, err := w.c.Run(ctx, w.plan("once2", "true"), runtime.IO{}, nil)
		ok(w.t, err)
	case "stop":
		w.again(pl)
		died = w.die("stop", step, pl)
		ok(w.t, w.c.Stop(ctx, pl.ID, nil))
		w.again(pl)
	case "remove", "down":
		w.again(pl)
		died = w.die(verb, step, pl)
		w.again(pl)
	case "reap": // what down leaves to it
		w.again(pl)
		ok(w.t, w.c.Kill(ctx, pl.ID, "KILL"))
		w.label(pl.ID, "hostrun.dev/state", "removing")
		died = w.die("reap", step, pl)
		w.gone(pl.ID)
		w.again(pl)
	case "inspect":
		ok(w.t, os.RemoveAll(w.opt.CacheDir))
		died = w.die("inspect", step, pl)
		ok(w.t, os.RemoveAll(w.opt.CacheDir))
		_, err := w.c.Inspect(ctx, busybox, "", plan.ImageNeeds{Paths: []string{"/bin/sh"}})
		ok(w.t, err)
	}
	if verb != "run" && verb != "inspect" {
		ok(w.t, w.c.Remove(ctx, pl.ID, true))
	}
	w.clean()
	return died
}

// label changes a container's record behind hostrun's back.
func (w *world) label(id, key, value string) {
	w.t.Helper()
	cl, err := containerd.New(w.opt.Address)
	ok(w.t, err)
	defer cl.Close()
	ctx := namespaces.WithNamespace(context.Background(), w.opt.Namespace)
	_, err = cl.ContainerService().Update(ctx, containers.Container{ID: id, Labels: map[string]string{key: value}}, "labels."+key)
	ok(w.t, err)
}

// quick ends at the first signal: these tests are not about the grace period.
func quick(pl plan.Plan) plan.Plan {
	pl.Labels["hostrun.dev/stop-signal"] = "SIGKILL"
	return pl
}

// running says up until the container runs: a signal that a killed command sent may still be on its way to the one
// that up finds running.
func (w *world) running(pl plan.Plan) {
	w.t.Helper()
	w.eventually("it runs", func() error {
		_, err := w.c.Up(context.Background(), pl, false)
		ok(w.t, err)
		if status := w.one(pl.ID).Status; status != "running" {
			return errors.New("it is " + status)
		}
		return nil
	})
}

// again is the same command after the kill: the container runs, once.
func (w *world) again(pl plan.Plan) {
	w.t.Helper()
	w.running(pl)
	w.eventually("one of each", func() error {
		l := w.leaks()
		if len(l.Containers) == 1 && len(l.Tasks) == 1 && len(l.Snapshots) == 1 && len(l.Shims) == 1 && len(l.Cgroups) == 1 &&
			len(l.Leases) == 0 && len(l.Mounts) == 1 {
			return nil
		}
		return errors.New(l.String())
	})
}

// TestRuntimeForeign: a container of another tool is never touched.
func TestRuntimeForeign(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.foreignContainer("theirs")
		before := w.leaks().String()
		_, err := w.c.Up(ctx, w.plan("theirs", "true"), true)
		for what, err := range map[string]error{"up": err, "stop": w.c.Stop(ctx, "theirs", nil), "kill": w.c.Kill(ctx, "theirs", "TERM"),
			"remove": w.c.Remove(ctx, "theirs", true), "start": w.c.Start(ctx, "theirs")} {
			if err == nil {
				t.Errorf("%s of a foreign container: no error", what)
				continue
			}
			refused(t, what, err, 1, "did not make")
		}
		equal(t, "what is there", w.leaks().String(), before)
	})
}
