package runtime

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// Up makes the container of the plan exist and run, detached. It does nothing if the same plan already runs, and
// replaces the container if the plan's hash differs or force is set.
func (c *Client) Up(ctx context.Context, pl plan.Plan, force bool) (UpResult, error) {
	return c.UpWith(ctx, pl, UpOptions{Force: force})
}

// UpOptions say what becomes of a container that is there.
type UpOptions struct {
	Force        bool           // it is replaced even if nothing changed
	Keep         bool           // it stays even if something changed
	Grace        *time.Duration // of one that is replaced; nil: its own stop_grace_period
	FreshVolumes bool           // one that is replaced hands no volumes without names down
}

// UpWith is Up with more to say.
func (c *Client) UpWith(ctx context.Context, pl plan.Plan, o UpOptions) (UpResult, error) {
	ctx = c.in(ctx)
	l, err := c.lock(ctx, pl.ID)
	if err != nil {
		return UpResult{}, err
	}
	defer l.unlock()
	step("up-locked")
	defer c.sweeping(ctx, sweepBeside)()
	res, err := c.upLocked(ctx, pl, o)
	// The call of a process that was killed may have been on its way, and its record come in between.
	for try := 0; errors.Is(err, errTaken) && try < 10 && ctx.Err() == nil; try++ {
		time.Sleep(10 * time.Millisecond)
		res, err = c.upLocked(ctx, pl, o)
	}
	return res, err
}

func (c *Client) upLocked(ctx context.Context, pl plan.Plan, o UpOptions) (UpResult, error) {
	work, cancel := steady(ctx)
	defer cancel()
	res := UpResult{ID: pl.ID, Action: "created"}
	old, err := containers.Container{}, error(errdefs.ErrNotFound)
	if _, begun := c.ahead.Load(pl.ID); !begun { // else the name is likely free, and to take it says so
		old, err = c.ctrd.ContainerService().Get(work, pl.ID)
	}
	switch {
	case errdefs.IsNotFound(err):
	case err != nil:
		return res, fmt.Errorf("read container %s: %w", pl.ID, err)
	case foreign(old):
		return res, foreignError(pl.ID, c.opt.Namespace)
	case old.Labels[labelOneOff] != "" && !abandoned(old):
		return res, finding.Errorf(finding.StatusFailed, "wait for its end, or end it: hostrun down "+pl.ID,
			"container %s: the name is in use by a container of hostrun run", pl.ID)
	case taken(old, pl) != nil:
		return res, taken(old, pl)
	case old.Labels[labelState] != stateReady: // whoever made it no longer holds the lock: it is dead
		if err := c.finish(work, old); err != nil {
			return res, err
		}
	default:
		if res, err = c.upOver(ctx, pl, old, o); err != nil || res.Action != "replaced" {
			return res, err
		}
	}
	if ctx.Err() != nil {
		return res, context.Cause(ctx)
	}
	c.progress("Container "+pl.ID, "Creating", "")
	if err := c.launch(ctx, pl); err != nil {
		return res, err
	}
	if strings.Contains(pl.Labels[plan.LabelHooks], plan.HookPostStart) {
		if err := c.postStart(ctx, pl.ID, true); err != nil {
			return res, err
		}
	}
	c.progress("Container "+pl.ID, "Started", "")
	return res, nil
}

// taken refuses to replace what was started from somewhere else: a container of another profile's replicas, or of another stack.
func taken(old containers.Container, pl plan.Plan) error {
	owner := ""
	switch stack := old.Labels[plan.LabelStack]; {
	case old.Labels[labelProfile] != pl.Profile:
		owner = "the profile " + old.Labels[labelProfile]
	case stack != "" && stack != pl.Labels[plan.LabelStack]:
		owner = "the stack " + old.Labels[plan.LabelStackName] + " (" + stack + ")"
	default:
		return nil
	}
	return finding.Errorf(finding.StatusProfile, "end it first, if it is not needed: hostrun down "+pl.ID+"\nhostrun explain "+finding.NameOther+" tells more",
		"%s: container %s: the name is taken by a container of %s", finding.NameOther, pl.ID, owner)
}

