//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	gorunc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"
)

// a runner stands for containerd's monitor: it counts what is left to the OCI runtime.
type runner struct {
	gorunc.ProcessMonitor
	calls int
}

func (r *runner) StartLocked(*exec.Cmd) (chan gorunc.Exit, error) {
	r.calls++
	return nil, os.ErrProcessDone
}

// TestStart: the container's first process is let go without a process of runc's, and whatever is unusual is left to runc.
func TestStart(t *testing.T) {
	waiting := "printf 0 >exec.fifo" // as libcontainer's init does: it opens, writes, and goes on
	for name, c := range map[string]struct {
		init   string // what the container's first process does, in the directory of its state
		state  string // the file that its OCI runtime keeps
		verb   string
		noFifo bool
		ours   bool
	}{
		"it waits":               {init: waiting, state: "state.json", verb: "start", ours: true},
		"it comes late":          {init: "sleep 0.3; " + waiting, state: "state.json", verb: "start", ours: true},
		"it passes and ends":     {init: waiting + "; exit 3", state: "state.json", verb: "start", ours: true},
		"it has died":            {init: "exit 1", state: "state.json", verb: "start"},
		"it dies before":         {init: "sleep 0.3; exit 1", state: "state.json", verb: "start"},
		"it has passed already":  {init: "sleep 5", state: "state.json", verb: "start", noFifo: true},
		"it is crun's":           {init: "sleep 5", state: "status", verb: "start"},
		"it is to be made first": {init: "sleep 5", state: "state.json", verb: "delete"},
	} {
		t.Run(name, func(t *testing.T) {
			root, bundle := t.TempDir(), t.TempDir()
			dir := filepath.Join(root, "c1")
			must(t, os.Mkdir(dir, 0o700))
			must(t, os.WriteFile(filepath.Join(dir, c.state), nil, 0o600))
			if !c.noFifo {
				must(t, unix.Mkfifo(filepath.Join(dir, "exec.fifo"), 0o622))
			}
			init := exec.Command("sh", "-c", c.init)
			init.Dir = dir
			must(t, init.Start())
			ended := make(chan error, 1)
			go func() { ended <- init.Wait() }() // as the shim reaps its children
			defer func() { _ = init.Process.Kill(); <-ended }()
			must(t, os.WriteFile(filepath.Join(bundle, "init.pid"), []byte(strconv.Itoa(init.Process.Pid)), 0o600))
			t.Chdir(bundle)

			r := &runner{}
			m := starter{r}
			runc := exec.Command("runc", "--root", root, "--log", "log.json", "--log-format", "json", c.verb, "c1")
			exits, err := m.StartLocked(runc)
			if !c.ours {
				if r.calls != 1 {
					t.Fatalf("it is not left to runc: %v", err)
				}
				if _, err := os.Lstat(filepath.Join(dir, "exec.fifo")); err != nil && !c.noFifo {
					t.Errorf("the fifo is gone: %v", err)
				}
				return
			}
			must(t, err)
			if status, err := m.Wait(runc, exits); status != 0 || err != nil || r.calls != 0 {
				t.Errorf("status %d, %v, %d calls of runc", status, err, r.calls)
			}
			if _, err := os.Lstat(filepath.Join(dir, "exec.fifo")); !os.IsNotExist(err) {
				t.Errorf("the fifo is still there, so runc takes the container for one that waits: %v", err)
			}
		})
	}
}
