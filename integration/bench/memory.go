package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// memoryTarget is what may stay resident for a detached container besides the shim, in KiB.
const memoryTarget = 15 << 10

// loggerMemory starts a service and returns the resident memory of its log writer, in KiB: VmRSS of proc(5).
func (w *world) loggerMemory() (int, error) {
	if _, _, err := w.hostrun("up", "up").run(); err != nil {
		return 0, err
	}
	kib, err := w.residentLogger()
	if _, _, downErr := w.hostrun("down", "-y", "up").run(); err == nil {
		err = downErr
	}
	return kib, err
}

func (w *world) residentLogger() (int, error) {
	pids, err := w.loggers()
	if err != nil {
		return 0, err
	}
	return resident(fmt.Sprintf("/proc/%d/status", pids[0]))
}

// loggers are the log writers of the containers of this run; an error where there is none.
func (w *world) loggers() (pids []int, err error) {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return nil, err
	}
	for _, file := range all {
		line, _ := os.ReadFile(file) // it may have ended
		args := strings.Split(string(line), "\x00")
		if filepath.Base(args[0]) == "hostrun-log" && strings.Contains(string(line), w.dir) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil {
				return nil, err
			}
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		return nil, fmt.Errorf("find the log writer of the service: no process hostrun-log names %s", w.dir)
	}
	return pids, nil
}

func resident(status string) (kib int, err error) {
	text, err := os.ReadFile(status)
	if err != nil {
		return 0, err
	}
	_, after, found := strings.Cut(string(text), "VmRSS:")
	if !found {
		return 0, fmt.Errorf("read %s: it has no VmRSS", status)
	}
	_, err = fmt.Sscan(after, &kib)
	return kib, err
}

func (w *world) memoryTable() (table, error) {
	kib, err := w.loggerMemory()
	if err != nil {
		return table{}, err
	}
	t := table{title: "What stays in memory for a detached container", explain: "hostrun-log, besides the shim; no daemon of hostrun runs."}
	t.verdict = []verdict{{"resident memory of hostrun-log", fmt.Sprintf("%.1f MiB", float64(kib)/1024), fmt.Sprintf("at most %d MiB", memoryTarget>>10), kib <= memoryTarget}}
	return t, nil
}
