package main

import (
	"context"
	"sync"

	"hostrun.dev/hostrun/runtime"
)

// A headStart makes the layer of a container that is new while the plan is being worked out and proved, as soon as the
// image is known: that takes as long, and both are waited for. A plan that is refused costs the removal of the layer.
type headStart struct {
	s    *session
	ctx  context.Context // of the whole command
	mu   sync.Mutex
	drop []func()
}

func (s *session) headStart(ctx context.Context) *headStart { return &headStart{s: s, ctx: ctx} }

// begin is for a name that has no container, as far as its directory tells: one that is there may be left as it is.
func (h *headStart) begin(client *runtime.Client, id, chainID string) {
	if h == nil || h.s.traceOf(id) {
		return
	}
	drop := client.Ahead(h.ctx, id, chainID)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.drop = append(h.drop, drop)
}

// end is called when the container is there, or will not be.
func (h *headStart) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, drop := range h.drop {
		drop()
	}
}
