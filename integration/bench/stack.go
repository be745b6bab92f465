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

// A link is a service of the stack that the benchmark starts.
type link struct {
	name    string
	probed  bool              // it has a healthcheck
	ends    bool              // it does its work and ends
	depends map[string]string // condition by service
}

// stackOf8 is a shape that stacks have: two stores, a migration, a queue, an API, two workers, a front end. The longest way
// through it passes two healthchecks and one end.
var stackOf8 = []link{
	{name: "db", probed: true},
	{name: "cache", probed: true},
	{name: "migrate", ends: true, depends: map[string]string{"db": "service_healthy"}},
	{name: "queue", depends: map[string]string{"cache": "service_started"}},
	{name: "api", probed: true, depends: map[string]string{"migrate": "service_completed_successfully", "cache": "service_healthy"}},
	{name: "worker1", depends: map[string]string{"migrate": "service_completed_successfully", "queue": "service_started"}},
	{name: "worker2", depends: map[string]string{"migrate": "service_completed_successfully", "queue": "service_started"}},
	{name: "web", depends: map[string]string{"api": "service_healthy"}},
}

// yaml is the service in compose's words, which are hostrun's too. Each notes in a file of its name that it has begun, and in another
// that it is ready.
func (l link) yaml(dir, network string) string {
	work := "date +%s%N >/bench/" + l.name + ".begun; "
	if l.probed {
		work += "date +%s%N >/bench/" + l.name + ".ready; "
	}
	if l.ends {
		work += "date +%s%N >/bench/" + l.name + ".ready"
	} else {
		work += "trap 'exit 0' TERM; sleep 1000 & wait"
	}
	text := fmt.Sprintf("  %s:\n    image: %s\n    command: [sh, -c, %q]\n    volumes: [\"%s:/bench\"]\n%s", l.name, imageName, work, dir, network)
	if l.probed {
		text += fmt.Sprintf("    healthcheck: {test: [CMD, test, -e, /bench/%s.ready], interval: 1s}\n", l.name)
	}
	if len(l.depends) > 0 {
		text += "    depends_on:\n"
		for name, condition := range l.depends {
			text += fmt.Sprintf("      %s: {condition: %s}\n", name, condition)
		}
	}
	return text
}

// stackTable compares the start and the end of eight services that depend on each other.
func (w *world) stackTable(measure measurer) (table, error) {
	v2 := w.compose[len(w.compose)-1]
	noted := filepath.Join(w.dir, "noted")
	if err := os.MkdirAll(noted, 0o755); err != nil {
		return table{}, err
	}
	files := map[string]string{}
	for _, kind := range []string{"host", "bridge"} {
		var ours, theirs strings.Builder
		ours.WriteString("profiles:\n")
		theirs.WriteString("services:\n")
		for _, l := range stackOf8 {
			network := "    network_mode: " + kind + "\n"
			ours.WriteString(l.yaml(noted, network))
			if kind == "bridge" {
				network = "" // compose's own network for the project
			}
			theirs.WriteString(l.yaml(noted, network))
		}
		files["stack-"+kind+".yaml"], files["compose-stack-"+kind+".yaml"] = ours.String(), theirs.String()
	}
	if err := w.write(files); err != nil {
		return table{}, err
	}
	before := func() error { return errors.Join(w.endSupervisor(), settle(w.daemons()), emptied(noted)) }
	stack := func(name, note string, up, down, list command) subject {
		up.after = func() error { return stackIsUp(noted, list) }
		down.after = func() error { return running(list, 0) }
		down.pause = 100 * time.Millisecond
		return subject{name: name, note: note, before: before, stays: true, steps: []command{up, down}}
	}
	var subjects []subject
	for _, kind := range []string{"host", "bridge"} {
		file := filepath.Join(w.dir, "stack-"+kind+".yaml")
		subjects = append(subjects,
			stack("hostrun up, down", "network: "+kind, w.hostrun("up", file), w.hostrun("down", "-y", file), w.hostrun("ps", "-q")),
			stack(v2.name+" up -d, down", "network: "+kind, w.composeFile(v2, "stack-"+kind, "up", "-d"), w.composeFile(v2, "stack-"+kind, "down"), w.command("docker", "ps", "-q")))
	}
	results, err := measure(subjects...)
	if err = errors.Join(err, before()); err != nil {
		return table{}, err
	}
	t := table{title: "A stack of eight with dependencies", results: results,
		explain: "db and cache with a healthcheck; migrate, once db is healthy; api with a healthcheck, once migrate has ended well and cache is healthy; queue after cache; two workers after migrate and queue; web once api is healthy. " +
			"The same file but for the word profiles, interval: 1s, each service ready at once. After each up all eight are seen to have begun, in that order, and seven to run; after each down none. hostrun's supervisor, which probes, is started anew by each up. " +
			"The last column is no more than the first here."}
	for i, kind := range []string{"host", "bridge"} {
		t.compareStep("network "+kind+": hostrun up / "+v2.name+" up -d", 2*i, 2*i+1, 0, 0.4)
		t.compareStep("network "+kind+": hostrun down / "+v2.name+" down", 2*i, 2*i+1, 1, 0.5)
	}
	return t, nil
}

// stackIsUp makes sure that all eight have begun, none before what it depends on, and that all but one run.
func stackIsUp(noted string, list command) error {
	for _, l := range stackOf8 {
		begun, err := stamp(noted, l.name+".begun")
		if err != nil {
			return err
		}
		for other, condition := range l.depends {
			what := ".ready"
			if condition == "service_started" {
				continue // started, and not yet at work
			}
			if ready, err := stamp(noted, other+what); err != nil || ready > begun {
				return fmt.Errorf("%s began before %s was ready: %v", l.name, other, err)
			}
		}
	}
	return running(list, len(stackOf8)-1)
}

// stamp waits for a service's note and returns the time in it, in nanoseconds.
func stamp(dir, name string) (ns int64, err error) {
	for deadline := time.Now().Add(lookWait); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		text, _ := os.ReadFile(filepath.Join(dir, name)) // not yet there
		if strings.HasSuffix(string(text), "\n") {
			_, err := fmt.Sscan(string(text), &ns)
			return ns, err
		}
	}
	return 0, fmt.Errorf("no note %s: the service has not begun", name)
}

// running makes sure that so many containers run.
func running(list command, want int) error {
	_, out, err := list.run()
	if err != nil {
		return err
	}
	if got := len(strings.Fields(string(out))); got != want {
		return fmt.Errorf("%s: %d containers run, not %d: %s", strings.Join(list.args, " "), got, want, out)
	}
	return nil
}

// emptied removes the files of a directory.
func emptied(dir string) error {
	all, err := os.ReadDir(dir)
	for _, e := range all {
		if e := os.Remove(filepath.Join(dir, e.Name())); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}
