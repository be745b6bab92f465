package main

import (
	"context"
	"sync"
	"time"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

// aheadPatience is how long devices are held for a command that does not know all yet: whoever pulls an image must not keep
// them from others for that time.
const aheadPatience = 2 * time.Second

// An earlyReservation is made while machine and image are being looked at, which takes as long as to ask who holds what. It is one
// attempt: whatever there is to wait for, or to refuse, is left to the one that follows when all is known.
type earlyReservation struct {
	mu    sync.Mutex
	r     *runtime.Reservation
	over  bool // nobody will take it
	timer *time.Timer
	ended chan struct{}
}

// reserveAhead begins; the client is the one that the container will run in.
func (e *equipment) reserveAhead(ctx context.Context, o order, p plan.Facts, client func() (*runtime.Client, error)) {
	early := &earlyReservation{ended: make(chan struct{})}
	e.early = early
	go func() {
		defer close(early.ended)
		_ = guard(func() error {
			select {
			case <-e.seen:
			case <-ctx.Done():
				return nil
			}
			if !e.ready {
				return nil
			}
			c, err := client()
			if err == nil {
				early.keep(c.Attempt(ctx, e.want(o, &p)))
			}
			return nil
		})()
	}()
}

func (early *earlyReservation) keep(r *runtime.Reservation) {
	early.mu.Lock()
	defer early.mu.Unlock()
	if early.over {
		r.Release()
		return
	}
	early.r, early.timer = r, time.AfterFunc(aheadPatience, early.drop)
}

// take returns what has been reserved; nil for nothing. It is then the caller's.
func (early *earlyReservation) take() *runtime.Reservation {
	if early == nil {
		return nil
	}
	<-early.ended
	early.mu.Lock()
	defer early.mu.Unlock()
	r := early.r
	early.r, early.over = nil, true
	if early.timer != nil {
		early.timer.Stop()
	}
	return r
}

// drop gives back what nobody has taken. It may be called more than once, and on nil.
func (early *earlyReservation) drop() {
	if early == nil {
		return
	}
	early.mu.Lock()
	defer early.mu.Unlock()
	early.r.Release()
	early.r, early.over = nil, true
}
