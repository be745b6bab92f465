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

// dieWithUs ends a daemon when the test binary ends without a word: a panic, or go test's own time limit.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} }
