package runtime

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// This file waits for answers with limits that a machine under load, or one that stood still, doesn't use up.

// errImpatient is why a context of patient has ended.
var errImpatient = errors.New("waited long enough")

// tick is what patience is counted in.
const tick = 50 * time.Millisecond

// patient returns a context that ends when limit has passed and busy does not hold, and in any case after longest. The time is counted
// in ticks, each of which passes once however late it comes: whoever was stopped (SIGSTOP, a frozen cgroup, a suspended machine) has
// lost nothing of it. busy may be nil.
func patient(ctx context.Context, limit, longest time.Duration, busy func() bool) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	ticker := time.NewTicker(tick) // it drops what nobody has taken
	go func() {
		defer ticker.Stop()
		for n := time.Duration(1); ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if passed := n * tick; passed >= longest || passed >= limit && (busy == nil || !busy()) {
				cancel(errImpatient)
				return
			}
		}
	}()
	return ctx, func() { cancel(context.Canceled) }
}

// impatient says whether a context of patient has ended by itself.
func impatient(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errImpatient) }

// working says whether a process has a thread that runs, waits for its turn to, or waits for a disk (R and D of
// /proc/PID/task/TID/stat, proc(5)). One that hangs has none.
func working(pid int) bool {
	if pid <= 0 {
		return false
	}
	dir := filepath.Join("/proc", strconv.Itoa(pid), "task")
	threads, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, t := range threads {
		b, err := os.ReadFile(filepath.Join(dir, t.Name(), "stat"))
		if _, after, ok := strings.Cut(string(b), ") "); err == nil && ok && after != "" && (after[0] == 'R' || after[0] == 'D') {
			return true
		}
	}
	return false
}

// stillWorking returns what busy is for patient: the process works, or has worked at one of the last looks. Between two threads' turns there may
// be a moment in which none waits for one.
func stillWorking(pid int) func() bool {
	idle := 0
	return func() bool {
		if working(pid) {
			idle = 0
		} else {
			idle++
		}
		return idle < 4
	}
}
