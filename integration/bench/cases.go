package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A table is one thing that was measured: hostrun first, then what it is compared to.
type table struct {
	title   string
	explain string
	results []result
	verdict []verdict
}

// A verdict compares a figure to its target.
type verdict struct {
	what   string
	got    string
	target string
	met    bool
}

// measurer measures a list of subjects in turn.
type measurer func(...subject) ([]result, error)

// runTable compares one-off containers.
func (w *world) runTable(measure measurer) (table, error) {
	ctr := func(name string, flags ...string) subject {
		n := 0
		s := subject{name: name, steps: make([]command, 1)}
		s.before = func() error {
			n++
			id := fmt.Sprintf("%s-%d", strings.NewReplacer(" ", "", "-", "").Replace(name), n)
			args := append([]string{"ctr", "--namespace", namespace, "run", "--rm", "--net-host"}, flags...)
			s.steps[0] = w.command(append(args, fullName, id, "true")...)
			return nil
		}
		return s
	}
	results, err := measure(
		subject{name: "hostrun run", note: "proof, 30,000 borrowed files, seccomp", steps: []command{w.hostrun("run", "-T", "true")}},
		ctr("ctr run --rm"),
		ctr("ctr run --rm --seccomp", "--seccomp"),
		subject{name: "docker run --rm", steps: []command{w.command("docker", "run", "--rm", "--net=host", imageName, "true")}},
	)
	if err != nil {
		return table{}, err
	}
	results[1].note = "no seccomp filter"
	results[2].note = "the same filter as hostrun's"
	t := table{title: "A one-off container: `true`", results: results,
		explain: "Host network, the same image; hostrun and ctr on the same containerd and snapshots. The last column is the time until " +
			"no process of the command is left: hostrun returns when the container has ended, and removes it in the background."}
	t.compare("hostrun run / ctr run --rm", 0, 1, 1.0)
	t.compare("hostrun run / ctr run --rm --seccomp", 0, 2, 1.0)
	return t, nil
}

// upTable compares a service's start and end.
func (w *world) upTable(measure measurer) (table, error) {
	// A signal that comes before the shell has set its trap is lost on PID 1, and the grace period of 10 s passes: a
	// matter of the service, not of who starts it.
	service := func(name string, up, down command) subject {
		down.pause = 100 * time.Millisecond
		return subject{name: name, steps: []command{up, down}}
	}
	subjects := []subject{service("hostrun up, down", w.hostrun("up", "up"), w.hostrun("down", "-y", "up"))}
	for _, tool := range w.compose {
		subjects = append(subjects, service(tool.name+" up -d, down", w.composeCommand(tool, "up", "-d"), w.composeCommand(tool, "down")))
	}
	results, err := measure(subjects...)
	if err != nil {
		return table{}, err
	}
	t := table{title: "A service: up and down", results: results,
		explain: "One service on the host's network, with the same site-packages mounted, which ends at SIGTERM at once. It has a tenth of a second between up and down, not counted, to set its trap. docker compose works through the dockerd " +
			"of this machine, on the same containerd."}
	for i := range w.compose {
		t.compare("hostrun / "+w.compose[i].name, 0, i+1, 0.5)
	}
	return t, nil
}

// checkTable measures the proof alone.
func (w *world) checkTable(measure measurer) (table, error) {
	check := []command{w.hostrun("check", "true")}
	results, err := measure(
		subject{name: "hostrun check", note: "warm", steps: check},
		subject{name: "hostrun check", note: "the image seen for the first time", steps: check, before: w.forget("image")},
		subject{name: "hostrun check", note: "no cache at all", steps: check, before: w.forget("")},
	)
	if err != nil {
		return table{}, err
	}
	t := table{title: "The proof: check", results: results,
		explain: fmt.Sprintf("A host environment of %d files in %d packages. The kernel's file cache is warm in each case.", treeFiles, treePackages)}
	t.limit("hostrun check, warm", results[0].total.median(), 30*time.Millisecond)
	t.limit("more for a new image", results[1].total.median()-results[0].total.median(), 150*time.Millisecond)
	return t, nil
}

// forget removes a part of hostrun's cache, or all of it.
func (w *world) forget(part string) func() error {
	return func() error {
		if part == "" {
			return os.RemoveAll(w.cache)
		}
		err := os.RemoveAll(filepath.Join(w.cache, part))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
}

// compare adds the ratio of two medians.
func (t *table) compare(what string, a, b int, target float64) {
	r := ratio(t.results[a].total, t.results[b].total)
	t.verdict = append(t.verdict, verdict{what, fmt.Sprintf("%.2f", r), fmt.Sprintf("at most %.1f", target), r <= target})
}

// limit adds a time that has a limit of its own.
func (t *table) limit(what string, got, target time.Duration) {
	t.verdict = append(t.verdict, verdict{what, millis(got) + " ms", "at most " + millis(target) + " ms", got <= target})
}
