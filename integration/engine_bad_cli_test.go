package integration

import (
	"os"
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
	engine := exec.Command("prlimit", "--nofile=4096", "--rtprio=0", "--nice=0", "--msgqueue=4096", "setpriv", "--bounding-set=-sys_resource", "--inh-caps=-sys_resource", "--",
		m.layout.LibexecDir+"/hostrun-engine", "--state", m.layout.StateDir, "--root", m.layout.RootDir)
	engine.Env = append(slices.Clone(m.env), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	ok(t, engine.Start())
	defer func() {
		_ = engine.Process.Signal(syscall.SIGTERM)
		_ = engine.Wait()
	}()
	for end := time.Now().Add(2 * time.Minute); m.pid() == 0; time.Sleep(5 * time.Millisecond) {
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
	// Each of these ended in runc's "error setting rlimit type 14: operation not permitted" or "can't get final child's PID from pipe".
	m.profile("urgent", "image: job:latest\npull_policy: never\npython: none\nulimits: {rtprio: 99, nice: 40, msgqueue: -1}\noom_score_adj: -1000\n")
	r = m.hostrun("run", "urgent", "--", "sh", "-c", "ulimit -Hr; ulimit -He; cat /proc/self/oom_score_adj")
	b, err := os.ReadFile("/proc/self/oom_score_adj") // the engine's, which could not change it
	ok(t, err)
	score := strings.TrimSpace(string(b))
	if r.status != 0 || r.stdout != "0\n0\n"+score+"\n" {
		t.Errorf("limits and a score that it may not give:\n%v", r)
	}
	for _, words := range []string{"rtprio is lowered to 0", "nice is lowered to 0", "msgqueue is lowered to 4096", "oom_score_adj is raised to " + score} {
		if !strings.Contains(r.stderr, words) {
			t.Errorf("it is not said that %s:\n%s", words, r.stderr)
		}
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
