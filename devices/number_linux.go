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

// Numbers returns the major and minor number of the node that fi, from stat(2), describes.
func Numbers(fi fs.FileInfo) (major, minor int64, ok bool) {
	n, ok := number(fi)
	return n.Major, n.Minor, ok
}
