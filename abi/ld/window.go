package ld

import (
	"io"
	"sync"
)

// A window reads a file whose small tables are looked at one after another: these stand side by side, but names of versions
// and libraries do not stand beside what asks for them. It is for one reader at a time.
type window struct {
	r     io.ReaderAt
	size  int64
	slots [4]windowSlot
	next  int // slot to be filled
}

type windowSlot struct {
	page  int64
	bytes int // of the page that are there; 0 for none
	text  [pageSize]byte
}

// windows are used again for their memory.
var windows = sync.Pool{New: func() any { return new(window) }}

func newWindow(r io.ReaderAt, size int64) *window {
	w := windows.Get().(*window)
	w.r, w.size = r, size
	for i := range w.slots {
		w.slots[i].bytes = 0
	}
	return w
}

// ReadAt is that of the file. What is more than a quarter of a page is read by itself.
func (w *window) ReadAt(b []byte, offset int64) (int, error) {
	if len(b) > pageSize/4 || offset < 0 || offset >= w.size {
		return w.r.ReadAt(b, offset)
	}
	n := int(min(int64(len(b)), w.size-offset))
	for done := 0; done < n; {
		at := offset + int64(done)
		s := w.slot(at / pageSize)
		if s == nil {
			return w.r.ReadAt(b, offset)
		}
		done += copy(b[done:n], s.text[at%pageSize:s.bytes])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// slot holds a page; nil where it can't be read, or the file has become shorter.
func (w *window) slot(page int64) *windowSlot {
	for i := range w.slots {
		if s := &w.slots[i]; s.bytes > 0 && s.page == page {
			return s
		}
	}
	s := &w.slots[w.next]
	w.next = (w.next + 1) % len(w.slots)
	want := int(min(pageSize, w.size-page*pageSize))
	s.page, s.bytes = page, 0
	if n, _ := w.r.ReadAt(s.text[:want], page*pageSize); n < want {
		return nil
	}
	s.bytes = want
	return s
}
