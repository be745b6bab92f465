package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
)

const (
	engineStart  = 60 * time.Millisecond // from its start to its first answer
	engineMemory = 30 << 10              // resident when idle, in KiB
	engineRest   = 5 * time.Second       // until it counts as idle
)

// engineTable measures the start of the private engine, and what it keeps.
func (w *world) engineTable(rounds int) (table, error) {
	fresh, warm := result{subject: subject{name: "hostrun-engine", note: "its first start"}}, result{subject: subject{name: "hostrun-engine", note: "with its store there"}}
	for round := range warmups + rounds {
		took, err := w.engineStarts(fmt.Sprintf("s%d", round))
		if err != nil {
			return table{}, err
		}
		if round < warmups {
			continue
		}
		for i, r := range []*result{&fresh, &warm} {
			r.total.add(took[i])
			r.clean.add(took[i])
		}
	}
	time.Sleep(engineRest)
	kib, err := resident(filepath.Join("/proc", fmt.Sprint(w.private.cmd.Process.Pid), "status"))
	if err != nil {
		return table{}, err
	}
	t := table{title: "The private engine", results: []result{fresh, warm},
		explain: "From the start of the process to its first answer to a call, asked every millisecond. Memory is that of the engine that has served the measurements before, at rest."}
	t.limit("first answer, with its store there", warm.total.median(), engineStart)
	t.limit("first answer, first start", fresh.total.median(), engineStart)
	t.verdict = append(t.verdict, verdict{"resident memory at rest", fmt.Sprintf("%.1f MiB", float64(kib)/1024), fmt.Sprintf("at most %d MiB", engineMemory>>10), kib <= engineMemory})
	return t, nil
}

// engineStarts starts an engine twice in the same new directories.
func (w *world) engineStarts(name string) (took [2]time.Duration, err error) {
	state, root := w.state(name), filepath.Join(w.dir, name+"r")
	defer func() { err = errors.Join(err, removeAll(state), removeAll(root)) }()
	for i := range took {
		begin := time.Now()
		d, err := launch("hostrun-engine", filepath.Join(state, "engine.sock"), filepath.Join(w.dir, name+".log"),
			filepath.Join(w.bin, "hostrun-engine"), "--state", state, "--root", root)
		if err != nil {
			return took, err
		}
		err = answers(d)
		took[i] = time.Since(begin)
		d.stop()
		if err != nil {
			return took, err
		}
	}
	return took, nil
}

// answers waits for the first answer to a call.
func answers(d *daemon) error {
	for deadline := time.Now().Add(daemonWait); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if _, err := os.Stat(d.socket); err != nil {
			continue
		}
		short, cancel := context.WithTimeout(context.Background(), time.Second)
		c, err := containerd.New(d.socket)
		if err == nil {
			_, err = c.Version(short)
			_ = c.Close()
		}
		cancel()
		if err == nil {
			return nil
		}
	}
	return fmt.Errorf("start %s: no answer; its log ends in:\n%s", d.name, lastLines(d.log))
}
