package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	taskapi "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/supervise"
)

// Labels of a container that hostrun supervise looks after: all that it needs to know, so that it can die at any time.
const (
	labelStoppedBy    = "hostrun.dev/stopped-by"       // supervise.ByUser, supervise.ByHealth: it stays down
	labelRefused      = "hostrun.dev/restart-refused"  // a refusal, as JSON
	labelOwed         = "hostrun.dev/restart-owed"     // "true": on_failure: restart has stopped it
	labelRestarts     = "hostrun.dev/restarts"         // since a person started it
	labelStreak       = "hostrun.dev/restart-streak"   // of them in a row that came to nothing
	labelTriedAt      = "hostrun.dev/restart-tried-at" // when one failed
	labelHealth       = "hostrun.dev/health"
	labelHealthOutput = "hostrun.dev/health-output" // of the probe that made it unhealthy
)

// A refusal says why no restart is tried again. It holds for one boot: afterwards the machine may be another one.
type refusal struct {
	Status int    `json:"status"`
	Error  string `json:"error"`
	Boot   string `json:"boot"`
}

func supervised(labels map[string]string) bool {
	return tended(labels) && labels[plan.LabelUnit] == ""
}

// NeedsSupervisor says whether a container with these labels has a restart policy or a healthcheck.
func NeedsSupervisor(labels map[string]string) bool { return supervised(labels) }

// OtherImage says whether the container is made of another image than the plan is.
func (c *Client) OtherImage(ctx context.Context, pl plan.Plan) bool {
	r, err := c.own(c.in(ctx), pl.ID)
	return err == nil && pl.ChainID != "" && r.Labels[labelChainID] != pl.ChainID
}

// freshNotes are what a start by a person writes into the record: nothing of earlier lives is held against the container.
func freshNotes(labels map[string]string) map[string]string {
	if !tended(labels) {
		return nil
	}
	notes := map[string]string{labelStoppedBy: "", labelRefused: "", labelOwed: "", labelRestarts: "", labelStreak: "", labelTriedAt: "",
		labelHealth: "", labelHealthOutput: ""}
	if labels[plan.LabelHealthcheck] != "" {
		notes[labelHealth] = supervise.Starting
	}
	return notes
}

// restartNotes are what a restart writes.
func restartNotes(r containers.Container, c supervise.Container) map[string]string {
	notes := freshNotes(r.Labels)
	notes[labelRestarts] = strconv.Itoa(c.Restarts + 1)
	notes[labelStreak] = strconv.Itoa(c.FailedInARow() + 1)
	return notes
}

// supervision is what supervise has to know of a container.
func supervision(r containers.Container, p *taskapi.Process) supervise.Container {
	l := r.Labels
	idle := p == nil || p.Status == taskapi.Status_CREATED // of a start that was cut off
	over := p != nil && p.Status == taskapi.Status_STOPPED
	c := supervise.Container{ID: r.ID, Created: r.CreatedAt, Restart: l[plan.LabelRestart], ExitStatus: supervise.Unseen,
		Running: runs(p), Paused: p != nil && p.Status != taskapi.Status_RUNNING, Settled: idle, // a probe reaches neither one that is paused nor one that containerd has given up
		StoppedBy: l[labelStoppedBy], Owed: l[labelOwed] != "", Health: l[labelHealth]}
	if text := l[plan.LabelHealthcheck]; text != "" {
		check := new(profiles.Healthcheck)
		if json.Unmarshal([]byte(text), check) == nil { // ours; of a later version it may be something else
			c.Check = check
		}
	}
	c.Ended = l[labelState] == stateReady && l[labelStartedAt] != "" && (idle || over)
	if at := labelTime(l, labelStartedAt); at != nil {
		c.StartedAt = *at
	}
	if at := labelTime(l, labelTriedAt); at != nil {
		c.TriedAt = *at
	}
	for key, to := range map[string]*int{labelRestarts: &c.Restarts, labelStreak: &c.Streak} {
		if n := labelInt(l, key); n != nil {
			*to = *n
		}
	}
	if over {
		c.ExitStatus, c.EndedAt = int(p.ExitStatus), p.ExitedAt.AsTime()
	} else if status, at := labelInt(l, labelExitStatus), labelTime(l, labelFinishedAt); status != nil && at != nil {
		c.ExitStatus, c.EndedAt = *status, *at
	}
	if r := refusalOf(l); r.Boot == bootID() {
		c.Refused = r.Error
	}
	return c
}

