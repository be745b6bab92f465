//go:build !linux

package proof

import "golang.org/x/sys/unix"

const openPath = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC
