package runtime

import (
	"context"
	"errors"
	"strconv"

	eventsapi "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/typeurl/v2"
)

// Watch calls changed with the name of each container of the namespace of which an event tells: its record, or its process. It returns
// when the stream ends or breaks. What happens before containerd has taken the subscription is missed.
func (c *Client) Watch(ctx context.Context, changed func(id string)) error {
	return c.subscribe(ctx, func(_ *events.Envelope, event any) {
		if id := containerOf(event); id != "" {
			changed(id)
		}
	})
}

func (c *Client) subscribe(ctx context.Context, each func(*events.Envelope, any)) error {
	ctx, cancel := context.WithCancel(c.in(ctx))
	defer cancel()
	filter := "namespace==" + strconv.Quote(c.opt.Namespace) + `,topic~="^/(tasks|containers)/"`
	stream, errs := c.ctrd.EventService().Subscribe(ctx, filter)
	for {
		select {
		case e := <-stream:
			if e == nil || e.Event == nil {
				continue
			}
			if event, err := typeurl.UnmarshalAny(e.Event); err == nil { // of a later containerd: none that we know
				each(e, event)
			}
		case err := <-errs:
			if err == nil {
				err = errors.New("containerd has ended the stream of events")
			}
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// containerOf is the container that the event is about; "" for the events of further processes.
func containerOf(event any) string {
	switch e := event.(type) {
	case *eventsapi.TaskExit:
		if e.ID == e.ContainerID {
			return e.ContainerID
		}
	case *eventsapi.TaskStart:
		return e.ContainerID
	case *eventsapi.TaskDelete:
		if e.ID == "" || e.ID == e.ContainerID {
			return e.ContainerID
		}
	case *eventsapi.TaskOOM:
		return e.ContainerID
	case *eventsapi.TaskPaused:
		return e.ContainerID
	case *eventsapi.TaskResumed:
		return e.ContainerID
	case *eventsapi.ContainerCreate:
		return e.ID
	case *eventsapi.ContainerUpdate:
		return e.ID
	case *eventsapi.ContainerDelete:
		return e.ID
	}
	return ""
}
