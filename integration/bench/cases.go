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

// ctr runs the image's `true` by ctr, at an address, each time under a new name.
func (w *world) ctr(name, address string, flags ...string) subject {
	n := 0
	s := subject{name: name, steps: make([]command, 1)}
	s.before = func() error {
		n++
		id := fmt.Sprintf("%s-%d", strings.NewReplacer(" ", "", "-", "").Replace(name), n)
		args := append([]string{"ctr", "--address", address, "--namespace", namespace, "run", "--rm", "--net-host"}, flags...)
		s.steps[0] = w.command(append(args, fullName, id, "true")...)
		return nil
	}
	return s
}

// runTable compares one-off containers.
func (w *world) runTable(measure measurer) (table, error) {
	bundle, err := w.makeBundle()
	if err != nil {
		return table{}, err
	}
	results, err := measure(
		subject{name: "hostrun run", note: "proof, 30,000 borrowed files, seccomp", steps: []command{w.hostrun("run", "-T", "true")}},
		w.ctr("ctr run --rm", w.ctrd.socket),
		w.ctr("ctr run --rm --seccomp", w.ctrd.socket, "--seccomp"),
		subject{name: "docker run --rm", steps: []command{w.command("docker", "run", "--rm", "--net=host", imageName, "true")}},
		subject{name: "runc run", note: "of what hostrun spec prints; no containerd, the root mounted before", steps: []command{w.command("runc", "--root", w.state("runc"), "run", "--bundle", bundle, "bench")}},
		subject{name: "hostrun run", note: "on its private engine", steps: []command{w.privately("run", "-T", "true")}},
		w.ctr("ctr run --rm", w.private.socket),
		subject{name: "hostrun run", note: "by containerd's own shim", steps: []command{w.hostrun("run", "-T", "true").with("HOSTRUN_SHIM=containerd")}},
	)
	if err != nil {
		return table{}, err
	}
	results[1].note = "no seccomp filter"
	results[2].note = "the same filter as hostrun's"
	results[6].note = "no seccomp filter, on hostrun's private engine"
	t := table{title: "A one-off container: `true`", results: results,
		explain: "Host network, the same image; hostrun and ctr on the same containerd and snapshots, hostrun by its own shim, ctr by containerd's. The last column is the time until " +
			"no process of the command is left: hostrun returns when the container has ended, and removes it in the background."}
	t.compare("hostrun run / ctr run --rm", 0, 1, 0.7)
	t.compare("hostrun run / ctr run --rm --seccomp", 0, 2, 0.7)
	t.compare("hostrun run / runc run", 0, 4, 2.2)
	t.compare("private engine: hostrun run / ctr run --rm", 5, 6, 0.7)
	t.compare("private engine: hostrun run / runc run", 5, 4, 2.2)
	return t, nil
}

// makeBundle makes a bundle of what hostrun spec prints for the profile "true": its files are those of the container of
// that name, which stays, and its root is a snapshot of the same image.
func (w *world) makeBundle() (string, error) {
	bundle := filepath.Join(w.dir, "bundle")
	root := filepath.Join(bundle, "rootfs")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	for _, c := range []command{w.hostrun("up", "true"), w.hostrun("stop", "true"),
		w.command("ctr", "--namespace", namespace, "images", "mount", "--rw", fullName, root)} {
		if _, _, err := c.run(); err != nil {
			return "", err
		}
	}
	_, spec, err := w.hostrun("spec", "true").run()
	if err != nil {
		return "", err
	}
	return bundle, os.WriteFile(filepath.Join(bundle, "config.json"), spec, 0o644)
}