// upOver decides about a container that is there. After "replaced" it is gone.
func (c *Client) upOver(ctx context.Context, pl plan.Plan, old containers.Container, o UpOptions) (UpResult, error) {
	res := UpResult{ID: pl.ID, Action: "unchanged"}
	changed := c.another(old, pl)
	if changed && !o.Keep || o.Force {
		if err := c.unitsOwn(old, &pl); err != nil {
			return res, err
		}
		res.Action, res.Changed = "replaced", changes(old, pl)
		res.MadeOf, _ = os.ReadFile(c.madeOf(pl.ID)) // one that can't be read says nothing
		c.progress("Container "+pl.ID, "Replacing", "")
		return res, c.replace(ctx, old, o)
	}
	task, err := c.getTask(ctx, pl.ID)
	if err == nil && isPaused(task) {
		return res, isPausedError(pl.ID, "start")
	}
	if err == nil && !runs(task) {
		err = c.unitsOwn(old, &pl)
	}
	if err == nil && runs(task) && !o.Keep {
		if res.Changed = dataChanges(pl); len(res.Changed) > 0 {
			if err := c.unitsOwn(old, &pl); err != nil {
				return res, err
			}
			res.Action = "replaced"
			c.progress("Container "+pl.ID, "Replacing", "")
			return res, c.replace(ctx, old, o)
		}
	}
	if isGivenUp(task) {
		c.opt.Log.Warn("containerd has given it up: its process goes on, without exec, healthchecks and restarts", "container", pl.ID, "remedy", "hostrun restart "+pl.ID)
	}
	if err != nil || runs(task) {
		if err == nil && !changed {
			err = c.noteWish(ctx, old, pl)
		}
		return res, err
	}
	res.Action = "started"
	if !changed { // else it starts as it was made
		if err := errors.Join(c.writeFiles(ctx, pl), c.writeMadeOf(pl)); err != nil {
			return res, err
		}
	}
	c.progress("Container "+pl.ID, "Starting", "")
	if err := c.restart(ctx, old, freshNotes(old.Labels)); err != nil {
		return res, err
	}
	return res, c.postStart(ctx, pl.ID, true)
}

// replace ends and removes a container whose name is needed at once.
func (c *Client) replace(ctx context.Context, old containers.Container, o UpOptions) error {
	c.preStopAnyway(ctx, old)
	task, err := c.getTask(ctx, old.ID)
	if err == nil {
		err = c.end(ctx, old, task, o.Grace)
	}
	if err == nil && o.FreshVolumes {
		err = c.dropAnonymous(old.ID)
	}
	if err != nil {
		return err
	}
	work, cancel := steady(ctx)
	defer cancel()
	return c.discard(work, old)
}

// changes names what differs between the spec that runs and the plan's.
func changes(old containers.Container, pl plan.Plan) []string {
	spec, err := specOf(old)
	if err != nil {
		return []string{err.Error()}
	}
	return diff(spec, old.Labels, pl)
}

// launch creates and starts a detached container; when it fails or ctx ends, nothing stays.
func (c *Client) launch(ctx context.Context, pl plan.Plan) (err error) {
	work, cancel := steady(ctx)
	defer cancel()
	labels := map[string]string{}
	if pl.StdinOpen && terminal(pl.Spec) {
		labels[labelStdin] = c.stdinPath(pl.ID)
	} else if pl.Input != "" {
		labels[labelStdin] = pl.Input
	}
	all := maps.Clone(labels)
	maps.Copy(all, pl.Labels)
	s, err := c.detached(pl.ID, pl.Image, all, terminal(pl.Spec))
	if err != nil {
		return err
	}
	if s.stdout != "" {
		labels[labelLog] = c.logPath(pl.ID)
	}
	m, err := c.make(work, pl, labels)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.discard(work, m.record))
		}
	}()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	m.notes = freshNotes(m.record.Labels)
	kept := make(chan error, 1) // the container does without, so it is not waited for before
	m.kept = sync.OnceValue(func() error { return <-kept })
	go func() { kept <- c.writeMadeOf(pl) }()
	return c.begin(ctx, work, m, s, argv0(pl.Spec))
}

