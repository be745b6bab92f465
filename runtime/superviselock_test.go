package runtime

import (
	"errors"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSupervisorStartsWhileSomebodyLooks: a supervisor that began at the very moment at which a command looked whether there is one took that for
// another one, and ended; nobody looked after the containers.
func TestSupervisorStartsWhileSomebodyLooks(t *testing.T) {
	c := &Client{opt: Options{Address: "/run/c.sock", Namespace: "ns", StateDir: t.TempDir()}}
	release, err := c.LockSupervise()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.LockSupervise(); !errors.Is(err, ErrSupervised) {
		t.Errorf("a second one: %v", err)
	}
	if c.Supervisor() != os.Getpid() {
		t.Errorf("the supervisor is process %d", c.Supervisor())
	}
	release()

	look, err := os.Open(c.superviseFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(look.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(100*time.Millisecond, func() { _ = look.Close() })
	release, err = c.LockSupervise()
	if err != nil {
		t.Fatalf("while somebody looks: %v", err)
	}
	release()
	if c.Supervisor() != 0 {
		t.Errorf("after the end it is process %d", c.Supervisor())
	}
}
