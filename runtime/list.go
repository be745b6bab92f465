package runtime

import (
	"context"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"sync"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	taskapi "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/network"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/supervise"
)

// List returns the containers of the namespace that are hostrun's, by name; ended ones too if all is set.
func (c *Client) List(ctx context.Context, all bool) ([]Container, error) {
	what, err := c.inventory(c.in(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the containers: %w", err)
	}
	records, running := what.records, what.running
	var list []Container
	wired, cgroups := c.networks(), sync.OnceValue(c.cgroups)
	for _, r := range records {
		if leaving(r, running[r.ID]) {
			continue
		}
		one := describe(r, running[r.ID])
		one.connect(r, wired)
		one.weigh(r, cgroups)
		if all || one.live() {
			list = append(list, one)
		}
	}
	lost, err := c.lost(c.in(ctx), what)
	if err != nil {
		return nil, fmt.Errorf("list the containers: %w", err)
	}
	list = append(list, lost...)
	sort.Slice(list, func(i, j int) bool { return list[i].Container < list[j].Container })
	return list, nil
}

// An inventory is what containerd holds of hostrun's: records, and the tasks of the namespace by container.
type inventory struct {
	records []containers.Container
	running map[string]*taskapi.Process
	err     error
}

// inventory is the one that Open has asked for, once; or a fresh one.
func (c *Client) inventory(ctx context.Context) (inventory, error) {
	if asked := c.asked.Swap(nil); asked != nil {
		select {
		case i := <-*asked:
			return i, i.err
		case <-ctx.Done():
			return inventory{}, context.Cause(ctx)
		}
	}
	i := c.take(ctx)
	return i, i.err
}

// takeAhead asks for the inventory before anybody wants it.
func (c *Client) takeAhead(ctx context.Context) {
	asked := make(chan inventory, 1)
	c.asked.Store(&asked)
	go func() { asked <- c.take(c.in(ctx)) }()
}

func (c *Client) take(ctx context.Context) inventory {
	i := inventory{running: map[string]*taskapi.Process{}}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		i.records, err = c.ctrd.ContainerService().List(gctx, `labels."`+labelProfile+`"`)
		return err
	})
	g.Go(func() error {
		r, err := c.ctrd.TaskService().List(gctx, &tasks.ListTasksRequest{})
		for _, p := range r.GetTasks() {
			i.running[p.ID] = p
		}
		return native(err)
	})
	i.err = g.Wait()
	c.addGivenUp(ctx, i.records, i.running)
	return i
}

// leaving reports that the container is being removed: a one-off one is, as soon as it has ended.
func leaving(r containers.Container, p *taskapi.Process) bool {
	return r.Labels[labelState] == stateRemoving || r.Labels[labelOneOff] != "" && over(r, p)
}

// over says whether a one-off container has ended, rather than not begun: one without a task and a note of its start may be
// either, and its creator knows.
func over(r containers.Container, p *taskapi.Process) bool {
	if p != nil {
		return p.Status == taskapi.Status_STOPPED
	}
	return r.Labels[labelStartedAt] != "" || abandoned(r)
}

// connect adds the ports and addresses of a container that runs: with the host's network the ports are the profile's.
func (c *Container) connect(r containers.Container, wired map[string]network.Entry) {
	if !c.live() {
		return
	}
	req := network.ParseLabel(r.Labels[plan.LabelNetwork])
	if req.Mode == network.Host {
		c.Ports = req.Fixed()
	}
	e, ok := wired[r.ID]
	if !ok {
		return
	}
	c.Ports, c.Networks = e.Bindings, map[string][]string{}
	for _, l := range e.Links {
		c.Networks[l.Network] = l.IPs
	}
}

func (c Container) live() bool { return c.Status == "running" || c.Status == "paused" }

