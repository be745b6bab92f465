package runtime

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/containers"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// postStart runs the hooks of a container that has been started. After one that fails the container is stopped and stays, with its
// output; a person who has started it finds it stopped for good.
func (c *Client) postStart(ctx context.Context, id string, person bool) error {
	r, err := c.ctrd.ContainerService().Get(ctx, id)
	if err != nil || !strings.Contains(r.Labels[plan.LabelHooks], plan.HookPostStart) {
		return err
	}
	hooks, err := hooksOf(r)
	for i := 0; err == nil && i < len(hooks.PostStart); i++ {
		err = c.runHook(ctx, id, hooks.PostStart[i])
	}
	if err == nil {
		return nil
	}
	work, cancel := steady(ctx)
	defer cancel()
	if person {
		err = errors.Join(err, c.markStopped(work, r))
	}
	return errors.Join(err, c.stop(work, r, nil))
}

// preStop runs the hooks of a container that is to be stopped. A failure means that it is not, as in compose.
func (c *Client) preStop(ctx context.Context, r containers.Container) error {
	if !strings.Contains(r.Labels[plan.LabelHooks], plan.HookPreStop) {
		return nil
	}
	task, err := c.getTask(ctx, r.ID)
	if err != nil || !runs(task) {
		return err
	}
	if isGivenUp(task) {
		c.opt.Log.Warn("containerd has given the container up: it ends without its pre_stop", "container", r.ID)
		return nil
	}
	hooks, err := hooksOf(r)
	for i := 0; err == nil && i < len(hooks.PreStop); i++ {
		err = c.runHook(ctx, r.ID, hooks.PreStop[i])
	}
	if err == nil {
		return nil
	}
	if task, gone := c.getTask(ctx, r.ID); gone == nil && !runs(task) { // the hook has ended it, or it has ended meanwhile
		return nil
	}
	return finding.Errorf(finding.StatusOf(err), "it runs on; to end it all the same: hostrun kill "+r.ID+", or hostrun rm --force "+r.ID, "%w", err)
}

// preStopAnyway is preStop where the container is stopped whatever its hooks come to, within its grace.
func (c *Client) preStopAnyway(ctx context.Context, r containers.Container) {
	ctx, cancel := context.WithTimeout(ctx, grace(r.Labels))
	defer cancel()
	if err := c.preStop(ctx, r); err != nil {
		c.opt.Log.Warn("run pre_stop", "container", r.ID, "error", err)
	}
}

func hooksOf(r containers.Container) (plan.Hooks, error) {
	var hooks plan.Hooks
	spec, err := specOf(r)
	if err == nil {
		if err = json.Unmarshal([]byte(spec.Annotations[plan.AnnotationHooks]), &hooks); err != nil {
			err = fmt.Errorf("read the hooks of container %s: %w", r.ID, err)
		}
	}
	return hooks, err
}

func (c *Client) runHook(ctx context.Context, id string, h plan.Hook) error {
	c.progress("Container "+id, "Running", h.Name)
	var out LastWords
	status, err := c.Exec(ctx, id, ExecOptions{Args: h.Args, Env: h.Env, WorkingDir: h.WorkingDir, User: h.User, Privileged: h.Privileged}, IO{Stdout: &out, Stderr: &out}, nil)
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return HookError(id, h.Name, h.Args, status, err, &out)
}

// HookError says how a hook has failed, with its last words; nil for one that has not.
func HookError(id, name string, args []string, status int, err error, out *LastWords) error {
	switch {
	case err == nil && status == 0:
		return nil
	case err == nil:
		err = fmt.Errorf("%s: status %d", strings.Join(args, " "), status)
	}
	if text := out.String(); text != "" {
		err = fmt.Errorf("%w\n  %s", err, strings.ReplaceAll(text, "\n", "\n  "))
	}
	return finding.Errorf(finding.Explain(finding.HookFailed).ExitStatus, "hostrun explain "+finding.HookFailed, "container %s: %s has failed: %w", id, name, err)
}

// LastWords keeps the end of what is written to it.
type LastWords struct {
	mu sync.Mutex
	b  []byte
}

// maxLastWords is the most that is kept, in bytes.
const maxLastWords = 4096

func (w *LastWords) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = append(w.b, p...)
	if len(w.b) > 2*maxLastWords {
		w.b = append(w.b[:0], w.b[len(w.b)-maxLastWords:]...)
	}
	return len(p), nil
}

// String is the kept end, from the beginning of a line.
func (w *LastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.b
	if len(b) > maxLastWords {
		b = b[len(b)-maxLastWords:]
		if _, rest, cut := bytes.Cut(b, []byte("\n")); cut {
			b = rest
		}
	}
	return strings.ToValidUTF8(string(bytes.TrimSpace(b)), "?")
}

// WouldCreate says whether Up would make the container, anew or for the first time.
func (c *Client) WouldCreate(ctx context.Context, pl plan.Plan, force bool) (bool, error) {
	ctx = c.in(ctx)
	r, err := c.own(ctx, pl.ID)
	if errors.Is(err, ErrNoContainer) {
		return true, nil
	} else if err != nil {
		return false, err
	}
	if force || r.Labels[labelState] != stateReady || c.another(r, pl) {
		return true, nil
	}
	task, err := c.getTask(ctx, pl.ID)
	return err == nil && runs(task) && len(dataChanges(pl)) > 0, err
}