// begin makes and starts the task and notes it in the record: while it is being started, for the note waits for the disk.
// A record that says "ready" with a task that was never started is one that the next up starts again.
func (c *Client) begin(ctx, work context.Context, m made, s streams, command string) error {
	id := m.record.ID
	defer m.keep() // whoever cleans up after an error must not meet it at work
	wired, err := c.wire(work, m.record)
	if err != nil {
		return err
	}
	defer wired.wait() // nor this
	root, clear, err := c.stageFor(m.record, m.root)
	if err != nil {
		return err
	}
	trial := c.trialOf(m.record)
	defer trial.end()
	pid, err := c.createTask(work, id, root, s)
	clear()
	if err != nil {
		return startError("start container "+id, command, err)
	}
	step("task-created")
	wired.created(pid)
	if err := wired.wait(); err != nil {
		return err
	}
	if err := m.keep(); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := trial.run(work, pid); err != nil {
		return err
	}
	noted := make(chan error, 1)
	go func() { noted <- c.noteReady(work, id, m.notes) }()
	err = c.startTask(work, id, "")
	if nerr := <-noted; err == nil && nerr != nil {
		return fmt.Errorf("note the start of container %s: %w", id, nerr)
	}
	if err != nil {
		return startError("start container "+id, command, err)
	}
	step("task-started")
	return nil
}

func (c *Client) noteReady(ctx context.Context, id string, notes map[string]string) error {
	labels := map[string]string{labelState: stateReady, labelStartedAt: timeLabel(time.Now()), labelFinishedAt: "", labelExitStatus: "", labelOOMKilled: ""}
	maps.Copy(labels, notes)
	err := c.setLabels(ctx, id, labels)
	step("record-ready")
	return err
}

// noteWish keeps the record of a container that runs as it should in step with what is wanted by now: the order of down, and that it is
// to be up, after a stop that was cut off before it had an effect.
func (c *Client) noteWish(ctx context.Context, r containers.Container, pl plan.Plan) error {
	labels := map[string]string{}
	for _, key := range []string{plan.LabelDependsOn, plan.LabelStack, plan.LabelStackName, plan.LabelExternal} {
		if r.Labels[key] != pl.Labels[key] {
			labels[key] = pl.Labels[key]
		}
	}
	if r.Labels[labelStoppedBy] != "" {
		labels[labelStoppedBy] = ""
	}
	if len(labels) == 0 {
		return nil
	}
	return c.setLabels(ctx, r.ID, labels)
}

// restart starts a stopped container again, with notes for its record. It leaves the container as it was when that fails.
func (c *Client) restart(ctx context.Context, r containers.Container, notes map[string]string) error {
	work, cancel := steady(ctx)
	defer cancel()
	spec, err := specOf(r)
	if err != nil {
		return err
	}
	if err := c.deleteTask(work, r.ID); err != nil {
		return err
	}
	held, err := c.reacquire(ctx, r)
	if err != nil {
		return err
	}
	defer c.Unreserve(r.ID)
	defer held.Release()
	if err := sameNodes(r, spec); err != nil {
		return err
	}
	if err := c.dataReady(r, spec); err != nil {
		return err
	}
	root, err := c.rootOf(work, r)
	if err != nil {
		return fmt.Errorf("start container %s: read its snapshot: %w", r.ID, err)
	}
	s, err := c.detached(r.ID, r.Image, r.Labels, terminal(spec))
	if err != nil {
		return err
	}
	if err := c.begin(ctx, work, made{record: r, root: root, notes: notes}, s, argv0(spec)); err != nil {
		return errors.Join(err, c.deleteTask(work, r.ID), c.unwire(work, r.ID), c.noteAsBefore(work, r))
	}
	return nil
}

// rootOf returns the mounts of a stopped container's root.
func (c *Client) rootOf(ctx context.Context, r containers.Container) ([]mount.Mount, error) {
	if ownRoot(r) {
		return c.rootMounts(r.ID), nil
	}
	root, err := c.ctrd.SnapshotService(r.Snapshotter).Mounts(ctx, r.SnapshotKey)
	if errdefs.IsNotFound(err) {
		root, err = c.ctrd.SnapshotService(r.Snapshotter).Prepare(ctx, r.SnapshotKey, r.Labels[labelChainID])
	}
	return root, err
}

// noteAsBefore takes the note of a start back that failed.
func (c *Client) noteAsBefore(ctx context.Context, r containers.Container) error {
	was := map[string]string{}
	for _, key := range []string{labelStartedAt, labelFinishedAt, labelExitStatus, labelOOMKilled} {
		was[key] = r.Labels[key]
	}
	return c.setLabels(ctx, r.ID, was)
}
