package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// becomeReaper makes what commands leave behind in the background our children, so that it can be waited for. It must
// be called before the first command.
func becomeReaper() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// A command is one whole process to measure.
type command struct {
	args []string
	env  []string // all of it
	dir  string

	pause time.Duration // before it; not measured
	after func() error  // that it did what it is measured for; not measured; may be nil
}

// with is the command with one more variable in its environment.
func (c command) with(variable string) command {
	c.env = append(slices.Clone(c.env), variable)
	return c
}

// run executes the command. The time is from before its start to its end, as a shell would see it; output is both
// streams. A status other than 0 is an error that holds the output.
func (c command) run() (time.Duration, []byte, error) {
	took, output, _, err := c.runWhole()
	return took, output, err
}

// runWhole is run, with the most memory that the process had resident, in KiB.
func (c command) runWhole() (took time.Duration, out []byte, kib int64, err error) {
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Env, cmd.Dir = c.env, c.dir
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	begin := time.Now()
	err = cmd.Run()
	took = time.Since(begin)
	if err != nil {
		return took, nil, 0, fmt.Errorf("%s: %w\n%s", strings.Join(c.args, " "), err, output.Bytes())
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		kib = usage.Maxrss
	}
	return took, output.Bytes(), kib, nil
}

// settlePatience is how long nothing that goes on in the background takes; a variable for the test's sake.
var settlePatience = time.Minute

// settle waits for the background processes that commands left to us (hostrun removes a one-off container after it has
// returned), daemons excepted. Then the next subject does not pay for them. What goes on, as the containers of a command that has
// failed half-way do, is ended, and an error.
func settle(daemons map[int]bool) error {
	var ended atomic.Bool
	done, patience := make(chan struct{}), settlePatience
	defer close(done)
	go func() {
		for wait := patience; ; wait = 100 * time.Millisecond { // those below an ended one become our children in turn
			select {
			case <-done:
				return
			case <-time.After(wait):
			}
			ended.Store(true)
			for _, pid := range children() {
				if !daemons[pid] {
					_ = syscall.Kill(pid, syscall.SIGKILL)
				}
			}
		}
	}()
	for {
		left := 0
		for _, pid := range children() {
			if daemons[pid] {
				continue
			}
			left++
			var status syscall.WaitStatus
			if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil && err != syscall.EINTR && err != syscall.ECHILD {
				return fmt.Errorf("wait for process %d: %w", pid, err)
			}
		}
		switch {
		case left > 0:
		case ended.Load():
			return fmt.Errorf("processes went on for %v in the background, and were ended", patience)
		default:
			return nil
		}
	}
}
