//go:build failpoints

package runtime

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// step ends the process as a power cut would when HOSTRUN_DIE_AT names it, and interrupts it as ^C does when
// HOSTRUN_INTERRUPT_AT names it.
func step(name string) {
	if os.Getenv("HOSTRUN_INTERRUPT_AT") == name {
		_ = unix.Kill(os.Getpid(), unix.SIGINT)
		time.Sleep(50 * time.Millisecond) // until the signal has become a cancelled context
	}
	if os.Getenv("HOSTRUN_DIE_AT") == name {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
}
