package runtime

import (
	"context"
	"errors"
	"io"
	"time"
)

// lookEvery is how often Await looks without an event: the stream of events may begin late, or break.
const lookEvery = 500 * time.Millisecond

// Await looks at the container, and again after each of its changes, until done says that this is enough or has an error. A container
// that is not there ends it with ErrNoContainer.
func (c *Client) Await(ctx context.Context, id string, done func(Container) (bool, error)) error {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := make(chan struct{}, 1)
	go func() {
		_ = c.Watch(watching, func(of string) {
			if of == id {
				select {
				case changed <- struct{}{}:
				default: // one look is as good for two changes
				}
			}
		})
	}()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		now, err := c.one(ctx, id)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil {
			if enough, err := done(now); enough || err != nil {
				return err
			}
		} else if !away(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		case <-tick.C:
		}
	}
}

// one is List for one container.
func (c *Client) one(ctx context.Context, id string) (Container, error) {
	ctx = c.in(ctx)
	r, err := c.own(ctx, id)
	if err != nil {
		return Container{}, err
	}
	p, err := c.getTask(ctx, id)
	if err != nil {
		return Container{}, err
	}
	return describe(r, p), nil
}

// lastWords is how long the log writer of a container that has ended may take to write what it has read.
const lastWords = time.Second

// Tail returns the last lines of the container's output; "" where there is none. Of one that has just ended it waits until its log has its end.
func (c *Client) Tail(ctx context.Context, id string, lines int) string {
	if task, err := c.getTask(c.in(ctx), id); err == nil && !runs(task) {
		short, cancel := context.WithTimeout(ctx, lastWords)
		_ = c.Logs(short, id, LogOptions{Follow: true}, io.Discard, io.Discard)
		cancel()
	}
	var out bounded
	err := c.Logs(ctx, id, LogOptions{Tail: lines}, &out, &out)
	if err != nil && !errors.Is(err, ErrNoContainer) {
		c.opt.Log.Debug("read the log", "container", id, "error", err)
	}
	return out.text()
}
