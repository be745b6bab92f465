package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	idleContainers = 100
	idleTarget     = 0.01     // of a core
	idleMemory     = 40 << 10 // KiB
	idleTime       = 65 * time.Second
)

// supervisors are the processes `hostrun supervise` that commands have started in the background. A command's orphans are ours.
func (w *world) supervisors() (pids []int) {
	for _, pid := range children() {
		line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline")) // it may have ended
		args := strings.Split(string(line), "\x00")
		if filepath.Dir(args[0]) == w.bin && len(args) > 1 && strings.Contains(string(line), "\x00supervise\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// endSupervisor ends them. Whatever they look after goes on.
func (w *world) endSupervisor() error {
	for _, pid := range w.supervisors() {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end the supervisor %d: %w", pid, err)
		}
		var status syscall.WaitStatus
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil && !errors.Is(err, syscall.ECHILD) {
			return fmt.Errorf("wait for the supervisor %d: %w", pid, err)
		}
	}
	return nil
}

// superviseTable measures what the supervisor takes while a hundred containers of its run and nothing happens.
func (w *world) superviseTable() (t table, err error) {
	t = table{title: "The supervisor at rest", explain: fmt.Sprintf("%d containers with restart: always run; time of the processor and resident memory of hostrun supervise over %v, in which it looks at all of them once, as it does each minute.",
		idleContainers, idleTime)}
	used, kib, err := w.idleSupervisor("restart: always")
	if err != nil {
		return t, err
	}
	t.verdict = []verdict{{"processor", cores(used), "at most " + cores(idleTarget), used <= idleTarget}, {"memory", mebibytes(kib), "at most " + mebibytes(idleMemory), kib <= idleMemory}}
	return t, nil
}

// probesTable is superviseTable for containers that are probed as often as compose does.
func (w *world) probesTable() (t table, err error) {
	t = table{title: "The supervisor and healthchecks", explain: fmt.Sprintf("The same with a healthcheck of the default interval, 30 s, whose probe is a process in the container: %.1f probes a second.", idleContainers/30.0)}
	used, kib, err := w.idleSupervisor("healthcheck: {test: [CMD, \"true\"]}")
	if err != nil {
		return t, err
	}
	t.tell("processor", cores(used))
	t.verdict = append(t.verdict, verdict{"memory", mebibytes(kib), "at most " + mebibytes(idleMemory), kib <= idleMemory})
	return t, nil
}

func cores(share float64) string { return fmt.Sprintf("%.2f %% of a core", share*100) }

func mebibytes(kib int) string { return fmt.Sprintf("%.1f MiB", float64(kib)/1024) }

// idleSupervisor starts the containers and returns the share of a core and the memory of their supervisor.
func (w *world) idleSupervisor(keys string) (used float64, kib int, err error) {
	if err := w.write(map[string]string{"profiles/idle.yaml": fmt.Sprintf("image: %s\ncommand: [sleep, \"100000\"]\nstop_signal: SIGKILL\nreplicas: %d\n%s\n", imageName, idleContainers, keys)}); err != nil {
		return 0, 0, err
	}
	defer func() {
		_, _, downErr := w.hostrun("down", "-y", "-t", "0", "idle").run()
		err = errors.Join(err, downErr, w.endSupervisor(), settle(w.daemons()))
	}()
	if _, _, err := w.hostrun("up", "--wait", "idle").run(); err != nil {
		return 0, 0, err
	}
	time.Sleep(engineRest)
	pids := w.supervisors()
	if len(pids) != 1 {
		return 0, 0, fmt.Errorf("%d supervisors are at work", len(pids))
	}
	begin, before := time.Now(), time.Duration(0)
	if before, err = cpuTime(pids[0]); err != nil {
		return 0, 0, err
	}
	time.Sleep(idleTime)
	took := time.Since(begin)
	after, err := cpuTime(pids[0])
	if err != nil {
		return 0, 0, err
	}
	if kib, err = resident(fmt.Sprintf("/proc/%d/status", pids[0])); err != nil {
		return 0, 0, err
	}
	return float64(after-before) / float64(took), kib, running(w.hostrun("ps", "-q"), idleContainers)
}

// cpuTime is what the threads of a process have run, to the nanosecond (proc(5), schedstat). The time of threads that have ended is
// lost; Go's do not.
func cpuTime(pid int) (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err == nil && len(tasks) == 0 {
		err = fmt.Errorf("process %d is gone", pid)
	}
	var all time.Duration
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		var ns int64
		if _, err := fmt.Sscan(string(text), &ns); err != nil {
			return 0, fmt.Errorf("read %s: %w", task, err)
		}
		all += time.Duration(ns)
	}
	return all, err
}
