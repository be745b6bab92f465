//go:build failpoints

package runtime

import (
	"os"

	"golang.org/x/sys/unix"
)

// step ends the process as a power cut would when HOSTRUN_DIE_AT names it.
func step(name string) {
	if os.Getenv("HOSTRUN_DIE_AT") == name {
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
}
