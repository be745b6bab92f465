package integration

import (
	"os"
	"syscall"
)

// signalOf returns the signal that ended the process, 0 for none.
func signalOf(p *os.ProcessState) int {
	if status, ok := p.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return int(status.Signal())
	}
	return 0
}
