package rootfs

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"math/bits"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

var listBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// List calls each with the entries of a directory of this machine, "." and ".." left out, in the order of its file system.
// A name is valid during the call alone. It is os.ReadDir without what that keeps of each entry: proofs read directories
// by the thousand.
func List(dir string, each func(name []byte, kind fs.FileMode)) error {
	fd, err := ignoringEINTR(func() (int, error) {
		return unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	defer unix.Close(fd)
	buf := listBuffers.Get().(*[]byte)
	defer listBuffers.Put(buf)
	for {
		n, err := ignoringEINTR(func() (int, error) { return unix.Getdents(fd, *buf) })
		if err != nil {
			return &fs.PathError{Op: "readdirent", Path: dir, Err: err}
		}
		if n <= 0 {
			return nil
		}
		entries(fd, (*buf)[:n], each)
	}
}

func ignoringEINTR(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// entries parses struct linux_dirent64 (getdents64(2)).
func entries(fd int, b []byte, each func([]byte, fs.FileMode)) {
	for len(b) >= 19 {
		size := int(binary.NativeEndian.Uint16(b[16:]))
		if size < 19 || size > len(b) {
			return
		}
		name, _, _ := bytes.Cut(b[19:size], []byte{0})
		kind := b[18]
		b = b[size:]
		if len(name) == 0 || string(name) == "." || string(name) == ".." {
			continue
		}
		if mode := kinds[kind]; mode != unknownKind {
			each(name, mode)
			continue
		}
		var st unix.Stat_t // the file system does not tell
		if unix.Fstatat(fd, string(name), &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			each(name, kinds[uint8(st.Mode&unix.S_IFMT>>12)])
		}
	}
}

// unknownKind is of what a file system does not tell.
const unknownKind = fs.ModeIrregular

// kinds are those of d_type, which is st_mode's file type shifted (IFTODT).
var kinds = func() (table [256]fs.FileMode) {
	for i := range table {
		table[i] = unknownKind
	}
	table[unix.DT_REG], table[unix.DT_DIR], table[unix.DT_LNK] = 0, fs.ModeDir, fs.ModeSymlink
	table[unix.DT_FIFO], table[unix.DT_SOCK] = fs.ModeNamedPipe, fs.ModeSocket
	table[unix.DT_BLK], table[unix.DT_CHR] = fs.ModeDevice, fs.ModeDevice|fs.ModeCharDevice
	return table
}()

// ReadRegular reads a file of this machine that was seen to be a regular one into buf, or a larger one, and takes nothing
// else that has taken its place since. One of more than limit bytes is ErrTooLarge. The stamp is the file's before it was read.
func ReadRegular(real string, limit int64, buf []byte) ([]byte, Stamp, error) {
	fd, err := ignoringEINTR(func() (int, error) {
		return unix.Open(real, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, Stamp{}, &fs.PathError{Op: "open", Path: real, Err: err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, Stamp{}, &fs.PathError{Op: "open", Path: real, Err: ErrNotRegular}
	}
	if st.Size > limit {
		return nil, Stamp{}, &fs.PathError{Op: "read", Path: real, Err: ErrTooLarge}
	}
	if int64(cap(buf)) < st.Size { // in steps, as the caller may give it back for a larger file
		buf = make([]byte, 1<<bits.Len64(uint64(st.Size)))
	}
	buf = buf[:st.Size]
	for at := 0; ; {
		n, err := ignoringEINTR(func() (int, error) { return unix.Read(fd, buf[at:]) })
		if err != nil {
			return nil, Stamp{}, &fs.PathError{Op: "read", Path: real, Err: err}
		}
		if at += n; n <= 0 || at == len(buf) {
			return buf[:at], stampOf(&st), nil
		}
	}
}

// StampOf is the stamp of a regular file of this machine; false for all else.
func StampOf(real string) (Stamp, bool) {
	var st unix.Stat_t
	if unix.Lstat(real, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return Stamp{}, false
	}
	return stampOf(&st), true
}

func stampOf(st *unix.Stat_t) Stamp {
	return Stamp{Device: uint64(st.Dev), Inode: st.Ino, Size: st.Size, Modified: time.Unix(st.Mtim.Unix()).UnixNano(), Changed: time.Unix(st.Ctim.Unix()).UnixNano()}
}
