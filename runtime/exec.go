package runtime

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	taskapi "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"google.golang.org/protobuf/types/known/anypb"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/rootfs"
)

// Exec runs a process in the running container and returns its exit status.
func (c *Client) Exec(ctx context.Context, name string, opt ExecOptions, stdio IO, signals <-chan string) (int, error) {
	ctx = c.in(ctx)
	r, err := c.own(ctx, name)
	if err != nil {
		return 0, err
	}
	task, err := c.getTask(ctx, name)
	if err != nil {
		return 0, err
	}
	switch {
	case isPaused(task):
		return 0, isPausedError(name, "exec in")
	case isGivenUp(task):
		return 0, givenUpError(name, "exec in")
	}
	if task == nil || task.Status != taskapi.Status_RUNNING {
		return 0, notRunning(name)
	}
	process, err := execProcess(r, opt, task.Pid)
	if err != nil {
		return 0, err
	}
	term, err := rawTTY(stdio, opt.TTY)
	if err != nil {
		return 0, fmt.Errorf("set the terminal to raw mode: %w", err)
	}
	defer term.restore()
	process.ConsoleSize = term.size()
	return c.execTask(ctx, r, process, stdio, term, signals)
}

// execProcess is the container's own process with another command. pid is the container's first process.
func execProcess(r containers.Container, opt ExecOptions, pid uint32) (*specs.Process, error) {
	spec, err := specOf(r)
	if err != nil {
		return nil, err
	}
	if len(opt.Args) == 0 {
		return nil, finding.Errorf(finding.StatusUsage, "hostrun exec "+r.ID+" -- COMMAND", "exec in container %s: no command", r.ID)
	}
	p := *spec.Process
	p.Args, p.Terminal, p.ConsoleSize = opt.Args, opt.TTY, nil
	if opt.WorkingDir != "" {
		p.Cwd = opt.WorkingDir
	}
	if opt.User != "" {
		view := rootfs.Dir(fmt.Sprintf("/proc/%d/root", pid))
		if p.User, err = execUser(view, opt.User); err != nil {
			return nil, err
		}
		p.Env = mergeEnv(p.Env, homeOf(view, p.Env, spec.Process.User.UID, p.User.UID))
	}
	p.Env = mergeEnv(p.Env, opt.Env)
	p.Capabilities = execCapabilities(&p, spec, opt.Privileged)
	p.NoNewPrivileges = p.NoNewPrivileges && !opt.Privileged
	return &p, nil
}

// homeOf is HOME for a process of another user than the container's own. One that image or profile have set stays (docker's rule).
func homeOf(view *rootfs.View, env []string, own, user uint32) []string {
	home := map[uint32]string{own: "/", user: "/"}
	lines := readUsers(view)
	for i := len(lines) - 1; i >= 0; i-- { // the first line of a number counts
		if l := lines[i]; (l.UID == own || l.UID == user) && l.Home != "" {
			home[l.UID] = l.Home
		}
	}
	if own == user || !slices.Contains(env, "HOME="+home[own]) {
		return nil
	}
	return []string{"HOME=" + home[user]}
}

// execCapabilities are those of the container's process. Root gets what the container may have at most, as in docker, also where the
// container's own user is another one: with no_new_privileges the kernel would give it nothing (capabilities(7), "Capabilities and
// execution of programs by root"; prctl(2), PR_SET_NO_NEW_PRIVS). A privileged process gets all that this process has, too.
func execCapabilities(p *specs.Process, spec *specs.Spec, privileged bool) *specs.LinuxCapabilities {
	have := spec.Process.Capabilities
	if privileged {
		all := ownCapabilities()
		return &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}
	}
	if p.User.UID != 0 || have == nil {
		return have
	}
	return &specs.LinuxCapabilities{Bounding: have.Bounding, Effective: have.Bounding, Permitted: have.Bounding, Inheritable: have.Inheritable, Ambient: have.Ambient}
}

// ownCapabilities are those of this process's bounding set.
func ownCapabilities() []string {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		if hex, ok := strings.CutPrefix(line, "CapBnd:"); ok {
			set, _ := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
			var names []string
			for bit, name := range plan.Capabilities() {
				if set&(1<<bit) != 0 {
					names = append(names, name)
				}
			}
			return names
		}
	}
	return nil
}

// mergeEnv adds NAME=VALUE entries; a later one replaces an earlier one in its place.
func mergeEnv(env, more []string) []string {
	merged := append([]string{}, env...)
	at := map[string]int{}
	for i, kv := range merged {
		k, _, _ := strings.Cut(kv, "=")
		at[k] = i
	}
	for _, kv := range more {
		k, _, _ := strings.Cut(kv, "=")
		if i, ok := at[k]; ok {
			merged[i] = kv
			continue
		}
		at[k] = len(merged)
		merged = append(merged, kv)
	}
	return merged
}

