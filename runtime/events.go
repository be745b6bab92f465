package runtime

import (
	"context"
	"strconv"
	"time"

	eventsapi "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/core/events"

	"hostrun.dev/hostrun/plan"
)

// A Happening is a change of a container, in docker's words for it (docker events, "containers"). Its JSON form is compose's.
type Happening struct {
	Schema     int               `json:"schema"` // 1
	Time       time.Time         `json:"time"`
	Type       string            `json:"type"`    // "container"
	Service    string            `json:"service"` // the container's name: hostrun's is the profile's
	ID         string            `json:"id"`
	Action     string            `json:"action"` // create, start, die, oom, pause, unpause, destroy, health_status: healthy
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Happenings calls each with what happens to the containers of the namespace, until ctx ends or the stream of events breaks.
func (c *Client) Happenings(ctx context.Context, each func(Happening)) error {
	health := map[string]string{}
	return c.subscribe(ctx, func(e *events.Envelope, event any) {
		h := Happening{Schema: 1, Time: e.Timestamp, Type: "container", ID: containerOf(event)}
		h.Service = h.ID
		h.Action, h.Attributes = inDockersWords(event)
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