func refusalOf(labels map[string]string) (r refusal) {
	_ = json.Unmarshal([]byte(labels[labelRefused]), &r) // what is not ours says nothing
	return r
}

// Supervised lists the containers that have a restart policy or a healthcheck.
func (c *Client) Supervised(ctx context.Context) ([]supervise.Container, error) {
	ctx = c.in(ctx)
	var records []containers.Container
	running := map[string]*taskapi.Process{}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		records, err = c.ctrd.ContainerService().List(gctx, `labels."`+plan.LabelRestart+`"`, `labels."`+plan.LabelHealthcheck+`"`)
		return err
	})
	g.Go(func() error {
		r, err := c.ctrd.TaskService().List(gctx, &tasks.ListTasksRequest{})
		for _, p := range r.GetTasks() {
			running[p.ID] = p
		}
		return native(err)
	})
	if err := g.Wait(); err != nil {
		return nil, fmt.Errorf("list the containers: %w", err)
	}
	c.addGivenUp(ctx, records, running)
	var all []supervise.Container
	for _, r := range records {
		if supervised(r.Labels) && r.Labels[labelState] != stateRemoving {
			all = append(all, supervision(r, running[r.ID]))
		}
	}
	return all, nil
}

// SupervisedOne is Supervised for one container; false if it is none of them.
func (c *Client) SupervisedOne(ctx context.Context, id string) (supervise.Container, bool, error) {
	return c.lookedAfter(ctx, id, supervised)
}

// lookedAfter is what supervise has to know of a container, if its labels are of the kind that is meant.
func (c *Client) lookedAfter(ctx context.Context, id string, kind func(labels map[string]string) bool) (supervise.Container, bool, error) {
	ctx = c.in(ctx)
	r, err := c.ctrd.ContainerService().Get(ctx, id)
	if errdefs.IsNotFound(err) || err == nil && (!kind(r.Labels) || r.Labels[labelState] == stateRemoving) {
		return supervise.Container{}, false, nil
	}
	if err != nil {
		return supervise.Container{}, false, fmt.Errorf("read container %s: %w", id, err)
	}
	p, err := c.getTask(ctx, id)
	return supervision(r, p), err == nil, err
}

// Again starts a container that has ended once more, by a plan of this moment, if its record still wants that: nobody has stopped or
// removed it, and it is the one that was created then. The layer stays, and so does the image: one that bears its
// name by now is for the next up. The action is "unchanged" where nothing was to be done.
func (c *Client) Again(ctx context.Context, pl plan.Plan, created time.Time) (UpResult, error) {
	ctx = c.in(ctx)
	res := UpResult{ID: pl.ID, Action: "unchanged"}
	l, err := c.lock(ctx, pl.ID)
	if err != nil {
		return res, err
	}
	defer l.unlock()
	work, cancel := steady(ctx)
	defer cancel()
	r, err := c.recorded(work, pl.ID)
	if errors.Is(err, ErrNoContainer) {
		return res, nil
	} else if err != nil {
		return res, err
	}
	task, err := c.getTask(work, pl.ID)
	if err != nil || !r.CreatedAt.Equal(created) || !supervised(r.Labels) {
		return res, err
	}
	now := supervision(r, task)
	if _, due := now.RestartAt(); !due {
		return res, nil
	}
	if task != nil && task.Status == taskapi.Status_STOPPED { // its end must not get lost with it
		if err := c.recordExit(work, r, exit{status: now.ExitStatus, at: now.EndedAt}); err != nil {
			return res, err
		}
	}
	if r, err = c.refit(work, r, pl, &res); err != nil {
		return res, err
	}
	res.Action = "started"
	if err := c.restart(ctx, r, restartNotes(r, now)); err != nil {
		return res, err
	}
	return res, c.postStart(ctx, r.ID, false)
}

