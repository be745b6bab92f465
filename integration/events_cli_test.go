package integration

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"
)

// TestEventsAreComposes: what happens to a container is told in compose's words and fields, with the profile as the service, and who it is.
func TestEventsAreComposes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.load(tiny(t, "job"))
	s.profile("job", "image: job:latest\ncommand: sleep 1000\nreplicas: 2\n")
	s.must("up", "job")
	out, err := os.Create(s.path("events"))
	ok(t, err)
	defer out.Close()
	cmd := s.command("events", "--json", "job")
	cmd.Stdout = out
	ok(t, cmd.Start())
	defer func() { _ = cmd.Process.Signal(syscall.SIGINT); _ = cmd.Wait() }()
	type event struct {
		Schema                          int
		Time, Type, Service, ID, Action string
		Attributes                      map[string]string
	}
	told := func() (all []event) {
		t.Helper()
		f, err := os.Open(out.Name())
		ok(t, err)
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var e event
			if json.Unmarshal(lines.Bytes(), &e) == nil { // the last line may be half written
				all = append(all, e)
			}
		}
		return all
	}
	s.comes("the first event", func() error { // until containerd has taken the subscription
		s.must("pause", "job-1")
		s.must("unpause", "job-1")
		if len(told()) == 0 {
			return fmt.Errorf("nothing is told")
		}
		return nil
	})
	s.must("kill", "job-2")
	s.must("rm", "job-2")
	s.must("up", "job")
	want := []string{"die 137", "destroy ", "create ", "start "}
	s.comes("the events of job-2", func() error {
		var of []string
		for _, e := range told() {
			if e.Schema != 1 || e.Type != "container" || e.Service != "job" || e.Attributes["name"] != e.ID || e.Attributes["image"] != "docker.io/library/job:latest" || e.Time == "" {
				t.Fatalf("%+v", e)
			}
			if e.ID == "job-2" {
				of = append(of, e.Action+" "+e.Attributes["exitCode"])
			}
		}
		if !slices.Equal(of, want) {
			return fmt.Errorf("%q, want %q", of, want)
		}
		return nil
	})
	s.must("down", "job")
}
