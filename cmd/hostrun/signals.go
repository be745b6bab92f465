package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// interrupts turns the caller's signals into an orderly end. Without a foreground process the first one cancels the
// context and the second ends the program; with one, the first asks the process to stop, the second kills it, and only
// the third gives up on it.
type interrupts struct {
	exit func(int)
	say  func(format string, args ...any)

	mu     sync.Mutex
	cancel context.CancelFunc
	first  syscall.Signal // the one that asked for the end; 0 for none
	count  int
	left   bool // see leave
	child  chan string
	stop   string        // what asks the foreground process to stop; "" for the caller's own signal
	grace  time.Duration // until it is killed
	hangup chan struct{} // of a service: read the configuration again; nil: SIGHUP is as the others
}

// forwarded are signals that mean nothing to hostrun and may mean something to a foreground process.
var forwarded = []os.Signal{syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGQUIT}

// watch returns a context that the first signal cancels.
func (i *interrupts) watch(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	i.cancel = cancel
	received := make(chan os.Signal, 8)
	signal.Notify(received, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case sig := <-received:
				i.handle(sig.(syscall.Signal))
			case <-done:
				return
			}
		}
	}()
	return ctx, func() { signal.Stop(received); close(done); cancel() }
}

// foreground hands signals to a process from now on, until release is called. The channel takes a few without a reader.
func (i *interrupts) foreground(stop string, grace time.Duration) (signals <-chan string, release func()) {
	child := make(chan string, 16)
	i.mu.Lock()
	i.child, i.stop, i.grace = child, stop, grace
	i.mu.Unlock()
	received := make(chan os.Signal, 8)
	signal.Notify(received, forwarded...)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case sig := <-received:
				i.send(child, signalName(sig.(syscall.Signal)))
			case <-done:
				return
			}
		}
	}()
	return child, func() {
		signal.Stop(received)
		close(done)
		i.mu.Lock()
		i.child = nil
		i.mu.Unlock()
	}
}

// onHangup makes SIGHUP a request, as it is to a service.
func (i *interrupts) onHangup() <-chan struct{} {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.hangup = make(chan struct{}, 1)
	return i.hangup
}

// leave lets signals be: another process gets them from now on, and ends.
func (i *interrupts) leave() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.left = true
}

func (i *interrupts) handle(sig syscall.Signal) {
	i.mu.Lock()
	if i.left {
		i.mu.Unlock()
		return
	}
	if sig == syscall.SIGHUP && i.hangup != nil {
		select {
		case i.hangup <- struct{}{}:
		default: // one is under way
		}
		i.mu.Unlock()
		return
	}
	i.count++
	if i.count == 1 {
		i.first = sig
	}
	count, child := i.count, i.child
	i.mu.Unlock()
	if child == nil { // as if the process had been asked to stop, and killed
		count += 2
	}
	switch count {
	case 1:
		i.askToStop(child, sig)
	case 2:
		i.send(child, "SIGKILL")
	case 3:
		i.cancel()
	default:
		i.exit(128 + int(sig))
	}
}

func (i *interrupts) askToStop(child chan string, sig syscall.Signal) {
	name := i.stop
	if name == "" {
		name = signalName(sig)
	}
	i.say("stopping, %s of grace; once more kills", i.grace)
	i.send(child, name)
	time.AfterFunc(i.grace, func() { i.send(child, "SIGKILL") })
}

// send never blocks: a process that takes no signals gets what fits.
func (i *interrupts) send(child chan string, name string) {
	select {
	case child <- name:
	default:
	}
}

// ended returns the error of a command that a signal ended, or nil.
func (i *interrupts) ended() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.first == 0 {
		return nil
	}
	return interrupted{int(i.first)}
}

func signalName(sig syscall.Signal) string {
	names := map[syscall.Signal]string{
		syscall.SIGINT: "SIGINT", syscall.SIGTERM: "SIGTERM", syscall.SIGHUP: "SIGHUP",
		syscall.SIGQUIT: "SIGQUIT", syscall.SIGUSR1: "SIGUSR1", syscall.SIGUSR2: "SIGUSR2",
	}
	if name, ok := names[sig]; ok {
		return name
	}
	return fmt.Sprint(int(sig))
}
