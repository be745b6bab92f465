package integration

import (
	"context"
	"testing"

	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/runtime"
)

// TestRuntimeCgroup2 runs against a daemon that sees a machine with cgroup v2 only.
func TestRuntimeCgroup2(t *testing.T) {
	for _, e := range fixture.Engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			w := newWorld(t, fixture.StartContainerd(t, e.Binary, fixture.Cgroup2()))
			w.load(fixture.BusyboxImage(t, busybox))
			ctx := context.Background()
			status, err := w.c.Run(ctx, w.plan("one", "sh", "-c", "exit 3"), runtime.IO{}, nil)
			ok(t, err)
			equal(t, "status", status, 3)
			pl := w.plan("two", "sleep", "1000")
			w.up(pl, "created")
			w.up(pl, "unchanged")
			status, err = w.c.Exec(ctx, "two", runtime.ExecOptions{Args: []string{"true"}}, runtime.IO{}, nil)
			ok(t, err)
			equal(t, "exec", status, 0)
			ok(t, w.c.Remove(ctx, "two", true))
			w.clean()
		})
	}
}