// refit gives the record of a stopped container the spec and the labels of the plan, in one step.
func (c *Client) refit(ctx context.Context, r containers.Container, pl plan.Plan, res *UpResult) (containers.Container, error) {
	if r.Labels[labelChainID] != pl.ChainID {
		c.opt.Log.Warn("the image is another one by now: the container is started as it is", "container", r.ID, "image", pl.Image)
		return r, nil
	}
	if r.Labels[plan.LabelIDs] != pl.Labels[plan.LabelIDs] { // what it has written belongs to them
		c.opt.Log.Warn("its user ids are others by now: the container is started as it is", "container", r.ID, "ids", pl.Labels[plan.LabelIDs])
		return r, nil
	}
	if err := errors.Join(c.writeFiles(ctx, pl), c.writeMadeOf(pl)); err != nil {
		return r, err
	}
	if r.Labels[labelHash] == pl.Hash {
		return r, nil
	}
	res.Changed = changes(r, pl)
	fresh, err := newRecord(pl, nil)
	if err != nil {
		return r, err
	}
	update := containers.Container{ID: r.ID, Spec: fresh.Spec, Labels: map[string]string{}}
	paths := []string{"spec"}
	for _, key := range []string{plan.LabelDevices, plan.LabelNumbers, plan.LabelHooks, plan.LabelLogging, plan.LabelPID, plan.LabelIPC, plan.LabelSubpaths} { // that may be gone
		update.Labels[key] = ""
	}
	for key, value := range pl.Labels {
		update.Labels[key] = value
	}
	for key := range update.Labels {
		paths = append(paths, "labels."+key)
	}
	updated, err := c.ctrd.ContainerService().Update(ctx, update, paths...)
	if err != nil {
		return r, fmt.Errorf("give container %s its new spec: %w", r.ID, err)
	}
	step("again-refitted")
	return updated, nil
}

// Numbers are the accelerators of a container.
func (c *Client) Numbers(ctx context.Context, id string) ([]plan.DeviceNumber, error) {
	r, err := c.own(c.in(ctx), id)
	if err != nil {
		return nil, err
	}
	var numbers []plan.DeviceNumber
	if err := json.Unmarshal([]byte(r.Labels[plan.LabelNumbers]), &numbers); err != nil {
		return nil, fmt.Errorf("container %s: read which devices it has (label %s): %w", id, plan.LabelNumbers, err)
	}
	return numbers, nil
}

// Source returns what the container's plan was made of.
func (c *Client) Source(ctx context.Context, id string) (source []byte, created time.Time, err error) {
	r, err := c.own(c.in(ctx), id)
	if err != nil {
		return nil, time.Time{}, err
	}
	if e := r.Extensions[extensionSource]; e != nil {
		source = e.GetValue()
	}
	return source, r.CreatedAt, nil
}

// SettleEnd notes the end of a process in the record and takes the task away with its shim.
func (c *Client) SettleEnd(ctx context.Context, id string) error {
	ctx = c.in(ctx)
	l, err := c.tryLock(id)
	if err != nil {
		return err
	}
	defer l.unlock()
	work, cancel := steady(ctx)
	defer cancel()
	task, err := c.getTask(work, id)
	if err != nil || task == nil || task.Status != taskapi.Status_STOPPED {
		return err
	}
	r := containers.Container{ID: id}
	if task.ExitStatus == killed { // then its cgroup is looked for, which the record names
		if r, err = c.ctrd.ContainerService().Get(work, id); err != nil {
			return fmt.Errorf("read container %s: %w", id, err)
		}
	}
	if err := c.recordExit(work, r, exit{status: int(task.ExitStatus), at: task.ExitedAt.AsTime()}); err != nil {
		return err
	}
	return c.deleteTask(work, id)
}

