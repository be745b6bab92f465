package nvml

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// Step is how long the child may take for one message. A GPU that no process holds is initialised when it is first asked: two
// seconds each on small boards, more on large ones (the driver's persistence mode avoids it).
const Step = 10 * time.Second

// grace is how long a killed child may take to end. One that waits inside of the driver can't be killed and is left behind.
const grace = 200 * time.Millisecond

// maxLine bounds one message, in bytes.
const maxLine = 1 << 20

// A Child is how to ask.
type Child struct {
	Path    string        // of hostrun-nvml
	Library string        // of libnvidia-ml.so.1; "" leaves it to the loader
	Step    time.Duration // 0 is Step
}

// Ask returns what the library says of the GPUs at the PCI addresses. A GPU on which a child hangs or dies has an Error, and
// another child asks the rest. A library that can't be asked at all is System.Error.
func (c Child) Ask(ctx context.Context, addresses []string) Answer {
	var a Answer
	rest := slices.Clone(addresses)
	for first := true; first || len(rest) > 0; first = false {
		r := c.run(ctx, rest)
		if err := ctx.Err(); err != nil && !first {
			r = Answer{System: System{Error: err.Error()}}
		}
		if first {
			a.System = r.System
		}
		if r.System.Error != "" {
			for _, address := range rest { // a second child may fail where the first did not
				a.GPUs = append(a.GPUs, GPU{PCI: address, Error: r.System.Error})
			}
			return a
		}
		a.GPUs = append(a.GPUs, r.GPUs...)
		rest = rest[min(len(r.GPUs), len(rest)):]
	}
	return a
}

// run asks one child. Its answer has System.Error, or one GPU at least where any was asked for; the last one of the answer
// is the one that the child was lost with.
func (c Child) run(ctx context.Context, addresses []string) Answer {
	p, err := c.start(addresses)
	if err != nil {
		return Answer{System: System{Error: err.Error()}}
	}
	defer p.end()
	var a Answer
	for {
		m, err := p.next(ctx)
		switch {
		case err != nil && a.System == (System{}):
			return Answer{System: System{Error: err.Error()}}
		case err != nil:
			if len(a.GPUs) < len(addresses) {
				a.GPUs = append(a.GPUs, GPU{PCI: addresses[len(a.GPUs)], Error: err.Error(), Hung: p.hung})
			}
			return a
		case m.System != nil:
			a.System = *m.System
			if a.System.Error != "" {
				return a
			}
		case m.GPU != nil && len(a.GPUs) < len(addresses):
			m.GPU.PCI = addresses[len(a.GPUs)]
			a.GPUs = append(a.GPUs, *m.GPU)
		case m.Done:
			for _, missing := range addresses[len(a.GPUs):] {
				a.GPUs = append(a.GPUs, GPU{PCI: missing, Error: "hostrun-nvml did not say anything of it"})
			}
			return a
		}
	}
}

// A process is a running child.
type process struct {
	cmd    *exec.Cmd
	lines  chan []byte
	ended  chan struct{} // closed when nobody reads lines any more
	exited chan struct{} // closed when the child has been waited for
	step   time.Duration
	stderr *tail
	hung   bool
	pipe   *os.File
	broken error // why reading stopped before the output's end; set before lines is closed
}

func (c Child) start(addresses []string) (*process, error) {
	step := c.Step
	if step == 0 {
		step = Step
	}
	// The child ends by itself when its parent is gone.
	limit := step * time.Duration(len(addresses)+2)
	args := []string{"-limit", limit.String()}
	if c.Library != "" {
		args = append(args, "-library", c.Library)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start hostrun-nvml: %w", err)
	}
	p := &process{cmd: exec.Command(c.Path, append(args, addresses...)...), lines: make(chan []byte), ended: make(chan struct{}), exited: make(chan struct{}),
		step: step, stderr: &tail{}, pipe: r}
	p.cmd.Stdout, p.cmd.Stderr, p.cmd.WaitDelay = w, p.stderr, grace
	// Of the caller's environment nothing may lead the loader to another library.
	p.cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	err = p.cmd.Start()
	_ = w.Close()
	if err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("start hostrun-nvml: %w", err)
	}
	go p.read()
	go func() {
		_ = p.cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// read hands on lines until the pipe ends or is closed.
func (p *process) read() {
	defer close(p.lines)
	s := bufio.NewScanner(p.pipe)
	s.Buffer(nil, maxLine)
	for s.Scan() {
		select {
		case p.lines <- slices.Clone(s.Bytes()):
		case <-p.ended:
			return
		}
	}
	p.broken = s.Err()
}

// next returns the child's next message, and waits for one step at most.
func (p *process) next(ctx context.Context) (Message, error) {
	timer := time.NewTimer(p.step)
	defer timer.Stop()
	select {
	case line, ok := <-p.lines:
		if !ok {
			return Message{}, p.death()
		}
		return Decode(line)
	case <-timer.C:
		p.hung = true
		return Message{}, fmt.Errorf("no answer in %s", p.step)
	case <-ctx.Done():
		return Message{}, ctx.Err()
	}
}

// death says how a child ended that closed its output too early. Its parent may hear of that later, on a loaded machine much later.
func (p *process) death() error {
	if p.broken != nil {
		return fmt.Errorf("read what hostrun-nvml says: %w", p.broken)
	}
	if !p.waited(p.step) {
		return errors.New("hostrun-nvml closed its output")
	}
	said := strings.TrimSpace(p.stderr.String())
	if said == "" {
		return fmt.Errorf("hostrun-nvml ended early: %s", p.cmd.ProcessState)
	}
	first, _, _ := strings.Cut(said, "\n")
	return fmt.Errorf("hostrun-nvml ended early: %s: %s", p.cmd.ProcessState, first)
}

// end kills the child if it runs, and waits for it a moment only.
func (p *process) end() {
	close(p.ended)
	_ = p.pipe.Close()
	_ = p.cmd.Process.Kill()
	p.waited(grace)
}

// waited reports whether the child has ended, now or within d.
func (p *process) waited(d time.Duration) bool {
	select {
	case <-p.exited:
		return true
	case <-time.After(d):
		return false
	}
}

// A tail keeps the beginning of what a child complains of.
type tail struct {
	sync.Mutex
	b []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.Lock()
	defer t.Unlock()
	if room := 4096 - len(t.b); room > 0 {
		t.b = append(t.b, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.Lock()
	defer t.Unlock()
	return string(t.b)
}
