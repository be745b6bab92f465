package runtime

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/network"
	"hostrun.dev/hostrun/network/bridge"
	"hostrun.dev/hostrun/network/sockets"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// LookAtNetwork says what the machine has to say to a profile's ports and networks; nil for a profile without any. What the
// container id itself holds is no obstacle.
func (c *Client) LookAtNetwork(ctx context.Context, p *profiles.Profile, id string) (*plan.Network, error) {
	want := plan.Ports(p)
	if len(want) == 0 && !plan.Bridged(p) {
		return nil, nil
	}
	ctx = c.in(ctx)
	n := new(plan.Network)
	entries, err := c.kernel().Entries()
	if err != nil {
		return nil, err
	}
	if n.Taken, err = c.takenPorts(ctx, want, id, entries); err != nil {
		return nil, err
	}
	if !plan.Bridged(p) {
		return n, nil
	}
	n.Missing, n.Others = bridge.Missing(drivers(p)), entries
	if !fixedNetworks(p) {
		return n, nil
	}
	if n.Others, err = c.staying(ctx, p, id, entries); err != nil {
		return nil, err
	}
	n.Interfaces, err = bridge.Interfaces()
	for i, one := range n.Interfaces {
		if name := sockets.DockerNetwork(ctx, one.Name); name != "" {
			n.Interfaces[i].Of = "Docker's network " + name
		}
	}
	return n, err
}

// fixedNetworks reports whether the profile says something that may contradict what is there.
func fixedNetworks(p *profiles.Profile) bool {
	for _, n := range p.Networks {
		if len(n.Subnets) > 0 || n.IPv4 != "" || n.IPv6 != "" || n.Internal || n.EnableIPv6 || n.MTU > 0 || n.Driver != "" {
			return true
		}
	}
	return false
}

// staying are the entries without those of containers that run no more and are on a network of the profile's: what they say of it must not
// stand against a profile that was changed since. id's own stays.
func (c *Client) staying(ctx context.Context, p *profiles.Profile, id string, entries []network.Entry) ([]network.Entry, error) {
	left := entries
	for _, e := range entries {
		shared := slices.ContainsFunc(e.Links, func(l network.Link) bool {
			return slices.ContainsFunc(p.Networks, func(n profiles.Network) bool { return n.Name == l.Network })
		})
		if !shared || e.ID == id || e.Namespace != c.opt.Namespace {
			continue
		}
		gone, err := c.freeNetwork(ctx, e.ID)
		if err != nil {
			return nil, err
		}
		if gone {
			left = without(left, e.ID)
		}
	}
	return left, nil
}

// drivers are those of the profile's networks; "" is a bridge.
func drivers(p *profiles.Profile) []string {
	if len(p.Networks) == 0 {
		return []string{""}
	}
	var all []string
	for _, n := range p.Networks {
		all = append(all, n.Driver)
	}
	return all
}

// takenPorts tries each port; one that can't be bound gets the name of who has it.
func (c *Client) takenPorts(ctx context.Context, want []network.Binding, id string, entries []network.Entry) ([]plan.TakenPort, error) {
	var others []network.Entry
	for _, e := range entries {
		if e.ID != id || e.Namespace != c.opt.Namespace {
			others = append(others, e)
		}
	}
	held := network.Holders(want, others)
	var taken []plan.TakenPort
	for _, b := range want {
		if by, ok := held[b]; ok {
			if dead, err := c.freeNetwork(ctx, by); err != nil || dead {
				held = network.Holders(want, without(others, by))
				if err != nil {
					return nil, err
				}
			} else {
				taken = append(taken, plan.TakenPort{Binding: b, Holder: "container " + by, Remedy: "stop it: hostrun down " + by + "\nor publish another port of the host"})
				continue
			}
		}
		switch err := sockets.Busy(b); {
		case errors.Is(err, unix.EADDRNOTAVAIL):
			taken = append(taken, plan.TakenPort{Binding: b, NoAddress: true})
		case err != nil:
			if t, ok := c.holder(ctx, b, id); ok {
				taken = append(taken, t)
			}
		}
	}
	return taken, nil
}

func without(all []network.Entry, id string) []network.Entry {
	var rest []network.Entry
	for _, e := range all {
		if e.ID != id {
			rest = append(rest, e)
		}
	}
	return rest
}

// removalPatience is how long to wait for a removal that goes on in the background, of a container whose ports or networks are wanted.
const removalPatience = 10 * time.Second

// freeNetwork takes the network of a container away that runs no more, and reports whether it was one. One that `down` has ended is being removed by
// another process: its network goes in a moment.
func (c *Client) freeNetwork(ctx context.Context, id string) (bool, error) {
	if !c.ownsNetwork(id) {
		return false, nil
	}
	for deadline := time.Now().Add(removalPatience); ; time.Sleep(10 * time.Millisecond) {
		if task, err := c.getTask(ctx, id); err != nil || runs(task) {
			return false, err
		}
		if err := c.sweepNetwork(ctx, id); err != nil {
			return false, err
		}
		if _, err := c.kernel().Entry(c.networkKey(id)); err != nil {
			return true, nil
		}
		r, err := c.ctrd.ContainerService().Get(ctx, id)
		if err != nil && !errdefs.IsNotFound(err) || err == nil && r.Labels[labelState] != stateRemoving || time.Now().After(deadline) || ctx.Err() != nil {
			return false, nil
		}
	}
}

// holder names who listens; it is no one else where it is the container id itself.
func (c *Client) holder(ctx context.Context, b network.Binding, id string) (plan.TakenPort, bool) {
	t := plan.TakenPort{Binding: b, Remedy: "end it, or publish another port of the host"}
	h, found := sockets.HolderOf("/", b)
	if !found {
		if name := sockets.DockerContainer(ctx, b, ""); name != "" {
			t.Holder, t.Remedy = "Docker's container "+name, "docker stop "+name+"\nor publish another port of the host"
		}
		return t, true
	}
	if h.In(c.opt.Namespace, id) {
		return t, false
	}
	t.Holder = h.String()
	if r, ok := c.containerOf(ctx, h); ok {
		t.Holder, t.Remedy = fmt.Sprintf("container %s: %s", r.ID, h), "stop it: hostrun down "+r.ID+"\nor publish another port of the host"
		return t, true
	}
	if name := sockets.DockerContainer(ctx, b, h.DockerID()); name != "" {
		t.Holder, t.Remedy = fmt.Sprintf("Docker's container %s: %s", name, h), "docker stop "+name+"\nor publish another port of the host"
	}
	return t, true
}

// containerOf finds the container of the namespace that the process is in.
func (c *Client) containerOf(ctx context.Context, h sockets.Holder) (containers.Container, bool) {
	all, err := c.ctrd.ContainerService().List(ctx, `labels."`+labelProfile+`"`)
	if err != nil {
		return containers.Container{}, false
	}
	for _, r := range all {
		if h.In(c.opt.Namespace, r.ID) {
			return r, true
		}
	}
	return containers.Container{}, false
}
