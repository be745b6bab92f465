package soon

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestAsk(t *testing.T) {
	a := Answers[int]{same: time.Hour}
	var calls atomic.Int32
	begun, goOn := make(chan struct{}), make(chan struct{})
	find := func(context.Context) (int, error) {
		n := int(calls.Add(1))
		if n == 1 {
			close(begun)
			<-goOn
		}
		return n, nil
	}
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if n, err := a.Ask(t.Context(), "k", find); n != 1 || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
		})
	}
	<-begun
	// Whoever stops waiting takes the answer from nobody else.
	gone, cancel := context.WithCancelCause(t.Context())
	why := errors.New("why")
	cancel(why)
	if _, err := a.Ask(gone, "k", find); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if n, err := a.Ask(t.Context(), "another", find); n != 2 || err != nil {
		t.Errorf("another key: got %d, %v", n, err)
	}
	close(goOn)
	group.Wait()

	// A later question has an answer of its own.
	a = Answers[int]{}
	if n, err := a.Ask(t.Context(), "k", find); n != 3 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(Same / 5) {
		if n, _ := a.Ask(t.Context(), "k", find); n > 3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the first answer is still given")
		}
	}
}

// TestAskOfOneWhoLeaves: the caller that began the search leaves, and the others have their answer all the same.
func TestAskOfOneWhoLeaves(t *testing.T) {
	a := Answers[string]{same: time.Hour}
	begun, goOn := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := a.Ask(ctx, "k", func(ctx context.Context) (string, error) {
			close(begun)
			<-goOn
			return "found", ctx.Err()
		})
		left <- err
	}()
	<-begun
	found := make(chan string, 1)
	go func() {
		s, err := a.Ask(t.Context(), "k", func(context.Context) (string, error) { return "anew", nil })
		if err != nil {
			t.Error(err)
		}
		found <- s
	}()
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(goOn)
	if s := <-found; s != "found" { // also if it asks only now
		t.Errorf("got %q", s)
	}
}
