package runtime

import (
	"context"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/containerd/containerd/v2/core/containers"

	"hostrun.dev/hostrun/plan"
)

// A readyProbe is a hostrun-probe that was started while the OCI runtime makes the container, and that waits to be told what to try: to
// start a process takes longer than to try a dozen nodes. It ends by itself when its input does, be it with this process.
type readyProbe struct {
	cmd       *exec.Cmd
	input     io.WriteCloser
	out, errs lockedBuffer
	started   chan struct{}
	err       error
	once      sync.Once
}

// readyProbe starts one for a container with accelerators, where a thread can enter the container's cgroup: with cgroups of version 2 a
// process has to be born there. nil where there is nothing to try.
func (c *Client) readyProbe(r containers.Container) *readyProbe {
	program := filepath.Join(c.opt.LibexecDir, "hostrun-probe")
	if _, granted := r.Labels[plan.LabelProbe]; !granted || isUnified("/sys/fs/cgroup") || !executable(program) {
		return nil
	}
	p := &readyProbe{started: make(chan struct{})}
	p.cmd = probeCommand(program, []string{"-"}, &p.out, &p.errs)
	go func() {
		defer close(p.started)
		if p.input, p.err = p.cmd.StdinPipe(); p.err == nil {
			p.err = p.cmd.Start()
		}
	}()
	return p
}

// take gives the probe what it is to try. False where there is none, and another one has to be started.
func (p *readyProbe) take(args []string) bool {
	taken := false
	if p == nil {
		return false
	}
	p.once.Do(func() {
		if <-p.started; p.err != nil {
			return
		}
		_, err := io.WriteString(p.input, strings.Join(args, "\x00"))
		taken = p.input.Close() == nil && err == nil
	})
	return taken
}

// end ends a probe that nobody has taken.
func (p *readyProbe) end() {
	if p == nil {
		return
	}
	p.once.Do(func() {
		if <-p.started; p.err != nil {
			return
		}
		_ = p.input.Close()
		_ = p.cmd.Wait() // it has nothing to try, and is over
	})
}

func probeCommand(program string, args []string, out, errs io.Writer) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", []string{}, out, errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// await waits for the end of a probe and returns its answers. One that hangs in an open is left behind: it can't be killed.
func await(ctx context.Context, cmd *exec.Cmd, out, errs *lockedBuffer) ([]string, error) {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		err = context.Cause(ctx)
	}
	return strings.Fields(out.String()), err
}
