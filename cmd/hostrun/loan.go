package main

import (
	"context"
	"sync"

	"hostrun.dev/hostrun/rootfs"
	"hostrun.dev/hostrun/runtime"
)

// A loan is the files of an image, lent by containerd from when the image is known until they are given back. To lend and to
// take back, containerd waits for the disk; other work goes on meanwhile.
type loan struct {
	view  *rootfs.View
	err   error
	ready chan struct{} // closed once view or err is there
	over  chan struct{} // closed once nothing of it is left in containerd
	back  func()
}

// lend begins a loan. The session ends it at the latest.
func (s *session) lend(ctx context.Context, client *runtime.Client, ref, platform string) *loan {
	returned := make(chan struct{})
	l := &loan{ready: make(chan struct{}), over: make(chan struct{}), back: sync.OnceFunc(func() { close(returned) })}
	go func() {
		defer close(l.over)
		err := client.WithImageView(ctx, ref, platform, func(view *rootfs.View) error {
			l.view = view
			close(l.ready)
			<-returned
			return nil
		})
		if l.view == nil {
			l.err = err
			close(l.ready)
		}
	}()
	s.loansMu.Lock()
	defer s.loansMu.Unlock()
	s.loans = append(s.loans, l)
	return l
}

// endLoans gives everything back, and waits until containerd has it.
func (s *session) endLoans() {
	s.loansMu.Lock()
	defer s.loansMu.Unlock()
	for _, l := range s.loans {
		l.back()
		<-l.over
	}
	s.loans = nil
}
