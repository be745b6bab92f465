package ld

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"slices"
	"syscall"

	"hostrun.dev/hostrun/rootfs"
)

// at returns the n bytes that the process sees at the virtual address, before relocation: the file's, and zeros behind
// p_filesz and in a last page that the file does not fill.
func (i *image) at(vaddr, n uint64) ([]byte, *fault) { return i.into(nil, vaddr, n) }

// into is at into a buffer, or a larger one.
func (i *image) into(b []byte, vaddr, n uint64) ([]byte, *fault) {
	if n > i.readable(vaddr) {
		return nil, crash("a table of the file points outside of its segments")
	}
	b = slices.Grow(b[:0], int(n))[:n]
	return b, i.read(b, vaddr)
}

// read is at into a buffer of the caller's.
func (i *image) read(b []byte, vaddr uint64) *fault {
	for _, s := range i.segments {
		if vaddr >= s.vaddr && vaddr-s.vaddr < s.memsz && uint64(len(b)) <= s.memsz-(vaddr-s.vaddr) {
			return i.fill(b, s, vaddr-s.vaddr)
		}
	}
	return crash("a table of the file points outside of its segments")
}

func (i *image) fill(b []byte, s segment, skip uint64) *fault {
	if skip >= s.filesz {
		clear(b)
		return nil
	}
	clear(b[min(uint64(len(b)), s.filesz-skip):])
	b = b[:min(uint64(len(b)), s.filesz-skip)]
	offset := s.offset + skip
	if offset > math.MaxInt64-uint64(len(b)) {
		return busError()
	}
	if end := offset + uint64(len(b)); len(b) > 0 && (end-1)/pageSize*pageSize >= uint64(i.size) {
		return busError()
	}
	n, err := i.r.ReadAt(b, int64(offset))
	if n < len(b) && !errors.Is(err, io.EOF) {
		return &fault{verdict: Corrupt, text: "cannot read file data", errno: errnoText(err)}
	}
	clear(b[n:])
	return nil
}

// readable returns how many bytes follow the address in its segment.
func (i *image) readable(vaddr uint64) uint64 {
	for _, s := range i.segments {
		if vaddr >= s.vaddr && vaddr-s.vaddr < s.memsz {
			return s.memsz - (vaddr - s.vaddr)
		}
	}
	return 0
}

// string returns the text at offset n of DT_STRTAB.
func (i *image) string(n uint64) (string, *fault) {
	at := i.dynamic[dtStrtab] + n
	for size := uint64(128); ; size *= 8 {
		rest := i.readable(at)
		b, f := i.at(at, min(size, rest))
		if f != nil {
			return "", f
		}
		for k, c := range b {
			if c == 0 {
				return string(b[:k]), nil
			}
		}
		if size >= rest || size > maxName {
			return "", crash("a name of the file has no end")
		}
	}
}

// errnoText gives strerror's words for the errors of reading files. "" where the file simply ends.
func errnoText(err error) string {
	var e syscall.Errno
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return ""
	case errors.Is(err, rootfs.ErrTooManyLinks):
		return "Too many levels of symbolic links"
	case errors.Is(err, fs.ErrNotExist):
		return "No such file or directory"
	case errors.Is(err, fs.ErrPermission):
		return "Permission denied"
	case errors.As(err, &e):
		return strerror(e)
	}
	return err.Error()
}

// strerror knows glibc's words for what open(2) and read(2) say; Go's are the same in lower case.
func strerror(e syscall.Errno) string {
	s := e.Error()
	if s == "" {
		return s
	}
	if e == syscall.EIO {
		return "Input/output error"
	}
	return string(s[0]&^0x20) + s[1:]
}
