package runtime

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/network"
	"hostrun.dev/hostrun/plan"
)

// adaptable are the labels that say how a container is looked after, which its process need not be asked about.
var adaptable = []string{plan.LabelHealthcheck, plan.LabelStopSignal, plan.LabelStopSeconds, plan.LabelDependsOn}

// Retune gives a running container what the plan says of limits, health and its end. fixed are the differences that only a new
// container would have; where there are any, nothing is done.
func (c *Client) Retune(ctx context.Context, pl plan.Plan) (changed, fixed []string, err error) {
	ctx = c.in(ctx)
	l, r, err := c.lockOwn(ctx, pl.ID)
	if err != nil {
		return nil, nil, err
	}
	defer l.unlock()
	if r.Labels[labelHash] == pl.Hash {
		return nil, nil, nil
	}
	old, err := specOf(r)
	if err != nil {
		return nil, nil, err
	}
	limits := plan.Diff(old, limited(old, pl.Spec))
	if fixed = c.fixedChanges(r, old, pl); len(fixed) > 0 {
		return nil, fixed, nil
	}
	work, cancel := steady(ctx)
	defer cancel()
	if len(limits) > 0 {
		if err := c.applyLimits(work, pl); err != nil {
			return nil, nil, err
		}
	}
	return append(limits, labelChanges(r, pl)...), nil, c.adoptPlan(work, r, pl)
}

// limited is the spec with the other one's limits of processor, memory and processes.
func limited(spec, by *specs.Spec) *specs.Spec {
	one, linux, resources := *spec, *spec.Linux, specs.LinuxResources{}
	if linux.Resources != nil {
		resources = *linux.Resources
	}
	resources.CPU, resources.Memory, resources.Pids = by.Linux.Resources.CPU, by.Linux.Resources.Memory, by.Linux.Resources.Pids
	linux.Resources, one.Linux = &resources, &linux
	return &one
}

// fixedChanges are what a running container can't be given.
func (c *Client) fixedChanges(r containers.Container, old *specs.Spec, pl plan.Plan) []string {
	fixed := diff(limited(old, pl.Spec), withHash(r.Labels, pl.Hash), pl)
	for key, value := range pl.Labels {
		if strings.HasPrefix(key, plan.LabelPrefix) && !slices.Contains(adaptable, key) && key != labelHash && r.Labels[key] != value && key != plan.LabelDevices && key != plan.LabelRuntime && key != plan.LabelDigest {
			fixed = append(fixed, fmt.Sprintf("label %s: %s -> %s", key, orNone(r.Labels[key]), value))
		}
	}
	for _, f := range pl.Files {
		have, err := os.ReadFile(f.Path)
		have, _, _ = bytes.Cut(have, []byte(network.HostsMark)) // what follows comes and goes with the container's peers
		if err != nil || !bytes.Equal(have, f.Bytes()) {
			fixed = append(fixed, "generated file "+f.Path)
		}
	}
	return fixed
}

func withHash(labels map[string]string, hash string) map[string]string {
	all := maps.Clone(labels)
	all[labelHash] = hash
	return all
}

func labelChanges(r containers.Container, pl plan.Plan) (changed []string) {
	for _, key := range adaptable {
		if was, is := r.Labels[key], pl.Labels[key]; was != is {
			changed = append(changed, fmt.Sprintf("%s: %s -> %s", key[len(plan.LabelPrefix):], orNone(was), orNone(is)))
		}
	}
	return changed
}

// unlimited are the kernel's words for no limit: a limit that the profile no longer has is taken away.
func unlimited(r *specs.LinuxResources) *specs.LinuxResources {
	one, none, period, quota := specs.LinuxResources{}, int64(-1), uint64(100_000), int64(-1)
	one.CPU, one.Memory, one.Pids = r.CPU, r.Memory, r.Pids
	if one.CPU == nil || one.CPU.Quota == nil {
		cpu := specs.LinuxCPU{}
		if one.CPU != nil {
			cpu = *one.CPU
		}
		cpu.Period, cpu.Quota = &period, &quota
		one.CPU = &cpu
	}
	if one.Memory == nil {
		one.Memory = &specs.LinuxMemory{Limit: &none, Swap: &none}
	}
	if one.Pids == nil {
		one.Pids = &specs.LinuxPids{Limit: &none}
	}
	return &one
}

func (c *Client) applyLimits(ctx context.Context, pl plan.Plan) error {
	resources, err := typeurl.MarshalAnyToProto(unlimited(pl.Spec.Linux.Resources))
	if err != nil {
		return fmt.Errorf("change the limits of container %s: %w", pl.ID, err)
	}
	_, err = c.ctrd.TaskService().Update(ctx, &tasks.UpdateTaskRequest{ContainerID: pl.ID, Resources: resources})
	if err = native(err); err != nil {
		return fmt.Errorf("change the limits of container %s: %w", pl.ID, ociCause(err))
	}
	return nil
}

// adoptPlan notes in the record that this is the plan by now.
func (c *Client) adoptPlan(ctx context.Context, r containers.Container, pl plan.Plan) error {
	fresh, err := newRecord(pl, nil)
	if err != nil {
		return err
	}
	update := containers.Container{ID: r.ID, Spec: fresh.Spec, Labels: map[string]string{labelHash: pl.Hash}}
	for _, key := range adaptable {
		update.Labels[key] = pl.Labels[key]
	}
	paths := []string{"spec"}
	for key := range update.Labels {
		paths = append(paths, "labels."+key)
	}
	if _, err := c.ctrd.ContainerService().Update(ctx, update, paths...); err != nil {
		return fmt.Errorf("give container %s its new spec: %w", r.ID, err)
	}
	return c.writeMadeOf(pl)
}
