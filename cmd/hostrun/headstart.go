package main

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

// A headStart makes the layer of a container that is new while the plan is being worked out and proved, as soon as the
// image is known or can be guessed: that takes as long, and both are waited for. A plan that is refused costs the removal of the
// layer, as does a wrong guess.
type headStart struct {
	s     *session
	ctx   context.Context // of the whole command
	mu    sync.Mutex
	over  bool
	begun string // the layer, and where
	drop  func()
}

func (s *session) headStart(ctx context.Context) *headStart { return &headStart{s: s, ctx: ctx} }

// guess begins with the layer that the image had the last time.
func (h *headStart) guess(client *runtime.Client, id, image, platform string) {
	if h == nil || h.s.traceOf(id) {
		return
	}
	layer := client.LikelyLayer(image, platform)
	h.mu.Lock()
	defer h.mu.Unlock()
	if layer != "" && h.drop == nil {
		h.make(client, id, layer)
	}
}

// begin is for a name that has no container, as far as its directory tells: one that is there may be left as it is.
func (h *headStart) begin(client *runtime.Client, id string, image plan.Image, platform string) {
	if h == nil || h.s.traceOf(id) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.begun == layerOf(client, image.ChainID) {
		return
	}
	if h.drop != nil {
		h.drop()
	}
	h.make(client, id, image.ChainID)
	client.NoteLayer(image.Reference, platform, image.ChainID)
}

func layerOf(client *runtime.Client, chainID string) string {
	return fmt.Sprintf("%p %s", client, chainID)
}

func (h *headStart) make(client *runtime.Client, id, chainID string) {
	if !h.over {
		h.begun, h.drop = layerOf(client, chainID), client.Ahead(h.ctx, id, chainID)
	}
}

// end is called when the container is there, or will not be.
func (h *headStart) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	if h.drop != nil {
		h.drop()
	}
}

// An errandAhead is what a command knows that it will ask the first containerd for, for when that has connected.
type errandAhead chan func(*runtime.Client)

// beside waits for the errand until ctx ends.
func (e errandAhead) beside(ctx context.Context) func(*runtime.Client) {
	return func(client *runtime.Client) {
		select {
		case do := <-e:
			_ = guard(func() error { do(client); return nil })()
		case <-ctx.Done():
		}
	}
}

// foresee has the image looked for, and the container's layer made, while containerd is being greeted. Of a stack that is
// done for the first member.
func (s *session) foresee(ctx context.Context, p *profiles.Profile, o order) {
	if o.layer == nil || p.Image == "" {
		return
	}
	id := cmp.Or(o.id, p.Name)
	select {
	case s.errandAhead <- func(client *runtime.Client) {
		client.FindAhead(ctx, p.Image) // first: while containerd waits for its disk, other answers wait too
		o.layer.guess(client, id, p.Image, p.Platform)
	}:
	default:
	}
}
