package runtime

import (
	"context"
	"fmt"
	"slices"

	taskapi "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/devices"
)

// A Holding is a device that a container's record names.
type Holding struct {
	devices.Lease
	Namespace string
	// Live is whether the container holds it now: its process runs, or somebody is making it. One that has stopped holds nothing, and asks
	// again when it is started.
	Live bool
}

// Holdings lists what the records of all namespaces of this containerd name. Another namespace's may be those of another user of hostrun.
// strays, which may be nil, are told of all records.
func (c *Client) Holdings(ctx context.Context, strays *Strays) ([]Holding, error) {
	if strays == nil {
		return c.holdings(ctx, nil)
	}
	return c.holdings(ctx, &others{strays: strays})
}

// holdings tells o of the other tools' containers that it meets.
func (c *Client) holdings(ctx context.Context, o *others) ([]Holding, error) {
	spaces, err := c.ctrd.NamespaceService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the devices in use: %w", err)
	}
	found := make([][]Holding, len(spaces))
	group, gctx := errgroup.WithContext(ctx)
	for i, ns := range spaces {
		group.Go(func() (err error) {
			found[i], err = c.holdingsIn(namespaces.WithNamespace(gctx, ns), ns, o)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fmt.Errorf("list the devices in use: %w", err)
	}
	return slices.Concat(found...), nil
}

func (c *Client) holdingsIn(ctx context.Context, ns string, o *others) ([]Holding, error) {
	var filters []string
	if o == nil {
		filters = []string{`labels."` + labelDevices + `"`}
	}
	records, err := c.ctrd.ContainerService().List(ctx, filters...)
	if err != nil {
		return nil, err
	}
	o.meet(ns, records)
	found := make([][]Holding, len(records))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for i, r := range records {
		if r.Labels[labelDevices] == "" {
			continue
		}
		group.Go(func() error {
			live := c.holdsNow(gctx, r)
			for _, l := range devices.ParseLeases(r.Labels[labelDevices], r.ID) {
				found[i] = append(found[i], Holding{Lease: l, Namespace: ns, Live: live})
			}
			return nil
		})
	}
	o.look(ctx, c, ns, records)
	_ = group.Wait()
	return slices.Concat(found...), nil
}

// holdsNow tells by record and task. Who can't be asked, as its shim hangs, holds what it has.
func (c *Client) holdsNow(ctx context.Context, r containers.Container) bool {
	task, err := c.getTask(ctx, r.ID)
	made := r.Labels[labelState] == stateCreating
	switch {
	case err != nil:
		return true
	case task != nil && task.Status == taskapi.Status_CREATED: // whose maker has died is never started
		return !made || alive(r.Labels[labelCreator])
	case task != nil && task.Status != taskapi.Status_STOPPED:
		return true
	}
	return made && alive(r.Labels[labelCreator]) && !leaving(r, task)
}

// leases are what other containers than id hold now, on all containerds that are known, and what id's own record names. o is told of
// other tools' containers; it may be nil.
func (c *Client) leases(ctx context.Context, id string, o *others) (held []devices.Lease, own []Holding, err error) {
	all := []*Client{c}
	if c.opt.Peers != nil {
		all = append(all, c.opt.Peers(ctx)...)
	}
	found := make([][]Holding, len(all))
	group, gctx := errgroup.WithContext(ctx)
	for i, peer := range all {
		group.Go(func() (err error) { found[i], err = peer.holdings(gctx, o); return err })
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	found = append(found, o.leasesOfStrays())
	for i, holdings := range found {
		for _, h := range holdings {
			switch mine := (i == 0 || i == len(all)) && h.Container == id && h.Namespace == c.opt.Namespace; {
			case mine:
				own = append(own, h)
			case h.Live:
				held = append(held, h.Lease)
			}
		}
	}
	return held, own, nil
}
