package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"hostrun.dev/hostrun/engine"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/runtime"
)

// This file brings hostrun supervise back when it is killed, where no service manager does that. Beside it stands hostrun-reap, which
// waits for its end and becomes the next one; if that is killed instead, the supervisor starts another. So both have to be killed at the
// same moment to leave nobody, and then the next command starts one.

// A revival says how a supervisor came back.
type revival struct {
	times int       // in a row that one was killed soon after its start; 0: a command has started it
	since time.Time // when the one before had started
}

func (r revival) String() string { return fmt.Sprintf("%d,%d", r.times, r.since.Unix()) }

func parseRevival(text string) (r revival, err error) {
	var unix int64
	if text == "" {
		return r, nil
	}
	if _, err = fmt.Sscanf(text, "%d,%d", &r.times, &unix); err != nil {
		return r, finding.Errorf(finding.StatusUsage, "", "flag --revived: %q is no value for it", text)
	}
	r.since = time.Unix(unix, 0)
	return r, nil
}

const (
	revivalCounts = 10 * time.Second // one that was killed later than that died of something else
	revivalPause  = 100 * time.Millisecond
	revivalLimit  = 2 * time.Second
)

// settled is r if it counts at the time now, else the first of a row.
func (r revival) settled(now time.Time) revival {
	if r.times > 1 && now.Sub(r.since) > revivalCounts {
		r.times = 1
	}
	return r
}

// pause is how long it waits: the first goes on at once, and one that dies at each start does not take a processor.
func (r revival) pause() time.Duration {
	if r.times < 2 {
		return 0
	}
	return min(revivalPause<<min(r.times-2, 20), revivalLimit)
}

// A reviver is the process that stands by.
type reviver struct {
	program string
	args    []string // what it becomes
	warn    func(message string, args ...any)

	mu   sync.Mutex
	pipe *os.File // its end is the word to begin
	over bool
}

// revivedBy starts it. Where the program is missing the supervisor works without.
func (s *session) revivedBy(address string, r revival) *reviver {
	v := &reviver{program: filepath.Join(s.libexec(), "hostrun-reap"), warn: func(message string, args ...any) { s.log.Warn(message, args...) }}
	next := revival{times: r.times + 1, since: time.Now()}
	cmd, err := s.background(address, "supervise", "--until-idle", "--revived="+next.String())
	if err == nil {
		v.args = cmd.Args
		v.args[0] = cmd.Path
		err = v.start()
	}
	if err != nil {
		v.warn("nobody brings this supervisor back", "error", err)
	}
	return v
}

func (v *reviver) start() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over {
		return nil
	}
	wait, pipe, err := os.Pipe()
	if err != nil {
		return err
	}
	defer wait.Close()
	cmd := exec.Command(v.program, v.args...)
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = "/", superviseEnvironment(), wait, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		_ = pipe.Close()
		return err
	}
	v.pipe = pipe
	go v.replace(cmd)
	return nil
}

// replace starts another one when it has ended before us.
func (v *reviver) replace(cmd *exec.Cmd) {
	_ = cmd.Wait()
	v.mu.Lock()
	_ = v.pipe.Close()
	over := v.over
	v.mu.Unlock()
	if over {
		return
	}
	time.Sleep(revivalPause) // one that can't live must not be started without end
	if err := v.start(); err != nil {
		v.warn("nobody brings this supervisor back", "error", err)
	}
}

// dismiss ends it: the supervisor leaves because it is to.
func (v *reviver) dismiss() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.over = true; v.pipe != nil {
		_, _ = v.pipe.Write([]byte{0})
	}
}

// containerdPatiently is containerd for one who has to wait for it: it may be down just now.
func (s *session) containerdPatiently(ctx context.Context) (*runtime.Client, error) {
	for pause := 300 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		client, err := s.containerd(ctx)
		if err == nil || ctx.Err() != nil || runtime.Hopeless(finding.StatusOf(err)) {
			return client, err
		}
		s.log.Warn("wait for containerd", "error", err)
		if s.runtimeOptions(s.kinds()[0]).Address == s.layout().Address() {
			if _, err := engine.Ensure(ctx, s.layout(), nil); err != nil {
				s.log.Warn("start the private engine", "error", err)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		s.forgetLooks()
	}
}

// lessLikelyKilled has the kernel take other processes first when memory is short, as dockerd's: this one starts the others again. A
// supervisor that may not say so does without. The proofs that it starts take their chance as all do (see againCommand).
func lessLikelyKilled(score string) {
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(score), 0)
}