// upTable compares a service's start and end.
func (w *world) upTable(measure measurer) (table, error) {
	// A signal that comes before the shell has set its trap is lost on PID 1, and the grace period of 10 s passes: a
	// matter of the service, not of who starts it.
	service := func(name, note string, up, down command) subject {
		down.pause = 100 * time.Millisecond
		return subject{name: name, note: note, steps: []command{up, down}}
	}
	subjects := []subject{service("hostrun up, down", "", w.hostrun("up", "up"), w.hostrun("down", "-y", "up"))}
	for _, tool := range w.compose {
		subjects = append(subjects, service(tool.name+" up -d, down", "", w.composeCommand(tool, "up", "-d"), w.composeCommand(tool, "down")))
	}
	subjects = append(subjects, service("hostrun up, down", "on its private engine", w.privately("up", "up"), w.privately("down", "-y", "up")))
	results, err := measure(subjects...)
	if err != nil {
		return table{}, err
	}
	t := table{title: "A service: up and down", results: results,
		explain: "One service on the host's network, with the same site-packages mounted, which ends at SIGTERM at once. It has a tenth of a second between up and down, not counted, to set its trap. docker compose works through the dockerd " +
			"of this machine, on the same containerd. hostrun down returns when the process has ended, and removes the rest in the background."}
	for i := range w.compose {
		t.compare("hostrun / "+w.compose[i].name, 0, i+1, 0.5)
		t.compareStep("hostrun up / "+w.compose[i].name+" up -d", 0, i+1, 0, 0.5)
		t.compareStep("private engine: hostrun up / "+w.compose[i].name+" up -d", len(subjects)-1, i+1, 0, 0.5)
		t.compareStep("hostrun down / "+w.compose[i].name+" down", 0, i+1, 1, 0.5)
	}
	return t, nil
}

// listTable compares lists of one running container.
func (w *world) listTable(measure measurer) (table, error) {
	ends := []command{w.hostrun("down", "-y", "up"), w.command("docker", "rm", "--force", "bench-list")}
	for _, c := range []command{w.hostrun("up", "up"), w.command("docker", "run", "--detach", "--net=host", "--name", "bench-list", imageName, "sleep", "1000")} {
		if _, _, err := c.run(); err != nil {
			return table{}, err
		}
	}
	results, err := measure(
		subject{name: "hostrun ps", steps: []command{w.hostrun("ps")}},
		subject{name: "docker ps", steps: []command{w.command("docker", "ps")}},
	)
	for _, c := range ends {
		_, _, endErr := c.run()
		err = errors.Join(err, endErr)
	}
	if err != nil {
		return table{}, err
	}
	t := table{title: "The list of containers", results: results, explain: "One container runs in each."}
	t.compare("hostrun ps / docker ps", 0, 1, 0.7)
	return t, nil
}

// eight are the names of profiles that are alike.
func eight() []string {
	var names []string
	for i := range 8 {
		names = append(names, fmt.Sprintf("job%d", i))
	}
	return names
}

// eightTable compares eight containers at once with eight one after another, on each containerd.
func (w *world) eightTable(measure measurer) (table, error) {
	down := func() error { // a name can't run in both
		_, _, first := w.hostrun("down", "-y", "-t", "0", "--all").run()
		_, _, second := w.privately("down", "-y", "-t", "0", "--all").run()
		return errors.Join(first, second, settle(w.daemons()))
	}
	var subjects []subject
	for _, on := range []struct {
		note    string
		hostrun func(...string) command
	}{{"", w.hostrun}, {", on its private engine", w.privately}} {
		together := subject{name: "hostrun up", note: "of eight" + on.note, steps: []command{on.hostrun(append([]string{"up"}, eight()...)...)}, before: down, stays: true}
		apart := subject{name: "hostrun up", note: "eight times" + on.note, before: down, stays: true}
		for _, name := range eight() {
			apart.steps = append(apart.steps, on.hostrun("up", name))
		}
		subjects = append(subjects, together, apart)
	}
	results, err := measure(subjects...)
	if err = errors.Join(err, down()); err != nil {
		return table{}, err
	}
	t := table{title: "Eight containers", results: results, explain: "By one command, and by one command each."}
	t.compare("at once / one after another", 0, 1, 0.55)
	t.compare("private engine: at once / one after another", 2, 3, 0.55)
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
	t.verdict = append(t.verdict, verdict{what, fmt.Sprintf("%.2f", r), fmt.Sprintf("at most %g", target), r <= target})
}

// compareStep adds the ratio of two medians of one step.
func (t *table) compareStep(what string, a, b, step int, target float64) {
	r := ratio(t.results[a].step[step], t.results[b].step[step])
	t.verdict = append(t.verdict, verdict{what, fmt.Sprintf("%.2f", r), fmt.Sprintf("at most %g", target), r <= target})
}

// limit adds a time that has a limit of its own.
func (t *table) limit(what string, got, target time.Duration) {
	t.verdict = append(t.verdict, verdict{what, millis(got) + " ms", "at most " + millis(target) + " ms", got <= target})
}

// tell adds a figure without a target.
func (t *table) tell(what, got string) {
	t.verdict = append(t.verdict, verdict{what: what, got: got, met: true})
}
