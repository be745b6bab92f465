package integration

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	private "hostrun.dev/hostrun/engine"
	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

// rounds is how often TestEngineKilled kills: 100 times, or as often as HOSTRUN_SOAK says (make soak).
func rounds(t *testing.T) int {
	v := os.Getenv("HOSTRUN_SOAK")
	if v == "" {
		return 100
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < 1 {
		t.Fatalf("HOSTRUN_SOAK=%q: not a number of rounds", v)
	}
	return n
}

// TestEngineKilled kills the engine with SIGKILL at random moments, while commands start and remove containers. A
// container that runs goes on as the same process, and its log misses no line.
func TestEngineKilled(t *testing.T) {
	n := rounds(t)
	p, w := startPrivate(t)
	counter := w.plan("counter", "sh", "-c", `i=0; trap 'echo last $i; exit 7' TERM; while :; do i=$((i+1)); echo $i; sleep 0.01; done`)
	w.running(counter)
	pid := w.one("counter").PID
	load := startLoad(w, p.Layout)
	t.Cleanup(load.stop) // a failure must not leave it behind, to start engines in what is being removed
	for round := range n {
		time.Sleep(time.Duration(rand.IntN(400)) * time.Millisecond)
		p.Kill()
		if round%2 == 1 {
			time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond) // a while without any engine
		}
		mustEnsure(t, p)
		w.alive(t, p, pid, round)
	}
	load.stop()
	w = newWorldAt(t, w)
	ok(t, w.c.Stop(context.Background(), "counter", nil))
	equal(t, "the counter's exit status", *w.one("counter").ExitStatus, 7)
	w.complete(t)
	ok(t, w.c.Down(context.Background(), "counter", nil))
	p.Kill() // a start takes up what can be taken up, and ends the rest; twice, for what the last one has given up
	mustEnsure(t, p)
	p.Kill()
	mustEnsure(t, p)
	w.eventually("the load's containers are removed", func() error {
		ok(t, w.c.Sweep(context.Background()))
		for _, id := range loadNames {
			_ = w.c.Down(context.Background(), id, nil)
		}
		if l := w.leaks().String(); l != "" {
			return fmt.Errorf("left:\n%s", l)
		}
		return nil
	})
	if left, _ := filepath.Glob(p.Path("s", "io.containerd.runtime.v2.task", "*", "*")); len(left) > 0 {
		t.Errorf("bundles are left, and their names can't be used again: %v", left)
	}
	t.Logf("%d rounds; the load did %d starts and removals, %d of them failed with the engine", n, load.done, load.failed)
}

// alive holds that the counter is the same process, and that the engine that came back knows it.
func (w *world) alive(t *testing.T, p *fixture.Private, pid, round int) {
	t.Helper()
	again := newWorldAt(t, w)
	defer again.c.Close()
	c := again.one("counter")
	if c.PID != pid || c.Status != "running" {
		t.Fatalf("round %d: the counter is %s with pid %d, was running with %d\n%s", round, c.Status, c.PID, pid, p.Log())
	}
}

// complete holds that the log has each number from 1 to the last one, once, in order.
func (w *world) complete(t *testing.T) {
	t.Helper()
	var out, errs bytes.Buffer
	ok(t, w.c.Logs(context.Background(), "counter", runtime.LogOptions{Tail: -1}, &out, &errs))
	equal(t, "standard error", errs.String(), "")
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	for i, line := range lines[:len(lines)-1] {
		if line != strconv.Itoa(i+1) {
			t.Fatalf("line %d of %d of the log is %q", i+1, len(lines), line)
		}
	}
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "last ") {
		t.Fatalf("the log ends with %q, after %d lines", last, len(lines))
	}
	t.Logf("%d lines, none missing", len(lines))
}

// A load is what commands do meanwhile: they start containers and remove them, and may fail when the engine dies.
type load struct {
	end          chan struct{}
	once         sync.Once
	all          sync.WaitGroup
	mu           sync.Mutex
	done, failed int
}

// loadNames are the containers that the load starts and removes, all at a time.
var loadNames = []string{"load-0", "load-1", "load-2"}

func startLoad(w *world, at private.Layout) *load {
	l := &load{end: make(chan struct{})}
	for _, id := range loadNames {
		pl := quick(w.plan(id, "sleep", "1000"))
		l.all.Go(func() { l.work(w, at, pl) })
	}
	return l
}

func (l *load) work(w *world, at private.Layout, pl plan.Plan) {
	for {
		select {
		case <-l.end:
			return
		default:
		}
		err := command(w, at, pl)
		l.mu.Lock()
		l.done++
		if err != nil {
			l.failed++
		}
		l.mu.Unlock()
	}
}

// command is what one `hostrun up` and one `hostrun down` do.
func command(w *world, l private.Layout, pl plan.Plan) error {
	release, err := private.Hold(l)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if _, err := private.Ensure(ctx, l, nil); err != nil {
		return err
	}
	c, err := runtime.Open(ctx, w.opt)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Up(ctx, pl, false); err != nil {
		return err
	}
	return c.Down(ctx, pl.ID, nil)
}

func (l *load) stop() {
	l.once.Do(func() { close(l.end) })
	l.all.Wait()
}
