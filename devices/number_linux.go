package devices

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// number returns the major and minor number and the owner of a node, from stat(2).
func number(fi fs.FileInfo) (Node, bool) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return Node{}, false
	}
	dev := uint64(st.Rdev)
	return Node{Major: int64(unix.Major(dev)), Minor: int64(unix.Minor(dev)), UID: st.Uid, GID: st.Gid}, true
}
