package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"hostrun.dev/hostrun/integration/fixture"
)

// TestContainerdComesBackEmpty: a containerd that was replaced by one with another root goes on with the processes of containers that it
// does not know (1.6), or ends them (1.7, 2). hostrun showed none of them, said that there is nothing to do, and could not start the
// container again. While no containerd is there, nothing is said to be gone. What such a process was given of devices was free, and two
// jobs came to share a GPU.
func TestContainerdComesBackEmpty(t *testing.T) {
	for _, e := range fixture.Engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			ctrd := m.systemOf(e)
			image := m.archive(tiny(t, "job:latest"))
			m.must("load", image)
			kind := m.accelerators(1)
			for _, name := range []string{"job", "other"} {
				m.profile(name, "image: job:latest\npull_policy: never\npython: none\ncommand: [sleep, \"1000\"]\nstop_grace_period: 0s\ndevices: ["+kind+"=0]\n")
			}
			m.write("stack.yaml", "volumes: {data: }\nprofiles:\n  job: {image: job:latest, volumes: [\"data:/data\"]}\n")
			data := m.path("data/volumes/data")
			ok(t, os.MkdirAll(data, 0o755))
			for n, verb := range []string{"up", "down"} {
				m.must("up", "job")
				pid := m.pidOf("job")
				ctrd.Kill()
				m.want(0, "job runs, and is not in this list: its containerd does not answer", "ps")
				m.want(75, "container job: it runs already, in another containerd", "down", "job")
				m.want(75, "container job: it runs already, in another containerd", "down", "./stack.yaml")
				m.want(75, "which volumes it has can't be told; nothing was done", "down", "-v", "./stack.yaml")
				if _, err := os.Stat(data); err != nil { // they were removed below the job
					t.Fatal(err)
				}
				m.want(0, "0 held by job", "devices", kind, "--format", "{{.name}} held by {{.holder}}")
				ok(t, os.Rename(ctrd.Path("root"), ctrd.Path(fmt.Sprint("root", n))))
				ctrd.Start()
				m.comes("what goes on is shown", func() error {
					var shown struct {
						Container string
						Lost      bool
					}
					if text := m.must("ps", "-a", "--format", "json"); text != "" {
						ok(t, json.Unmarshal([]byte(text), &shown))
					}
					if lives := syscall.Kill(pid, 0) == nil; shown.Lost != lives || shown.Lost != (shown.Container == "job") {
						return fmt.Errorf("the process lives: %v; ps shows %+v", lives, shown)
					}
					return nil
				})
				m.must("load", image)
				if syscall.Kill(pid, 0) == nil {
					m.want(75, "HR074", "up", "other")
				}
				m.must(verb, "job")
				m.comes("the old process ends", func() error {
					if syscall.Kill(pid, 0) == nil {
						return fmt.Errorf("after %s it is still there", verb)
					}
					return nil
				})
				if verb == "up" {
					equal(t, "exec", m.must("exec", "job", "--", "echo", "anew"), "anew\n")
				}
				m.must("down", "job")
				equal(t, "ps -a", m.must("ps", "-a", "-q"), "")
			}
		})
	}
}

// TestStartSeesLostContainers: up and run knew of the devices of a container that goes on without a record, and start and restart of a
// container that was stopped did not.
func TestStartSeesLostContainers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job"))
	kind := s.accelerators(1)
	for _, name := range []string{"job", "other"} {
		s.profile(name, "image: job:latest\ncommand: [sh, -c, \"trap 'exit 0' TERM; while :; do sleep 0.05; done\"]\ndevices: ["+kind+"=0]\n")
	}
	s.must("up", "other")
	s.must("stop", "other")
	s.must("up", "job")
	pid, err := strconv.Atoi(strings.TrimSpace(s.must("ps", "--format", "{{.pid}}", "job")))
	ok(t, err)
	ok(t, s.client.ContainerService().Delete(s.context(), "job"))
	for _, verb := range []string{"start", "restart"} {
		if r := s.hostrun(verb, "other"); r.status != 75 || !strings.Contains(r.stderr, "container job holds it") {
			t.Errorf("%v", r)
		}
	}
	s.must("down", "job")
	s.comes("the lost container ends", func() error {
		if syscall.Kill(pid, 0) == nil {
			return fmt.Errorf("process %d is still there", pid)
		}
		return nil
	})
	s.must("start", "other")
	s.must("down", "other")
}
