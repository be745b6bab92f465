package nvidia

import (
	"fmt"
	"io/fs"
	"syscall"
)

// identity is what stat(2) has beyond size and time of change of the content.
func identity(fi fs.FileInfo) string {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d %d %d.%d", st.Dev, st.Ino, st.Ctim.Sec, st.Ctim.Nsec)
}
