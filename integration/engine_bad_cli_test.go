package integration

import (
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestWithoutCapSysResource: an engine that may raise no limits, as in a container or a small virtual machine, starts
// containers all the same, with what it may give, and says so where a profile asks for more.
func TestWithoutCapSysResource(t *testing.T) {
	m := newMachine(t)
	engine := exec.Command("sh", "-c", `ulimit -n 4096; exec setpriv --bounding-set -sys_resource --inh-caps -sys_resource -- "$0" "$@"`,
		m.layout.LibexecDir+"/hostrun-engine", "--state", m.layout.StateDir, "--root", m.layout.RootDir)
	engine.Env = append(slices.Clone(m.env), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	ok(t, engine.Start())
	defer func() {
		_ = engine.Process.Signal(syscall.SIGTERM)
		_ = engine.Wait()
	}()
	for end := time.Now().Add(30 * time.Second); m.pid() == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the engine does not answer")
		}
	}
	m.must("load", m.archive(tiny(t, "job:latest")))
	m.profile("plain", "image: job:latest\npull_policy: never\npython: none\n")
	m.profile("many", "image: job:latest\npull_policy: never\npython: none\nulimits: {nofile: 1048576}\n")
	equal(t, "limit of open files", m.must("run", "plain", "--", "sh", "-c", "ulimit -Hn"), "4096\n")
	r := m.hostrun("run", "many", "--", "sh", "-c", "ulimit -Hn")
	if r.status != 0 || r.stdout != "4096\n" {
		t.Errorf("a profile that asks for more:\n%v", r)
	}
	if r := m.hostrun("check", "many"); !strings.Contains(r.stdout+r.stderr, "4096") {
		t.Errorf("it is not said that there are fewer:\n%v", r)
	}
}

// TestTwoUsersAtOnce: root and a member of the group, who start the same container at the same
// time, get one container, and both are told the truth.
func TestTwoUsersAtOnce(t *testing.T) {
	m := newMachine(t)
	m.set("HOSTRUN_ENGINE_GROUP", "nogroup")
	m.must("load", m.archive(tiny(t, "job:latest")))
	for range 3 {
		results := make(chan result, 2)
		for _, rights := range [][]string{nil, {"setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"}} {
			cmd := m.command("up", "job")
			if rights != nil {
				cmd.Args, cmd.Path = slices.Concat(rights, cmd.Args), "/usr/bin/setpriv"
			}
			go func() { results <- finish(cmd) }()
		}
		words := []string{}
		for range 2 {
			r := <-results
			if r.status != 0 {
				t.Fatalf("one of two at once:\n%v", r)
			}
			words = append(words, r.stdout)
		}
		slices.Sort(words)
		equal(t, "what they are told", strings.Join(words, ""), "job created\njob unchanged\n")
		m.must("down", "job")
	}
}
