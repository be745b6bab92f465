package runtime

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/containers"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
)

// A Want is what a container needs of the machine's devices.
type Want struct {
	Container string
	Asks      []devices.Ask
	// Look returns the inventories of the kinds that the asks name, with their users, each time anew: who waits is waiting for
	// them to change.
	Look func(context.Context) ([]devices.Inventory, error)
	// Numbers are the numbers of the devices' own nodes at this moment, to find them in the specs of other tools' containers.
	Numbers func([]devices.Inventory) map[DeviceNumber][]DeviceName
	// Wait is how long to queue for what others have; negative for as long as it takes.
	Wait time.Duration
	// Dry only tells what would be chosen now: nothing is held.
	Dry bool
	// Ahead is what Attempt has returned for this very container and these asks; nil for none.
	Ahead *Reservation
}

// A Reservation is what was chosen: chosen[i] for the i-th ask. It holds the devices until Release, or until the container's
// record has been written, which says from then on that they are the container's.
type Reservation struct {
	Inventories []devices.Inventory
	Chosen      [][]devices.Device
	Findings    []finding.Finding

	mu    sync.Mutex
	locks []*deviceLocks
}

// Release lets go of what is still held. It may be called more than once, and on nil.
func (r *Reservation) Release() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.locks {
		l.release()
	}
	r.locks = nil
}

// settling is how long a choice waits for commands that are giving devices away at this moment: until then nobody can say
// whether one is free.
const settling = 10 * time.Second

