package logfile

import (
	"bytes"
	"errors"
	"io"
	"os"
)

// maxLine bounds what is kept of one line in memory, in bytes. Our writer's entries are about a quarter of it;
// a longer line, of a damaged file, is read in pieces.
const maxLine = 64 << 10

// lines reads the lines of a file that may grow.
type lines struct {
	file       *os.File
	buf        []byte // file content from offset on is buf[start:end]
	start, end int
	offset     int64 // of buf[start]
	restarted  bool  // the file became shorter: offsets found before mean nothing
}

func newLines(file *os.File, offset int64) *lines {
	return &lines{file: file, buf: make([]byte, maxLine), offset: offset}
}

// next returns the next line and where it starts. full is false for a piece of an overlong line. The error is io.EOF
// when no whole line is left now; the file may have one later. line is valid until the next call.
func (l *lines) next() (line []byte, offset int64, full bool, err error) {
	searched := l.start
	for {
		if i := bytes.IndexByte(l.buf[searched:l.end], '\n'); i >= 0 {
			line, offset = l.take(searched + i - l.start)
			l.start++
			l.offset++
			return line, offset, true, nil
		}
		if l.end-l.start == len(l.buf) {
			line, offset = l.take(len(l.buf))
			return line, offset, false, nil
		}
		if err := l.fill(); err != nil {
			return nil, 0, false, err
		}
		searched = l.start
	}
}

// rest returns what stands after the last whole line.
func (l *lines) rest() (line []byte, offset int64) { return l.take(l.end - l.start) }

func (l *lines) take(n int) (line []byte, offset int64) {
	line, offset = l.buf[l.start:l.start+n], l.offset
	l.start += n
	l.offset += int64(n)
	return line, offset
}

func (l *lines) fill() error {
	if l.start > 0 {
		l.end = copy(l.buf, l.buf[l.start:l.end])
		l.start = 0
	}
	at := l.offset + int64(l.end)
	n, err := l.file.ReadAt(l.buf[l.end:], at)
	l.end += n
	if n > 0 {
		return nil
	}
	if errors.Is(err, io.EOF) && l.truncated(at) {
		l.start, l.end, l.offset, l.restarted = 0, 0, 0, true
		return l.fillFirst()
	}
	return err
}

// truncated reports that the file ends before at: somebody emptied it.
func (l *lines) truncated(at int64) bool {
	info, err := l.file.Stat()
	return err == nil && info.Size() < at
}

func (l *lines) fillFirst() error {
	n, err := l.file.ReadAt(l.buf, 0)
	l.end = n
	if n > 0 {
		return nil
	}
	return err
}

// backward calls visit with the lines of file before end, the last one first: with the beginning of each (enough for
// the columns before its text) and its offset. It stops when visit returns false, and reports whether visit did not.
func backward(file *os.File, end int64, visit func(head []byte, offset int64) bool) (bool, error) {
	const headMax = 128 // bytes
	var head []byte     // of the line whose beginning is not found yet
	block := make([]byte, maxLine)
	for at := end; at > 0; {
		n := min(at, int64(len(block)))
		at -= n
		if _, err := file.ReadAt(block[:n], at); err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		stop := int(n)
		for {
			i := bytes.LastIndexByte(block[:stop], '\n')
			head = append(bytes.Clone(block[i+1:min(stop, i+1+headMax)]), head...)
			head = head[:min(len(head), headMax)]
			if i < 0 {
				break
			}
			start := at + int64(i) + 1
			if start < end && !visit(head, start) {
				return false, nil
			}
			head, stop = nil, i
		}
	}
	return end == 0 || visit(head, 0), nil
}
