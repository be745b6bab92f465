// Package runnable writes programs that tests execute at once. It needs nothing but the standard library, so that the tests of
// every package may use it.
package runnable

import (
	"os"
	"syscall"
)

// Write makes an executable file of mode 0755, with its content, so that nobody has it open for writing when Write returns.
//
// A file that any process has open for writing can't be executed: execve(2) answers ETXTBSY, "text file busy". os.WriteFile
// closes its own descriptor, but a test beside it that starts a child in between leaves a copy in that child until the child has
// executed something itself. A reader's hold on syscall.ForkLock keeps this process from making children meanwhile
// (golang.org/issue/22315).
func Write(path string, content []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, content, 0o755)
}