// Reserve chooses devices and holds them for the container: neither another command nor a crash in between can give them away.
// What can't be had is in the findings of the result, which then holds nothing.
func (c *Client) Reserve(ctx context.Context, w Want) (*Reservation, error) {
	if w.Ahead != nil {
		c.remember(w.Container, w.Ahead)
		return w.Ahead, nil
	}
	begun := time.Now()
	q := &queue{c: c, w: w}
	defer q.leave()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		r, passing, err := c.reserveOnce(ctx, w, q.ticket)
		if err != nil {
			return nil, err
		}
		waited := time.Since(begun)
		switch stop := finding.Errors(r.Findings); {
		case len(stop) == 0, w.Dry, finding.ExitStatus(r.Findings) != finding.StatusTryAgain:
			c.remember(w.Container, r)
			return r, nil
		case passing && waited < settling:
			pause = min(pause, 20*time.Millisecond)
		case w.Wait == 0, w.Wait > 0 && waited >= w.Wait:
			return r, nil
		default:
			if err := q.join(stop[0]); err != nil {
				return nil, err
			}
		}
		if w.Wait > 0 && waited < w.Wait {
			pause = min(pause, w.Wait-waited)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// Attempt is Reserve for one who has more to find out before he can use the devices, and does that meanwhile: it waits for nobody, and
// returns nil where there is anything to wait for or to refuse, which is Reserve's to say. What it returns holds the devices until it
// is released, or handed on to Reserve, as soon as may be: others are refused them.
func (c *Client) Attempt(ctx context.Context, w Want) *Reservation {
	r, _, err := c.reserveOnce(ctx, w, nil)
	if err != nil || len(finding.Errors(r.Findings)) > 0 {
		return nil // and has released what it held
	}
	return r
}

// reserveOnce makes one attempt. passing says that a device which is being given away at this moment stood in the way.
func (c *Client) reserveOnce(ctx context.Context, w Want, mine *ticket) (r *Reservation, passing bool, err error) {
	r = &Reservation{}
	defer func() {
		if err != nil || len(finding.Errors(r.Findings)) > 0 {
			r.Release()
		}
	}()
	if r.Inventories, err = w.Look(ctx); err != nil {
		return r, false, err
	}
	r.Inventories = slices.Clone(r.Inventories)
	for i := range r.Inventories { // users are added to it: what the source has stays its own, and others may be reading it
		r.Inventories[i].Devices = slices.Clone(r.Inventories[i].Devices)
	}
	taken, err := c.lockAll(ctx, w, r)
	if err != nil {
		return r, false, err
	}
	held, own, err := c.askOthers(ctx, w, r)
	if err != nil {
		return r, false, err
	}
	waiting := Waiters(c.opt.StateDir)
	r.Chosen = make([][]devices.Device, len(w.Asks))
	for _, inv := range r.Inventories {
		st := devices.State{Held: held, Taken: taken[inv.Kind], Claimed: claims(inv, waiting, mine, w.Container)}
		for _, l := range own {
			if l.Kind == inv.Kind {
				st.Keep = append(st.Keep, l.Name)
			}
			if l.Kind == inv.Kind && l.Live {
				st.Now = append(st.Now, l.Name)
			}
		}
		passing = c.chooseOf(w, r, inv, st) || passing
	}
	r.keepChosen()
	return r, passing, nil
}

// askOthers looks for who holds and who uses what, now that the devices are locked: whoever held one until here has written its record,
// or has died. A containerd that hangs must not keep the lock of a kind from others.
func (c *Client) askOthers(ctx context.Context, w Want, r *Reservation) (held []devices.Lease, own []Holding, err error) {
	o := &others{invs: r.Inventories}
	if w.Numbers != nil {
		o.numbers = w.Numbers(r.Inventories)
		o.strays = LookForStrays(c.opt.DataDir, o.numbers)
	}
	if held, own, err = c.holders(ctx, w.Container, o); err == nil {
		o.add()
	}
	return held, own, err
}

// holders is leases for one who holds the lock of a kind.
func (c *Client) holders(ctx context.Context, id string, o *others) (held []devices.Lease, own []Holding, err error) {
	short, cancel := patient(ctx, settling, settling+lateAnswer, stillWorking(c.daemonPID))
	defer cancel()
	held, own, err = c.leases(short, id, o)
	if err != nil && impatient(short) {
		err = finding.Errorf(finding.StatusTryAgain, "systemctl restart containerd", "ask containerd who holds which devices: no answer within %v", settling)
	}
	return held, own, err
}

// chooseOf chooses for the asks of one inventory's kind.
func (c *Client) chooseOf(w Want, r *Reservation, inv devices.Inventory, st devices.State) (passing bool) {
	var asks []devices.Ask
	var at []int
	for i, a := range w.Asks {
		if a.Kind == inv.Kind {
			asks, at = append(asks, a), append(at, i)
		}
	}
	chosen, found := devices.Choose(inv, asks, st)
	for i, one := range chosen {
		r.Chosen[at[i]] = one
	}
	r.Findings = append(r.Findings, found...)
	return len(st.Taken) > 0 && len(finding.Errors(found)) > 0
}

// lockAll takes the locks of the kinds, in order, and of all devices that no other process holds. It returns those that are held.
func (c *Client) lockAll(ctx context.Context, w Want, r *Reservation) (taken map[string][]string, err error) {
	taken = map[string][]string{}
	if w.Dry {
		return taken, nil
	}
	slices.SortFunc(r.Inventories, func(a, b devices.Inventory) int { return strings.Compare(a.Kind, b.Kind) })
	for _, inv := range r.Inventories {
		l, err := c.deviceLocks(inv.Kind)
		if err != nil {
			return nil, err
		}
		r.locks = append(r.locks, l)
		if err := l.wait(ctx, choiceFile); err != nil {
			return nil, err
		}
		for _, d := range inv.Devices {
			got, err := l.try(d.Name)
			if err != nil {
				return nil, err
			}
			if !got {
				taken[inv.Kind] = append(taken[inv.Kind], d.Name)
			}
		}
	}
	return taken, nil
}

// keepChosen lets go of all devices that were not chosen, and of the kinds.
func (r *Reservation) keepChosen() {
	for i, l := range r.locks {
		var kept []string
		for _, chosen := range r.Chosen {
			for _, d := range chosen {
				if d.Kind == r.Inventories[i].Kind {
					kept = append(kept, d.Name)
				}
			}
		}
		l.release(kept...)
	}
}

// remember keeps the reservation for the container that is about to be made.
func (c *Client) remember(id string, r *Reservation) {
	c.reservedMu.Lock()
	defer c.reservedMu.Unlock()
	if c.reserved == nil {
		c.reserved = map[string]*Reservation{}
	}
	c.reserved[id] = r
}

func (c *Client) reservation(id string) *Reservation {
	c.reservedMu.Lock()
	defer c.reservedMu.Unlock()
	return c.reserved[id]
}

// Unreserve lets go of what is reserved for the container: its record has it from now on, or it will not be made.
func (c *Client) Unreserve(id string) {
	c.reservedMu.Lock()
	r := c.reserved[id]
	delete(c.reserved, id)
	c.reservedMu.Unlock()
	r.Release()
}

// Hold reserves the devices that the container's own record names, for a command that stops it and starts it again.
func (c *Client) Hold(ctx context.Context, name string) error {
	r, err := c.own(c.in(ctx), name)
	if err != nil {
		return err
	}
	held, err := c.reacquire(c.in(ctx), r)
	if err == nil {
		c.remember(r.ID, held)
	}
	return err
}

// reacquire holds the devices of a stopped container that is to be started as it is.
func (c *Client) reacquire(ctx context.Context, record containers.Container) (*Reservation, error) {
	id := record.ID
	if r := c.reservation(id); r != nil {
		return r, nil
	}
	mine := devices.ParseLeases(record.Labels[labelDevices], id)
	r := &Reservation{}
	if len(mine) == 0 {
		return r, nil
	}
	for begun := time.Now(); ; {
		passing, err := c.reacquireOnce(ctx, r, record, mine)
		if err == nil {
			r.keepLeases(mine)
			return r, nil
		}
		r.Release()
		if !passing || time.Since(begun) > settling {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// keepLeases lets go of the kinds: others may choose, while the container is stopped and started.
func (r *Reservation) keepLeases(mine []devices.Lease) {
	var kept []string
	for _, m := range mine {
		kept = append(kept, m.Name)
	}
	for _, l := range r.locks {
		l.release(kept...)
	}
}

func (c *Client) reacquireOnce(ctx context.Context, r *Reservation, record containers.Container, mine []devices.Lease) (passing bool, err error) {
	id := record.ID
	kinds := map[string]*deviceLocks{}
	slices.SortStableFunc(mine, func(a, b devices.Lease) int { return strings.Compare(a.Kind, b.Kind) })
	for _, l := range mine {
		locks := kinds[l.Kind]
		if locks == nil {
			if locks, err = c.deviceLocks(l.Kind); err != nil {
				return false, err
			}
			kinds[l.Kind], r.locks = locks, append(r.locks, locks)
			if err := locks.wait(ctx, choiceFile); err != nil {
				return false, err
			}
		}
		if got, err := locks.try(l.Name); err != nil || !got {
			return err == nil, errors75(id, l, "it is being given to another container at this moment", err)
		}
	}
	held, _, err := c.holders(ctx, id, &others{strays: LookForStrays(c.opt.DataDir, numbersOf(record))})
	if err != nil {
		return false, err
	}
	for _, l := range mine {
		if holder, ok := devices.Conflict(l, held); ok {
			return false, errors75(id, l, "container "+holder+" holds it", nil)
		}
	}
	return false, nil
}

func errors75(id string, l devices.Lease, why string, cause error) error {
	if cause != nil {
		return cause
	}
	return &finding.Err{Status: finding.StatusTryAgain, Err: fmt.Errorf("start container %s: %s %s can't be given now: %s", id, devices.Noun(l.Kind), l.Name, why),
		Hint: "hostrun up takes others that are free, or waits for them: hostrun up --wait-device"}
}
