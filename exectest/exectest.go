//go:build unix

// Package exectest writes the programs that tests run.
package exectest

import (
	"os"
	"syscall"
)

// WriteFile is os.WriteFile for a file that this process, or one that it starts, executes afterwards. A process that another
// goroutine forks in the meantime has the descriptor that writes the file until it executes its own program, and for as long nobody can
// execute the file: "text file busy" (execve(2), golang.org/issue/22315). No process is forked here while the descriptor is open.
func WriteFile(name string, content []byte, mode os.FileMode) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(name, content, mode)
}
