package runtime

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
)

// Sweep finishes what killed processes left half done: creations are undone, removals and one-off containers completed.
// A container whose creator lives, or that somebody is changing, is left alone.
func (c *Client) Sweep(ctx context.Context) error {
	ctx = c.in(ctx)
	half, err := c.ctrd.ContainerService().List(ctx,
		`labels."`+labelState+`"==`+stateCreating, `labels."`+labelState+`"==`+stateRemoving, `labels."`+labelOneOff+`"==true`)
	if err != nil {
		return fmt.Errorf("look for containers left half made: %w", err)
	}
	c.sweepCgroups(ctx)
	c.sweepSnapshots(ctx)
	c.sweepNetworks(ctx)
	c.sweepStages()
	c.sweepOrphans(ctx)
	var failed []error
	for _, r := range half {
		if abandoned(r) {
			failed = append(failed, c.sweepOne(ctx, r.ID))
		}
	}
	return errors.Join(failed...)
}

func (c *Client) sweepOne(ctx context.Context, id string) error {
	l, err := c.tryLock(id)
	if errors.Is(err, ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	defer l.unlock()
	return c.sweepLocked(ctx, id)
}

// sweepLocked looks again, now that nobody else changes the container.
func (c *Client) sweepLocked(ctx context.Context, id string) error {
	r, err := c.ctrd.ContainerService().Get(ctx, id)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read container %s: %w", id, err)
	}
	if !abandoned(r) {
		return nil
	}
	return c.finish(ctx, r)
}

// sweepBeside is when a start looks for what others have left: the OCI runtime works by then, on one processor.
const sweepBeside = 30 * time.Millisecond

// sweeping runs Sweep beside other work, after a while or at the end of it; done returns once it is over. A failure is no reason
// to stop what the user asked for.
func (c *Client) sweeping(ctx context.Context, after time.Duration) (done func()) {
	end, ch := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ch)
		select {
		case <-time.After(after):
		case <-end:
		}
		// Those that start several at once share one: each would find the same.
		_, err := c.sweeps.Ask(ctx, "", func(ctx context.Context) (struct{}, error) { return struct{}{}, c.Sweep(ctx) })
		if err != nil && ctx.Err() == nil {
			c.opt.Log.Warn("sweep", "error", err)
		}
	}()
	return func() { close(end); <-ch }
}

// own returns the record of a container of hostrun's. One that is being removed is there no more.
func (c *Client) own(ctx context.Context, id string) (containers.Container, error) {
	r, err := c.recorded(ctx, id)
	if err == nil && r.Labels[labelState] == stateRemoving {
		return r, NoContainer(id)
	}
	return r, err
}

// ownPatiently is own for those who wait for a container anyway, also over a restart of the daemon.
func (c *Client) ownPatiently(ctx context.Context, id string) (containers.Container, error) {
	r, err := c.own(ctx, id)
	for ; away(err) && ctx.Err() == nil; r, err = c.own(ctx, id) {
		pause(ctx)
	}
	return r, err
}

// recorded returns the record of a container of hostrun's, for those who change it under its lock.
func (c *Client) recorded(ctx context.Context, id string) (containers.Container, error) {
	r, err := c.ctrd.ContainerService().Get(ctx, id)
	if errdefs.IsNotFound(err) || errdefs.IsInvalidArgument(err) {
		return r, NoContainer(id)
	}
	if err != nil {
		return r, fmt.Errorf("read container %s: %w", id, err)
	}
	if foreign(r) {
		return r, foreignError(id, c.opt.Namespace)
	}
	return r, nil
}
