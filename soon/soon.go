// Package soon lets several who ask the same question at about the same time have one answer: the members of a stack that start
// side by side look at the same interpreter, the same proof, the same remnants.
package soon

import (
	"cmp"
	"context"
	"sync"
	"time"
)

// Same is how long after the question an answer counts as one of the same time. Whoever asks later, as a member does that waited
// for another, is answered anew.
const Same = 50 * time.Millisecond

// Answers holds the answers that were asked for within Same. The zero value is ready; it is safe for concurrent use.
type Answers[T any] struct {
	mu   sync.Mutex
	all  map[string]*answer[T]
	same time.Duration // for tests; 0 means Same
}

type answer[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// Ask returns what find returns for the key, or has returned to another who has just asked; what T refers to is then shared. find
// goes on for the others when ctx ends, which ends the waiting of this caller alone.
func (a *Answers[T]) Ask(ctx context.Context, key string, find func(context.Context) (T, error)) (T, error) {
	a.mu.Lock()
	found, ok := a.all[key]
	if !ok {
		found = &answer[T]{done: make(chan struct{})}
		if a.all == nil {
			a.all = map[string]*answer[T]{}
		}
		a.all[key] = found
		time.AfterFunc(cmp.Or(a.same, Same), func() { a.forget(key) })
		go func() {
			defer close(found.done)
			found.value, found.err = find(context.WithoutCancel(ctx))
		}()
	}
	a.mu.Unlock()
	select {
	case <-found.done:
		return found.value, found.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
}

func (a *Answers[T]) forget(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, key)
}
