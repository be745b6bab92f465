package runtime

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// A trial tries a container's devices between its creation and its start. What it needs for that, hostrun-probe among it, is made
// ready while the OCI runtime makes the container: to start a program takes longer than all that it does then.
type trial struct {
	id    string
	ready chan struct{} // closed when the rest is there
	moved func()        // it may enter a cgroup until then

	what  devices.Probe
	spec  *specs.Spec
	nodes []probedNode
	probe *prober // nil where no node is to be tried
	err   error
}

// trialOf begins to make ready what tries the devices of r; nil for a container without accelerators, which costs nothing. Who has
// got one calls its end.
func (c *Client) trialOf(r containers.Container) *trial {
	label, granted := r.Labels[plan.LabelProbe]
	if !granted {
		return nil
	}
	t := &trial{id: r.ID, ready: make(chan struct{}), moved: sync.OnceFunc(migrations.during())}
	go func() {
		defer close(t.ready)
		t.err = t.prepare(c, r, label)
	}()
	return t
}

func (t *trial) prepare(c *Client, r containers.Container, label string) (err error) {
	if err := json.Unmarshal([]byte(label), &t.what); err != nil {
		return fmt.Errorf("start container %s: read what of its devices is to be tried (label %s): %w", r.ID, plan.LabelProbe, err)
	}
	if t.spec, err = specOf(r); err != nil {
		return err
	}
	if t.nodes = probedNodes(t.spec, t.what.Open); len(t.nodes) == 0 {
		return nil
	}
	program := filepath.Join(c.opt.LibexecDir, "hostrun-probe")
	if !executable(program) {
		return finding.Errorf(finding.StatusFailed, "install all of hostrun's programs: make install", "start container %s: %s, which tries its devices, is not there", r.ID, program)
	}
	if t.probe, err = startProber(program, outsideProcess(t.spec), t.nodes); err != nil {
		return fmt.Errorf("start container %s: try its devices: %w", r.ID, err)
	}
	return nil
}

// end lets go of what was made ready and is not needed. It may be called more than once, and on nil.
func (t *trial) end() {
	if t == nil {
		return
	}
	t.moved()
	<-t.ready
	if t.probe != nil {
		_ = t.probe.in.Close() // it ends when it was told nothing
	}
}

// run tries what the container of that first process got of devices: its namespaces, its cgroup and its root exist, and its program has
// not begun. nil tries nothing.
func (t *trial) run(ctx context.Context, pid uint32) error {
	if t == nil {
		return nil
	}
	if <-t.ready; t.err != nil {
		return t.err
	}
	linked := make(chan error, 1)
	go func() { linked <- probeLibraries(t.id, t.spec, t.what, pid) }()
	err := t.probeNodes(ctx, pid)
	t.moved()
	return errors.Join(err, <-linked)
}

// probeNodes has hostrun-probe try the nodes as the container's own process will.
func (t *trial) probeNodes(ctx context.Context, pid uint32) error {
	if t.probe == nil {
		return nil
	}
	short, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	group, err := deviceCgroup(pid)
	if err != nil {
		return fmt.Errorf("start container %s: try its devices: %w", t.id, err)
	}
	answers, err := t.probe.ask(short, pid, group, len(t.nodes))
	switch {
	case err != nil && short.Err() != nil && ctx.Err() == nil:
		return probeError(finding.DeviceSilent, t.id, fmt.Errorf("its devices do not answer: an open of %s takes longer than %v", nextNode(t.nodes, answers), probePatience),
			"hostrun devices shows their health; dmesg | grep -i -e NVRM -e Xid shows more; a reset or a reboot may bring it back")
	case err != nil:
		return fmt.Errorf("start container %s: try its devices: %w", t.id, err)
	}
	return refusedNodes(t.id, t.spec.Process.User, t.nodes, answers)
}

// nextNode is the node whose answer is missing.
func nextNode(nodes []probedNode, answers []string) string {
	if len(answers) < len(nodes) {
		return nodes[len(answers)].Path
	}
	return "one"
}

// A prober is hostrun-probe, which waits to be told whose nodes it shall try.
type prober struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines chan string // its answers; closed at its end
	ended error       // how it ended, once lines is closed
	errs  bounded
}

func startProber(program string, p *specs.Process, nodes []probedNode) (*prober, error) {
	b := &prober{lines: make(chan string, len(nodes)), cmd: exec.Command(program, probeArgs(p, nodes)...)}
	b.cmd.Dir, b.cmd.Env, b.cmd.Stderr = "/", []string{}, &b.errs
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var err error
	if b.in, err = b.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := b.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(b.lines)
		s := bufio.NewScanner(out)
		for n := 0; s.Scan(); n++ {
			if n < cap(b.lines) {
				b.lines <- s.Text()
			}
		}
		b.ended = b.cmd.Wait()
	}()
	return b, nil
}

// ask tells it the container and returns its answers, as many as there are nodes. One that hangs in an open is left behind: it can't be
// killed.
func (b *prober) ask(ctx context.Context, pid uint32, g cgroupOf, nodes int) (answers []string, err error) {
	// One that has ended has said why, which is more than that nobody reads.
	_, _ = io.WriteString(b.in, strconv.FormatUint(uint64(pid), 10)+" "+g.door()+"\n")
	for len(answers) < nodes {
		select {
		case line, more := <-b.lines:
			if !more {
				return answers, b.failure()
			}
			answers = append(answers, line)
		case <-ctx.Done():
			_ = b.cmd.Process.Kill()
			return answers, context.Cause(ctx)
		}
	}
	return answers, nil
}

// failure is why it has ended too early.
func (b *prober) failure() error {
	if text := b.errs.text(); b.ended != nil && text != "" {
		return errors.New(text)
	} else if b.ended != nil {
		return b.ended
	}
	return errors.New("not all have been tried")
}

func probeArgs(p *specs.Process, nodes []probedNode) []string {
	var groups []string
	for _, g := range p.User.AdditionalGids {
		groups = append(groups, strconv.FormatUint(uint64(g), 10))
	}
	args := []string{strconv.FormatUint(uint64(p.User.UID), 10), strconv.FormatUint(uint64(p.User.GID), 10),
		strings.Join(groups, ","), strconv.FormatUint(capabilityMask(p.Capabilities), 16)}
	for _, n := range nodes {
		how := "stat"
		if n.open {
			how = "open"
		}
		args = append(args, fmt.Sprintf("%s:%s:%d:%d:%s", n.access, how, n.Major, n.Minor, n.Path))
	}
	return args
}
