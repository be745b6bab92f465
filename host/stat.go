package host

import (
	"os"

	"golang.org/x/sys/unix"
)

// lstat describes a file of this machine; the links in its parents are followed.
func lstat(p string) (unix.Stat_t, error) {
	var st unix.Stat_t
	for {
		err := unix.Lstat(p, &st)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return st, &os.PathError{Op: "lstat", Path: p, Err: err}
		}
		return st, nil
	}
}
