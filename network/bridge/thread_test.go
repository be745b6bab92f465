package bridge

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// The main goroutine stays on the process's first thread, so that TestMain is there.
func init() { runtime.LockOSThread() }

// spent is the thread that TestMain's call got.
var spent int

func TestMain(m *testing.M) {
	if unix.Gettid() == unix.Getpid() {
		spend(func() { spent = unix.Gettid() }, func() {})
	}
	os.Exit(m.Run())
}

// TestTheFirstThreadStays: the first thread of a supervisor once entered a container's network, by chance, and could not leave it.
// /proc/self/ns/net was that container's from then on, so that its probes went to the host's ports.
func TestTheFirstThreadStays(t *testing.T) {
	if spent == 0 || spent == unix.Getpid() {
		t.Errorf("called on the first thread, %d, it runs on %d", unix.Getpid(), spent)
	}
	for range 50 {
		var here int
		OnOwnThread(func() { here = unix.Gettid() })
		if here == 0 || here == unix.Getpid() {
			t.Fatalf("it runs on %d", here)
		}
	}
}
