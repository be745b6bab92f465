package runtime

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSignalDirectly: a process is only signalled when it is in the container's own cgroup.
func TestSignalDirectly(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	c := &Client{opt: Options{Namespace: "hostrun"}, daemonPID: os.Getpid()}
	if c.signalDirectly("web", cmd.Process.Pid, unix.SIGKILL) {
		t.Fatal("a process outside of the container was signalled")
	}
	if err := cmd.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("the process has ended: %v", err)
	}
	if (&Client{}).signalDirectly("web", cmd.Process.Pid, unix.SIGKILL) {
		t.Error("a number of another pid namespace was used")
	}
}

func TestInCgroup(t *testing.T) {
	raw, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	own := strings.SplitN(line, ":", 3)[2]
	if !inCgroup(os.Getpid(), own) {
		t.Errorf("this process is in %s, by %q", own, raw)
	}
	if inCgroup(os.Getpid(), own+"/other") || inCgroup(-1, own) {
		t.Error("a cgroup that this process is not in")
	}
}