// NoteRestartFailed writes down that a restart has failed, so that the next one waits longer; one that no further attempt mends is
// the last.
func (c *Client) NoteRestartFailed(ctx context.Context, was supervise.Container, cause error) error {
	labels := map[string]string{labelTriedAt: timeLabel(time.Now()), labelStreak: strconv.Itoa(was.FailedInARow() + 1)}
	if status := finding.StatusOf(cause); Hopeless(status) {
		text, err := json.Marshal(refusal{Status: status, Error: abridge(cause.Error(), 1500), Boot: bootID()})
		if err != nil {
			return err
		}
		labels[labelRefused] = string(text)
	}
	return c.amend(ctx, was, labels, func(now supervise.Container) bool { _, due := now.RestartAt(); return due })
}

// Hopeless says whether what ends a start with this status can't be mended by trying again (docs/exit-status.md).
func Hopeless(status int) bool {
	switch status {
	case finding.StatusUsage, finding.StatusProfile, finding.StatusNoPath, finding.StatusNoDevice, finding.StatusPermission, finding.StatusMisfit:
		return true
	}
	return false
}

// NoteHealth writes the health of a running container into its record.
func (c *Client) NoteHealth(ctx context.Context, was supervise.Container, health, output string) error {
	return c.amend(ctx, was, map[string]string{labelHealth: health, labelHealthOutput: abridge(output, 2000)},
		func(now supervise.Container) bool { return now.Running && now.StartedAt.Equal(was.StartedAt) })
}

// amend changes labels of a container if it is still the one that it was, and fits.
func (c *Client) amend(ctx context.Context, was supervise.Container, labels map[string]string, fits func(supervise.Container) bool) error {
	ctx = c.in(ctx)
	l, err := c.tryLock(was.ID)
	if err != nil {
		return err
	}
	defer l.unlock()
	now, there, err := c.Tended(ctx, was.ID)
	if err != nil || !there || !now.Created.Equal(was.Created) || !fits(now) {
		return err
	}
	return c.setLabels(ctx, was.ID, labels)
}

// EndUnhealthy does what on_failure says with a container that is unhealthy, and returns when its process has ended.
func (c *Client) EndUnhealthy(ctx context.Context, was supervise.Container) error {
	ctx = c.in(ctx)
	l, r, err := c.lockOwn(ctx, was.ID)
	if errors.Is(err, ErrNoContainer) {
		return nil
	} else if err != nil {
		return err
	}
	defer l.unlock()
	task, err := c.getTask(ctx, r.ID)
	if err != nil {
		return err
	}
	now := supervision(r, task)
	if !now.Running || !now.StartedAt.Equal(was.StartedAt) || now.Health != supervise.Unhealthy || now.Check == nil {
		return nil
	}
	switch now.Check.OnFailure {
	case "kill":
		return c.killAndWait(ctx, r.ID)
	case "stop":
		err = c.setLabels(ctx, r.ID, map[string]string{labelStoppedBy: supervise.ByHealth})
	case "restart":
		err = c.setLabels(ctx, r.ID, map[string]string{labelOwed: "true"})
	default:
		return nil
	}
	if err != nil {
		return fmt.Errorf("note why container %s is stopped: %w", r.ID, err)
	}
	c.preStopAnyway(ctx, r)
	return c.stop(ctx, r, nil)
}

// markStopped writes down that a person wants the container down, before anything is done about it: whatever happens then,
// nobody starts it again behind their back.
func (c *Client) markStopped(ctx context.Context, r containers.Container) error {
	if !tended(r.Labels) || r.Labels[labelStoppedBy] == supervise.ByUser {
		return nil
	}
	if err := c.setLabels(ctx, r.ID, map[string]string{labelStoppedBy: supervise.ByUser}); err != nil {
		return fmt.Errorf("note that container %s is to be down: %w", r.ID, err)
	}
	step("stop-marked")
	return nil
}

// abridge cuts text to at most n bytes, from its beginning: the end tells more.
func abridge(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return "..." + strings.ToValidUTF8(text[len(text)-n+3:], "")
}
