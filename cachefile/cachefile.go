// Package cachefile keeps what can be found out again: one file an entry, sealed with its hash and replaced as a whole. A cache
// that is damaged, full, read-only or another user's is none: it costs the time to find out again, and nothing else.
package cachefile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A Kind is the format of a file: what its first line begins with. It changes with anything that changes what is kept for
// equal keys.
type Kind string

// seal is the first line of a file with this body.
func (k Kind) seal(body []byte) string {
	sum := sha256.Sum256(body)
	return string(k) + " " + hex.EncodeToString(sum[:])
}

// Read returns the body of a file. It is false for anything but a whole one of this kind, of at most limit bytes, that this
// user or root wrote.
func (k Kind) Read(file string, limit int64) ([]byte, bool) {
	b, err := readOwn(file, limit)
	if err != nil {
		return nil, false
	}
	head, body, ok := bytes.Cut(b, []byte("\n"))
	return body, ok && string(head) == k.seal(body)
}

// errForeign is of files that are not for us to read.
var errForeign = errors.New("not a regular file of this user or root, or too large")

func readOwn(file string, limit int64) ([]byte, error) {
	fd, err := unix.Open(file, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), file)
	defer f.Close()
	var st unix.Stat_t
	switch err := unix.Fstat(fd, &st); {
	case err != nil:
		return nil, err
	case st.Mode&unix.S_IFMT != unix.S_IFREG, st.Uid != 0 && int(st.Uid) != os.Geteuid(), st.Size > limit:
		return nil, errForeign
	}
	b := make([]byte, st.Size)
	_, err = io.ReadFull(f, b)
	return b, err
}

// pending begins the names of files that are being written, with a dot before it.
const pending = ".tmp-"

// Write puts an entry in the place of an older one, by rename, and makes the directory where there is none. The error is for
// tests: what can't be kept is not.
func (k Kind) Write(file string, body []byte) error {
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, pending+"*")
	if err != nil {
		return err
	}
	_, err = f.Write(append([]byte(k.seal(body)+"\n"), body...))
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// abandoned is the age at which a file that is being written has no writer any more.
const abandoned = time.Hour

// Prune keeps the newest files of those whose names begin with prefix, and removes what killed writers have left.
func Prune(dir, prefix string, keep int) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	var files []fs.FileInfo
	for _, e := range entries {
		fi, err := e.Info()
		switch {
		case err != nil:
		case strings.HasPrefix(e.Name(), prefix):
			files = append(files, fi)
		case strings.HasPrefix(e.Name(), pending) && time.Since(fi.ModTime()) > abandoned:
			_ = os.Remove(filepath.Join(dir, e.Name()))
		}
	}
	slices.SortFunc(files, func(a, b fs.FileInfo) int { return b.ModTime().Compare(a.ModTime()) })
	for _, fi := range files[min(len(files), keep):] {
		_ = os.Remove(filepath.Join(dir, fi.Name()))
	}
}
