//go:build !linux

package rootfs

import (
	"io/fs"
	"os"
)

// List calls each with the entries of a directory of this machine. A name is valid during the call alone.
func List(dir string, each func(name []byte, kind fs.FileMode)) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		each([]byte(e.Name()), e.Type())
	}
	return err
}

// ReadRegular reads a file of this machine that was seen to be a regular one, and takes nothing else that has taken its
// place since. One of more than limit bytes is ErrTooLarge.
func ReadRegular(real string, limit int64, _ []byte) ([]byte, Stamp, error) {
	b, err := readAtMost(real, Resolved{Real: real}, limit)
	return b, Stamp{}, err
}

// StampOf knows no stamps here.
func StampOf(string) (Stamp, bool) { return Stamp{}, false }
