package runtime

import (
	"context"
	"strconv"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/events"

	"hostrun.dev/hostrun/plan"
)

// A Happening is a change of a container, in docker's words for it (docker events, "containers"). Its JSON form is compose's.
type Happening struct {
	Schema     int               `json:"schema"` // 1
	Time       time.Time         `json:"time"`
	Type       string            `json:"type"`    // "container"
	Service    string            `json:"service"` // the profile's name
	ID         string            `json:"id"`
	Action     string            `json:"action"`               // create, start, die, oom, pause, unpause, destroy, health_status: healthy
	Attributes map[string]string `json:"attributes,omitempty"` // name and image, and what belongs to the action: exitCode, pid
}

// Happenings calls each with what happens to the containers of the namespace, until ctx ends or the stream of events breaks.
func (c *Client) Happenings(ctx context.Context, each func(Happening)) error {
	health, known := map[string]string{}, map[string]containers.Container{}
	if all, err := c.ctrd.ContainerService().List(c.in(ctx)); err == nil { // what is removed can't be asked for any more
		for _, r := range all {
			known[r.ID] = r
		}
	}
	return c.subscribe(ctx, func(e *events.Envelope, event any) {
		h := Happening{Schema: 1, Time: e.Timestamp, Type: "container", ID: containerOf(event)}
		h.Action, h.Attributes = inDockersWords(event)
		c.named(ctx, &h, known)
		if update, is := event.(*eventsapi.ContainerUpdate); is {
			now := update.Labels[labelHealth]
			if now == "" || now == health[update.ID] || update.Labels[plan.LabelHealthcheck] == "" {
				return
			}
			health[update.ID] = now
			h.Action = "health_status: " + now
		}
		if h.ID != "" && h.Action != "" {
			each(h)
		}
	})
}

// named says whose container it is. A name that is given again is that of another one.
func (c *Client) named(ctx context.Context, h *Happening, known map[string]containers.Container) {
	if h.ID == "" {
		return
	}
	r, old := known[h.ID]
	if !old || h.Action == "create" {
		if now, err := c.ctrd.ContainerService().Get(c.in(ctx), h.ID); err == nil {
			r, known[h.ID] = now, now
		}
	}
	if h.Service = r.Labels[plan.LabelProfile]; h.Service == "" {
		h.Service = h.ID
	}
	if h.Attributes == nil {
		h.Attributes = map[string]string{}
	}
	h.Attributes["name"] = h.ID
	if r.Image != "" {
		h.Attributes["image"] = r.Image
	}
	if h.Action == "destroy" {
		delete(known, h.ID)
	}
}

func inDockersWords(event any) (action string, attributes map[string]string) {
	switch e := event.(type) {
	case *eventsapi.ContainerCreate:
		return "create", map[string]string{"image": e.Image}
	case *eventsapi.ContainerDelete:
		return "destroy", nil
	case *eventsapi.TaskStart:
		return "start", map[string]string{"pid": strconv.FormatUint(uint64(e.Pid), 10)}
	case *eventsapi.TaskExit:
		return "die", map[string]string{"exitCode": strconv.FormatUint(uint64(e.ExitStatus), 10)}
	case *eventsapi.TaskOOM:
		return "oom", nil
	case *eventsapi.TaskPaused:
		return "pause", nil
	case *eventsapi.TaskResumed:
		return "unpause", nil
	}
	return "", nil
}