// describe puts together what the record and the task say.
func describe(r containers.Container, p *taskapi.Process) Container {
	one := Container{Schema: 1, Profile: r.Labels[labelProfile], Container: r.ID, Stack: r.Labels[plan.LabelStackName], StackFile: r.Labels[plan.LabelStack], Image: r.Image, Devices: []string{},
		CreatedAt: r.CreatedAt, StartedAt: labelTime(r.Labels, labelStartedAt)}
	for _, l := range devices.ParseLeases(r.Labels[labelDevices], r.ID) {
		one.Devices = append(one.Devices, l.Kind+"="+l.Name)
	}
	_ = json.Unmarshal([]byte(r.Labels[plan.LabelNumbers]), &one.DeviceNumbers) // ours; a label that others wrote says nothing
	for _, n := range one.DeviceNumbers {
		one.Numbering = append(one.Numbering, n.String())
	}
	one.Status = status(r, p)
	switch {
	case runs(p):
		one.PID = int(p.Pid)
	case p != nil && p.Status == taskapi.Status_STOPPED:
		code, at := int(p.ExitStatus), p.ExitedAt.AsTime()
		one.ExitStatus, one.FinishedAt = &code, &at
	case p == nil:
		one.ExitStatus, one.FinishedAt = labelInt(r.Labels, labelExitStatus), labelTime(r.Labels, labelFinishedAt)
		one.OOMKilled = r.Labels[labelOOMKilled] != ""
	}
	one.supervision(r, p)
	one.GivenUp = isGivenUp(p)
	return one
}

// supervision adds what supervise has to do with it.
func (c *Container) supervision(r containers.Container, p *taskapi.Process) {
	for _, name := range strings.FieldsFunc(r.Labels[plan.LabelDependsOn], func(c rune) bool { return c == ',' }) {
		plain, with := strings.CutSuffix(name, "!")
		c.DependsOn = append(c.DependsOn, plain)
		if with {
			c.RestartWith = append(c.RestartWith, plain)
		}
	}
	c.Unit = r.Labels[plan.LabelUnit]
	if !tended(r.Labels) {
		return
	}
	now := supervision(r, p)
	c.Restart, c.Restarts, c.StoppedBy, c.Refused = now.Restart, now.Restarts, now.StoppedBy, now.Refused
	if now.Refused != "" {
		c.RefusedAs = refusalOf(r.Labels).Status
	}
	if at, due := now.RestartAt(); due {
		c.RestartAt = &at
	}
	if now.Running && !isGivenUp(p) { // whose health nobody can ask for
		c.Health = now.Health
		if c.Health == supervise.Unhealthy {
			c.HealthOutput = r.Labels[labelHealthOutput]
		}
	}
}

func status(r containers.Container, p *taskapi.Process) string {
	switch {
	case p == nil && r.Labels[labelExitStatus] != "":
		return "exited"
	case p == nil && r.Labels[labelStartedAt] != "":
		return "unknown"
	case p == nil || p.Status == taskapi.Status_CREATED:
		return "created"
	}
	switch p.Status {
	case taskapi.Status_RUNNING, statusGivenUp:
		return "running"
	case taskapi.Status_PAUSED, taskapi.Status_PAUSING:
		return "paused"
	case taskapi.Status_STOPPED:
		return "exited"
	}
	return "unknown"
}

// An Inspection is everything that is known of one container.
type Inspection struct {
	Container
	Namespace   string            `json:"namespace"`
	Runtime     string            `json:"runtime"`
	Snapshotter string            `json:"snapshotter"`
	SnapshotKey string            `json:"snapshot_key"`
	Directory   string            `json:"directory"`     // generated files and log, on the host
	Log         string            `json:"log,omitempty"` // the log's newest file
	Labels      map[string]string `json:"labels"`
	Spec        json.RawMessage   `json:"spec"` // as containerd stores it
}

// InspectContainer returns everything that is known of a container, as JSON shows it.
func (c *Client) InspectContainer(ctx context.Context, name string) (any, error) {
	ctx = c.in(ctx)
	r, err := c.own(ctx, name)
	if err != nil {
		return nil, err
	}
	task, err := c.getTask(ctx, name)
	if err != nil {
		return nil, err
	}
	spec, err := specOf(r)
	if err != nil {
		return nil, err
	}
	raw, err := specJSON(spec)
	if err != nil {
		return nil, fmt.Errorf("inspect container %s: %w", name, err)
	}
	one := describe(r, task)
	one.connect(r, c.networks())
	one.weigh(r, c.cgroups)
	return Inspection{Container: one, Namespace: c.opt.Namespace, Runtime: r.Runtime.Name, Snapshotter: r.Snapshotter,
		SnapshotKey: r.SnapshotKey, Directory: c.dir(name), Log: r.Labels[labelLog], Labels: r.Labels, Spec: raw}, nil
}

func specJSON(s *specs.Spec) (json.RawMessage, error) { return json.Marshal(s) }