// execUser reads user[:group], numbers or names of the container's own /etc/passwd and /etc/group.
func execUser(view *rootfs.View, want string) (specs.User, error) {
	user, group, hasGroup := strings.Cut(want, ":")
	var u specs.User
	found := false
	for _, line := range readUsers(view) {
		if line.Name == user || strconv.FormatUint(uint64(line.UID), 10) == user {
			u.UID, u.GID, found = line.UID, line.GID, true
			user = line.Name
			break
		}
	}
	if n, err := strconv.ParseUint(user, 10, 32); err == nil && !found {
		u.UID, found = uint32(n), true
	}
	if !found {
		return u, finding.Errorf(finding.StatusFailed, "use a number: --user 1000:1000", "user %q: the container's /etc/passwd does not have it", want)
	}
	groups := readGroups(view)
	if hasGroup {
		gid, ok := groupID(groups, group)
		if !ok {
			return u, finding.Errorf(finding.StatusFailed, "use a number: --user 1000:1000", "group %q: the container's /etc/group does not have it", group)
		}
		u.GID, u.AdditionalGids = gid, []uint32{gid}
		return u, nil
	}
	u.AdditionalGids = append([]uint32{u.GID}, memberOf(groups, user, u.GID)...) // with the first, which else would be lost to a set-group-ID program
	return u, nil
}

func groupID(groups []plan.Group, group string) (uint32, bool) {
	for _, g := range groups {
		if g.Name == group {
			return g.GID, true
		}
	}
	n, err := strconv.ParseUint(group, 10, 32)
	return uint32(n), err == nil
}

func memberOf(groups []plan.Group, user string, primary uint32) []uint32 {
	var ids []uint32
	for _, g := range groups {
		for _, m := range g.Members {
			if m == user && g.GID != primary {
				ids = append(ids, g.GID)
			}
		}
	}
	return ids
}

// execTask starts the process and follows it to its end.
func (c *Client) execTask(ctx context.Context, r containers.Container, p *specs.Process, stdio IO, t *tty, signals <-chan string) (int, error) {
	work, cancel := steady(ctx)
	defer cancel()
	spec, err := typeurl.MarshalAny(p)
	if err != nil {
		return 0, fmt.Errorf("exec in container %s: %w", r.ID, err)
	}
	execID := "hr-" + strings.ToLower(rand.Text()[:16])
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	f, err := c.attach(running, r.ID, execID, stdio, p.Terminal)
	if err != nil {
		return 0, err
	}
	defer f.close()
	_, err = c.ctrd.TaskService().Exec(work, &tasks.ExecProcessRequest{ContainerID: r.ID, ExecID: execID, Stdin: f.stdin, Stdout: f.stdout,
		Stderr: f.stderr, Terminal: f.terminal, Spec: &anypb.Any{TypeUrl: spec.GetTypeUrl(), Value: spec.GetValue()}})
	if err != nil {
		return 0, startError("exec in container "+r.ID, p.Args[0], native(err))
	}
	whole := true
	defer func() { c.deleteExec(work, r.ID, execID, whole) }()
	ended := c.waiting(running, r.ID, execID)
	if err := c.startTask(work, r.ID, execID); err != nil {
		return 0, startError("exec in container "+r.ID, p.Args[0], err)
	}
	t.follow(running, c, r.ID, execID)
	end := c.follow(ctx, r, execID, ended, signals)
	whole = f.finish(time.Second)
	if end.err != nil {
		return unseen, fmt.Errorf("wait for the process in container %s: %w", r.ID, end.err)
	}
	return end.status, nil
}

// deleteExec has containerd forget the process. The shim does that once its output has ended: where a process that it has left in the background
// still has the pipes, that comes by itself, and nobody waits for it.
func (c *Client) deleteExec(ctx context.Context, id, execID string, wait bool) {
	deleted := make(chan struct{})
	go func() {
		defer close(deleted)
		_, err := c.ctrd.TaskService().DeleteProcess(context.WithoutCancel(ctx), &tasks.DeleteProcessRequest{ContainerID: id, ExecID: execID})
		if err = native(err); err != nil && !errdefs.IsNotFound(err) {
			c.opt.Log.Debug("delete the process", "container", id, "error", err)
		}
	}()
	if wait {
		<-deleted
		return
	}
	select {
	case <-deleted:
	case <-time.After(100 * time.Millisecond): // it is on its way
	}
}
