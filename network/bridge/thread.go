package bridge

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// OnOwnThread calls f on a thread that ends with it, whatever namespaces f has entered, and returns when f does. It is never the
// process's first thread: that one can't end and would stay in the namespace, and /proc/self shows what it is in, not what the others
// are in (proc(5)).
func OnOwnThread(f func()) {
	done := make(chan struct{})
	go func() { spend(f, func() { close(done) }) }()
	<-done
}

// spend calls f, then done, and has the goroutine's thread end with the goroutine. The first thread is held while another does it.
func spend(f, done func()) {
	runtime.LockOSThread() // and never unlocked: Go ends the thread with the goroutine
	if unix.Gettid() != unix.Getpid() {
		defer done()
		f()
		return
	}
	OnOwnThread(f)
	runtime.UnlockOSThread()
	done()
}
