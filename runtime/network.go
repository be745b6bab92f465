package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	taskapi "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/network"
	"hostrun.dev/hostrun/network/bridge"
	"hostrun.dev/hostrun/network/sockets"
	"hostrun.dev/hostrun/plan"
)

func (c *Client) kernel() *bridge.Kernel {
	return &bridge.Kernel{StateDir: c.opt.StateDir, Relay: filepath.Join(c.opt.LibexecDir, sockets.RelayProgram), Log: c.opt.Log}
}

func (c *Client) networkKey(id string) bridge.Key {
	return bridge.Key{Namespace: c.opt.Namespace, ID: id}
}

// A wiring is the network of a container that is being made, under way beside the container itself.
type wiring struct {
	done    chan error
	connect func(pid int) // begins, in the network namespace of that process; nil once it has begun
}

// wire makes the network namespace that the container's spec names, and goes on beside the caller to connect it. The container
// can be created meanwhile; wait comes before its start.
func (c *Client) wire(ctx context.Context, r containers.Container) (*wiring, error) {
	if err := c.sharePID(ctx, r); err != nil {
		return nil, err
	}
	if err := c.shareIPC(ctx, r); err != nil {
		return nil, err
	}
	if r.Labels[plan.LabelSubpaths] != "" {
		if err := c.bindSubpaths(r); err != nil {
			return nil, err
		}
	}
	req := network.ParseLabel(r.Labels[plan.LabelNetwork])
	o := bridge.Order{Key: c.networkKey(r.ID), Owner: c.opt.Address, Request: req, Hosts: filepath.Join(c.dir(r.ID), "hosts")}
	switch req.Mode {
	case network.Container:
		return nil, c.share(ctx, o)
	case network.Bridge:
	default:
		return nil, nil
	}
	k := c.kernel()
	w := &wiring{done: make(chan error, 1)}
	attach := func() {
		_, err := k.Attach(ctx, o)
		step("network-attached")
		w.done <- networkError(r.ID, err)
	}
	if r.Labels[plan.LabelIDs] != "" {
		// Its network namespace has to be of its user namespace: what is started in the container later has no right to enter another
		// (setns(2)). So the OCI runtime makes both, and there is nothing to connect before.
		w.connect = func(pid int) {
			if err := k.Adopt(o.Key, pid); err != nil {
				w.done <- err
				return
			}
			go attach()
		}
		return w, networkError(r.ID, k.Detach(ctx, o.Key))
	}
	reused, err := k.Prepare(ctx, o)
	step("network-prepared")
	if err != nil || reused {
		return nil, networkError(r.ID, err)
	}
	go attach()
	return w, nil
}

// created tells it the first process of the container, which has been made.
func (w *wiring) created(pid uint32) {
	if w != nil && w.connect != nil {
		connect := w.connect
		w.connect = nil
		connect(int(pid))
	}
}

// wait returns when the network is complete. Only the first call waits.
func (w *wiring) wait() error {
	if w == nil || w.done == nil || w.connect != nil { // the last: there is no container
		return nil
	}
	err := <-w.done
	w.done = nil
	return err
}

// share lets the container into the network namespace of another one that runs.
func (c *Client) share(ctx context.Context, o bridge.Order) error {
	task, err := c.getTask(ctx, o.Request.Join)
	if err != nil {
		return err
	}
	if !runs(task) {
		return finding.Errorf(finding.StatusFailed, "hostrun up "+o.Request.Join, "container %s: it shares the network of container %s, which does not run", o.ID, o.Request.Join)
	}
	return networkError(o.ID, c.kernel().Join(ctx, o, int(task.Pid)))
}

// networkError gives a conflict that came up since the check its status and a hint.
func networkError(id string, err error) error {
	var conflict *network.Conflict
	if !errors.As(err, &conflict) {
		return err
	}
	status := finding.StatusProfile
	if conflict.Kind == network.PortTaken {
		status = finding.StatusTryAgain
	}
	return &finding.Err{Err: fmt.Errorf("connect container %s: %w", id, err), Status: status, Hint: "hostrun ps shows ports and networks"}
}

// unwire removes what the container has of networks; most have nothing.
func (c *Client) unwire(ctx context.Context, id string) error {
	err := errors.Join(c.kernel().Detach(ctx, c.networkKey(id)), c.unsharePID(id), c.unshareIPC(id), c.unbindSubpaths(id))
	step("network-removed")
	if err != nil {
		return fmt.Errorf("disconnect container %s: %w", id, err)
	}
	return nil
}

// sweepNetworks removes the networks of containers that are gone, or do not run any more: their ports are free for others. Of those
// that run it sets again what somebody has taken from them.
func (c *Client) sweepNetworks(ctx context.Context) {
	ids := c.kernel().IDs(c.opt.Namespace)
	if len(ids) == 0 {
		return
	}
	listed, err := c.ctrd.TaskService().List(ctx, &tasks.ListTasksRequest{})
	if err != nil {
		return // the next command's sweep
	}
	running := map[string]bool{}
	for _, p := range listed.GetTasks() {
		running[p.ID] = p.Status != taskapi.Status_STOPPED
	}
	for _, id := range ids {
		if running[id] || !c.ownsNetwork(id) {
			continue
		}
		if err := c.sweepNetwork(ctx, id); err != nil {
			c.opt.Log.Warn("sweep", "error", err)
		}
	}
	c.healNetworks(ctx)
}

// healNetworks sets again what others have taken from networks.
func (c *Client) healNetworks(ctx context.Context) {
	healed, err := c.kernel().Heal(ctx)
	if healed {
		c.opt.Log.Warn("somebody has removed rules or relays of networks: they are set again")
	}
	if err != nil && ctx.Err() == nil {
		c.opt.Log.Warn("set the rules of networks again", "error", err)
	}
}

// GuardNetworks sets again what others take from networks, whenever the firewall's rules change, until ctx ends.
func (c *Client) GuardNetworks(ctx context.Context) {
	bridge.WatchRules(ctx, func() { c.healNetworks(ctx) })
}

// ownsNetwork reports whether the container is one of this containerd's, as far as the journal tells.
func (c *Client) ownsNetwork(id string) bool {
	e, err := c.kernel().Entry(c.networkKey(id))
	return errors.Is(err, fs.ErrNotExist) || err == nil && e.Owner == c.opt.Address
}

func (c *Client) sweepNetwork(ctx context.Context, id string) error {
	l, err := c.tryLock(id)
	if errors.Is(err, ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer l.unlock()
	r, err := c.ctrd.ContainerService().Get(ctx, id)
	switch {
	case err != nil && !errdefs.IsNotFound(err):
		return err
	case err == nil && (c.holdsNow(ctx, r) || r.Labels[labelOneOff] != "" && alive(r.Labels[labelCreator])):
		return nil
	}
	work, cancel := steady(ctx)
	defer cancel()
	return c.unwire(work, id)
}

// Networks are the networks of the namespace's containers that run, by container.
func (c *Client) networks() map[string]network.Entry {
	all, err := c.kernel().Entries()
	if err != nil {
		c.opt.Log.Warn("look at the networks", "error", err)
	}
	mine := map[string]network.Entry{}
	for _, e := range all {
		if e.Namespace == c.opt.Namespace && e.Owner == c.opt.Address {
			mine[e.ID] = e
		}
	}
	return mine
}
