package bridge

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// rulesQuiet is how long the rules must not change before they are looked at: who sets them does so in many steps.
	rulesQuiet = 500 * time.Millisecond
	// rulesPatience bounds the wait for that.
	rulesPatience = 5 * time.Second
	// rulesEvery is when they are looked at in any case: the older tables of iptables tell nobody of a change.
	rulesEvery = time.Minute
)

// WatchRules calls changed soon after it is called, as nobody has watched until then, soon after the rules of nftables in this network
// namespace have changed, and now and then besides, until ctx ends. It is called from one goroutine.
func WatchRules(ctx context.Context, changed func()) {
	events := make(chan struct{}, 1)
	events <- struct{}{}
	if f, err := ruleEvents(); err == nil {
		stop := context.AfterFunc(ctx, func() { _ = f.Close() })
		defer stop()
		go listen(f, events)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
			settle(ctx, events)
		case <-time.After(rulesEvery):
		}
		if ctx.Err() == nil {
			changed()
		}
	}
}

// settle waits until there are no more events.
func settle(ctx context.Context, events <-chan struct{}) {
	end := time.After(rulesPatience)
	for {
		select {
		case <-ctx.Done():
			return
		case <-events:
		case <-time.After(rulesQuiet):
			return
		case <-end:
			return
		}
	}
}

// ruleEvents is a socket that gets a message with each change of nftables' rules (linux/netfilter/nfnetlink.h, NFNLGRP_NFTABLES).
func ruleEvents() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (unix.NFNLGRP_NFTABLES - 1)}); err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "nftables"), nil
}

// listen turns messages into events. What they say does not matter; that some were lost (ENOBUFS) is an event too.
func listen(f *os.File, events chan<- struct{}) {
	for buf := make([]byte, 16<<10); ; {
		_, err := f.Read(buf)
		if err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
		select {
		case events <- struct{}{}:
		default:
		}
	}
}
