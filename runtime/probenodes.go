package runtime

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/moby/sys/capability"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
)

// A probedNode is one node that the container was given.
type probedNode struct {
	specs.LinuxDevice
	access string // "r", "w" or "rw"
	open   bool
}

// probedNodes are those of the spec that the container may use: one that a CDI file gives no permissions is there to be seen.
func probedNodes(spec *specs.Spec, open []string) []probedNode {
	var all []probedNode
	for _, d := range spec.Linux.Devices {
		access := "rw"
		if rules := spec.Linux.Resources; rules != nil && len(rules.Devices) > 0 && !allowsAll(rules.Devices) {
			access = accessOf(d, rules.Devices)
		}
		if d.FileMode != nil && *d.FileMode&0o222 == 0 { // a capability of MIG's is 0444: to hold it open is enough
			access = strings.ReplaceAll(access, "w", "")
		}
		if access != "" {
			all = append(all, probedNode{d, access, slices.Contains(open, d.Path)})
		}
	}
	return all
}

// allowsAll reports whether a container is privileged.
func allowsAll(rules []specs.LinuxDeviceCgroup) bool {
	return len(rules) == 1 && rules[0].Allow && rules[0].Major == nil
}

func accessOf(d specs.LinuxDevice, rules []specs.LinuxDeviceCgroup) string {
	access := ""
	for _, r := range rules {
		if r.Allow && r.Type == d.Type && r.Major != nil && *r.Major == d.Major && r.Minor != nil && *r.Minor == d.Minor {
			access = strings.ReplaceAll(r.Access, "m", "")
		}
	}
	return access
}

// probeNodes has hostrun-probe try the nodes as the container's own process will.
func (c *Client) probeNodes(ctx context.Context, id string, spec *specs.Spec, open []string, pid uint32) error {
	nodes := probedNodes(spec, open)
	if len(nodes) == 0 {
		return nil
	}
	program := filepath.Join(c.opt.LibexecDir, "hostrun-probe")
	if !executable(program) {
		return finding.Errorf(finding.StatusFailed, "install all of hostrun's programs: make install", "start container %s: %s, which tries its devices, is not there", id, program)
	}
	short, cancel := context.WithTimeout(ctx, probePatience)
	defer cancel()
	answers, err := runProbe(short, program, outsideProcess(spec), nodes, pid)
	switch {
	case err != nil && short.Err() != nil && ctx.Err() == nil:
		return probeError(finding.DeviceSilent, id, fmt.Errorf("its devices do not answer: an open of %s takes longer than %v", nextNode(nodes, answers), probePatience),
			"hostrun devices shows their health; dmesg | grep -i -e NVRM -e Xid shows more; a reset or a reboot may bring it back")
	case err != nil:
		return fmt.Errorf("start container %s: try its devices: %w", id, err)
	}
	return refusedNodes(id, spec.Process.User, nodes, answers)
}

// outsideProcess is the container's process with the machine's numbers of its user and groups.
func outsideProcess(spec *specs.Spec) *specs.Process {
	if !hasOwnIDs(spec) {
		return spec.Process
	}
	p := *spec.Process
	p.User.UID, p.User.GID = outside(spec.Linux.UIDMappings, p.User.UID), outside(spec.Linux.GIDMappings, p.User.GID)
	p.User.AdditionalGids = slices.Clone(p.User.AdditionalGids)
	for i, g := range p.User.AdditionalGids {
		p.User.AdditionalGids[i] = outside(spec.Linux.GIDMappings, g)
	}
	return &p
}

// nextNode is the node whose answer is missing.
func nextNode(nodes []probedNode, answers []string) string {
	if len(answers) < len(nodes) {
		return nodes[len(answers)].Path
	}
	return "one"
}

// runProbe starts the program in the container's cgroup and returns its answers. One that hangs in an open is left behind: it can't be
// killed.
func runProbe(ctx context.Context, program string, p *specs.Process, nodes []probedNode, pid uint32) ([]string, error) {
	group, err := deviceCgroup(pid)
	if err != nil {
		return nil, err
	}
	var out, errs lockedBuffer
	command := func(tasks string) *exec.Cmd {
		cmd := exec.Command(program, probeArgs(tasks, p, nodes, pid)...)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", []string{}, &out, &errs
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return cmd
	}
	cmd, err := startIn(group, command)
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		err = context.Cause(ctx)
	}
	answers := strings.Fields(out.String())
	if err == nil && len(answers) != len(nodes) {
		err = errors.New("not all have been tried")
	}
	if text := strings.TrimSpace(errs.String()); err != nil && text != "" {
		err = errors.New(text)
	}
	return answers, err
}

// startIn starts a command in a cgroup: born there, where that is of version 2 and the kernel knows how (Linux 5.7), for it can't be done
// to a thread then, and to move a process waits for all processors.
func startIn(g cgroupOf, command func(tasks string) *exec.Cmd) (*exec.Cmd, error) {
	if g.dir == "" { // a kernel without a device cgroup
		cmd := command("-")
		return cmd, cmd.Start()
	}
	if g.unified {
		if dir, err := os.Open(g.dir); err == nil {
			defer dir.Close()
			cmd := command("-")
			cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(dir.Fd())
			if cmd.Start() == nil {
				return cmd, nil
			}
		}
		cmd := command(filepath.Join(g.dir, "cgroup.procs"))
		return cmd, cmd.Start()
	}
	cmd := command(filepath.Join(g.dir, "tasks"))
	return cmd, cmd.Start()
}

func probeArgs(tasks string, p *specs.Process, nodes []probedNode, pid uint32) []string {
	var groups []string
	for _, g := range p.User.AdditionalGids {
		groups = append(groups, strconv.FormatUint(uint64(g), 10))
	}
	args := []string{strconv.FormatUint(uint64(pid), 10), tasks, strconv.FormatUint(uint64(p.User.UID), 10), strconv.FormatUint(uint64(p.User.GID), 10),
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

func capabilityMask(caps *specs.LinuxCapabilities) uint64 {
	var mask uint64
	if caps == nil {
		return 0
	}
	for _, c := range capability.ListKnown() {
		if slices.Contains(caps.Effective, "CAP_"+strings.ToUpper(c.String())) {
			mask |= 1 << uint(c)
		}
	}
	return mask
}

// A cgroupOf is the cgroup that says which devices a process may use.
type cgroupOf struct {
	dir     string // "" where the kernel has none
	unified bool   // of version 2
}

func deviceCgroup(pid uint32) (cgroupOf, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return cgroupOf{}, err
	}
	return parseDeviceCgroup(string(text), isUnified("/sys/fs/cgroup")), nil
}

// parseDeviceCgroup reads /proc/PID/cgroup (cgroups(7)). Which version counts is for OCI runtimes a matter of what /sys/fs/cgroup is.
func parseDeviceCgroup(text string, unified bool) cgroupOf {
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) != 3, strings.HasPrefix(parts[2], "/.."): // outside of what this process sees of the hierarchy
		case !unified && slices.Contains(strings.Split(parts[1], ","), "devices"):
			return cgroupOf{dir: filepath.Join("/sys/fs/cgroup", parts[1], parts[2])}
		case unified && parts[0] == "0":
			return cgroupOf{dir: filepath.Join("/sys/fs/cgroup", parts[2]), unified: true}
		}
	}
	return cgroupOf{}
}

func isUnified(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// A lockedBuffer is read while the process that fills it may still live.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
