package runtime

import (
	"context"
	"fmt"
	"slices"
	"time"

	taskapi "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// This file deals with processes that containerd has lost the record of: its database was removed, or it was replaced by one with another
// root, and it has found the shims that go on (containerd 1.6; later ones end them).

// lost lists the containers that run and have no record.
func (c *Client) lost(ctx context.Context, what inventory) ([]Container, error) {
	unknown := map[string]*taskapi.Process{}
	for id, p := range what.running {
		if runs(p) {
			unknown[id] = p
		}
	}
	for _, r := range what.records {
		delete(unknown, r.ID)
	}
	if len(unknown) == 0 {
		return nil, nil
	}
	all, err := c.ctrd.ContainerService().List(ctx) // those that are not hostrun's, too
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		delete(unknown, r.ID)
	}
	var list []Container
	for id, p := range unknown {
		one := describe(containers.Container{ID: id}, p)
		one.Lost = true
		list = append(list, one)
	}
	return list, nil
}

// endLost ends the process and its shim in order, if one of that name runs although its record is just being made. The caller holds the
// name's lock.
func (c *Client) endLost(ctx context.Context, id string) error {
	task, err := c.getTask(ctx, id)
	if err == nil && task == nil {
		task = c.unshown(ctx, id) // nor a task
	}
	if err != nil || !runs(task) {
		return err
	}
	c.progress("Container "+id, "Stopping", "it runs, and containerd has lost its record")
	r := containers.Container{ID: id}
	if _, err := c.terminate(ctx, r, graceOf(r, nil), task); err != nil {
		return fmt.Errorf("stop container %s: %w", id, err)
	}
	return c.deleteTask(ctx, id)
}

// adoptLost gives what goes on under the name, if anything does, a record again, by which it can be ended: without one containerd does
// nothing with a task.
func (c *Client) adoptLost(ctx context.Context, id string) (found bool, err error) {
	ctx = c.in(ctx)
	what, err := c.inventory(ctx)
	if err != nil {
		return false, err
	}
	if list, err := c.lost(ctx, what); err != nil || !slices.ContainsFunc(list, func(one Container) bool { return one.Container == id }) {
		return false, err
	}
	spec, err := typeurl.MarshalAny(&specs.Spec{Version: specs.Version, Process: &specs.Process{}, Root: &specs.Root{}, Linux: &specs.Linux{}})
	if err != nil {
		return false, err
	}
	_, err = c.ctrd.ContainerService().Create(ctx, containers.Container{ID: id, Spec: spec, Runtime: containers.RuntimeInfo{Name: runtimeName},
		Labels: map[string]string{labelProfile: id, labelState: stateReady, labelStartedAt: timeLabel(time.Now())}})
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return false, fmt.Errorf("container %s runs and has no record: make one: %w", id, err)
	}
	return true, nil
}
