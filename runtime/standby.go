package runtime

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
)

// A standby is a small process that removes a one-off container when this one has ended, also by SIGKILL: hostrun-reap. It
// is started while the container is being made, when nobody waits for it; to start the reaper at the end takes as long
// as three calls to containerd.
type standby struct {
	started sync.WaitGroup
	pipe    *os.File      // nil where it could not be started
	ended   chan struct{} // closed when it is no more
}

// standBy starts one in the background.
func (c *Client) standBy(id string) *standby {
	s := &standby{ended: make(chan struct{})}
	s.started.Go(func() { s.pipe = c.startStandby(id, s.ended) })
	return s
}

func (c *Client) startStandby(id string, ended chan<- struct{}) *os.File {
	program := filepath.Join(c.opt.LibexecDir, "hostrun-reap")
	self, err := os.Executable()
	if err != nil || c.opt.LibexecDir == "" || !executable(program) {
		return nil
	}
	wait, pipe, err := os.Pipe()
	if err != nil {
		return nil
	}
	defer wait.Close()
	cmd := exec.Command(program, append([]string{self}, c.reaperArgs(lockFree, id)...)...)
	cmd.Dir, cmd.Stdin = "/", wait
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // ^C at the terminal is not for it
	if err := cmd.Start(); err != nil {
		_ = pipe.Close()
		return nil
	}
	go func() { _ = cmd.Wait(); close(ended) }()
	return pipe
}

// release lets it remove the container now, and reports whether it will.
func (s *standby) release() bool {
	s.started.Wait()
	if s.pipe == nil {
		return false
	}
	_ = s.pipe.Close()
	select {
	case <-s.ended: // somebody has killed it
		return false
	default:
		return true
	}
}

// dismiss ends it: the container has been removed.
func (s *standby) dismiss() {
	s.started.Wait()
	if s.pipe != nil {
		_, _ = s.pipe.Write([]byte{0})
		_ = s.pipe.Close()
	}
}
