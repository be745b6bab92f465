package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// filesTable measures the proof as the host's environment grows.
func (w *world) filesTable(measure measurer) (table, error) {
	t := table{title: "As the host's environment grows", explain: "hostrun check; the kernel's file cache is warm. Memory is the most that the process had resident."}
	for _, files := range []int{1_000, 10_000, 100_000} {
		name := fmt.Sprintf("files%d", files)
		if err := w.grow(name, files); err != nil {
			return t, err
		}
		check := []command{w.hostrun("check", name)}
		results, err := measure(
			subject{name: "hostrun check", note: fmt.Sprintf("%d files, warm", files), steps: check},
			subject{name: "hostrun check", note: fmt.Sprintf("%d files, no cache", files), steps: check, before: w.forget("")},
		)
		if err = errors.Join(err, os.RemoveAll(filepath.Join(w.dir, name))); err != nil {
			return t, err
		}
		t.grown(results)
	}
	return t, nil
}

// grow makes an environment of that many files and a profile that borrows it.
func (w *world) grow(name string, files int) error {
	env := filepath.Join(w.dir, name)
	if _, err := makeTree(env, python, files); err != nil {
		return err
	}
	profile := fmt.Sprintf("image: %s\npython: {interpreter: %s}\ncommand: [\"true\"]\n", imageName, filepath.Join(env, "bin", "python3"))
	return os.WriteFile(filepath.Join(w.dir, "profiles", name+".yaml"), []byte(profile), 0o644)
}

// grown adds the results of one size, with their memory.
func (t *table) grown(results []result) {
	for _, r := range results {
		t.results = append(t.results, r)
		t.verdict = append(t.verdict, verdict{what: "memory of " + r.title(), got: fmt.Sprintf("%.1f MiB", float64(r.kib)/1024), met: true})
	}
}

// containersTable measures what hostrun does beside ever more detached containers.
func (w *world) containersTable(measure measurer) (t table, err error) {
	t = table{title: "As the containers grow", explain: "Detached containers run; another one is started and ended, and all are listed. Memory is the most that the process had resident."}
	running := 0
	defer func() {
		_, _, downErr := w.hostrun("down", "-y", "-t", "0", "--all").run()
		err = errors.Join(err, downErr, settle(w.daemons()))
	}()
	for _, many := range []int{1, 10, 100} {
		for ; running < many; running++ {
			name := fmt.Sprintf("many%d", running)
			profile := fmt.Sprintf("image: %s\ncommand: [sleep, \"100000\"]\nstop_signal: SIGKILL\n", imageName)
			if err := os.WriteFile(filepath.Join(w.dir, "profiles", name+".yaml"), []byte(profile), 0o644); err != nil {
				return t, err
			}
			if _, _, err := w.hostrun("up", name).run(); err != nil {
				return t, err
			}
		}
		down := w.hostrun("down", "-y", "-t", "0", "plain")
		results, err := measure(
			subject{name: "hostrun ps", note: fmt.Sprintf("%d run", many), steps: []command{w.hostrun("ps")}},
			subject{name: "hostrun up, down", note: fmt.Sprintf("beside %d", many), steps: []command{w.hostrun("up", "plain"), down}},
		)
		if err != nil {
			return t, err
		}
		t.grown(results)
	}
	return t, nil
}
