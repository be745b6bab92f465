//go:build unix

package ld

import (
	"io/fs"
	"syscall"
)

func identityOf(fi fs.FileInfo, _ string) identity {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return identity{uint64(st.Dev), uint64(st.Ino)}
	}
	return identity{}
}
