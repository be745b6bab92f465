package proof

import "golang.org/x/sys/unix"

// openPath opens a directory to look names up in it, and for nothing else (open(2), O_PATH).
const openPath = unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC
