//go:build linux

// Command hostrun-reap stands by while hostrun runs a one-off container in the foreground: it waits until hostrun has ended, in
// whichever way, and then becomes the command that removes the container. To start it costs hostrun's caller nothing, since
// it is done while the container is being made, and it is small, as it may wait for days.
//
//	hostrun-reap PROGRAM ARGS...
//
// Standard input is a pipe that hostrun holds: its end is the word to begin, and a byte the word that nothing is to be done.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "hostrun-reap is started by hostrun")
		os.Exit(2)
	}
	// A service manager's stop is for all processes of the unit at once; hostrun ends its container first.
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	var word [1]byte
	for {
		switch n, err := syscall.Read(0, word[:]); {
		case err == syscall.EINTR:
			continue
		case n > 0:
			return
		}
		break
	}
	err := syscall.Exec(os.Args[1], os.Args[1:], os.Environ())
	fmt.Fprintln(os.Stderr, "hostrun-reap:", err) // the next command's sweep finds the container
	os.Exit(1)
}
