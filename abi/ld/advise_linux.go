package ld

import (
	"os"

	"golang.org/x/sys/unix"
)

// adviseRandom keeps the kernel from reading what lies around the few pages that a lookup asks for: on a cold disk that
// is most of the time that a large library costs.
func adviseRandom(f *os.File) { _ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM) }
