package logfile

import (
	"bytes"
	"errors"
	"io"
	"os"
	"time"
)

const (
	readSize  = 16 << 10 // bytes a read; a longer line is kept in parts, as CRI does
	batchSize = 32 << 10 // bytes a write, about
)

// deadliner is a pipe that can stop waiting: an os.File in non-blocking mode.
type deadliner interface{ SetReadDeadline(time.Time) error }

// Copy writes what r yields as entries of the stream, until r ends. It returns nil at the end of r, else r's error. An
// unfinished line is written as a part after the writer's Idle if r knows deadlines, at the end of r in any case.
func (w *Writer) Copy(stream Stream, r io.Reader) error {
	c := copier{w: w, stream: stream, in: make([]byte, readSize)}
	c.out.data = make([]byte, 0, batchSize+readSize+headerLen)
	pipe, _ := r.(deadliner)
	for {
		if pipe != nil {
			// An error means a file without deadlines, whose unfinished lines wait.
			_ = pipe.SetReadDeadline(c.deadline())
		}
		n, err := r.Read(c.in[c.held:])
		c.take(n)
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			c.flushHeld()
		case errors.Is(err, io.EOF):
			c.flushHeld()
			return nil
		default:
			c.flushHeld()
			return err
		}
	}
}

// A copier cuts one stream into entries.
type copier struct {
	w       *Writer
	stream  Stream
	in      []byte // what was read; its first held bytes begin a line that is not finished
	held    int
	since   time.Time // when the first of the held bytes came
	out     batch     // not yet written
	stamp   []byte    // the time stampAt as the file has it: all lines of a read have the same
	stampAt time.Time
}

func (c *copier) deadline() time.Time {
	if c.held == 0 {
		return time.Time{}
	}
	return c.since.Add(c.w.opt.Idle)
}

// take cuts the n bytes that were read after the held ones.
func (c *copier) take(n int) {
	if n <= 0 {
		return
	}
	now, rest := c.w.now(), c.in[:c.held+n]
	for {
		line, after, found := bytes.Cut(rest, []byte{'\n'})
		if !found {
			break
		}
		c.add(Entry{Time: now, Stream: c.stream, Text: line})
		rest = after
	}
	if len(rest) == len(c.in) { // full, and no newline in it
		c.add(Entry{Time: now, Stream: c.stream, Partial: true, Text: rest})
		rest = nil
	}
	if c.held == 0 || len(rest) < c.held+n { // what is held now began with this read
		c.since = now
	}
	c.held = copy(c.in, rest)
	c.flush()
}

func (c *copier) add(e Entry) {
	if tap := c.w.opt.Tap; tap != nil {
		tap(e)
	}
	if max := c.w.opt.MaxSize; int64(len(c.out.data)+headerLen+len(e.Text)) > max { // a batch is never cut, also by rotation
		c.flush()
	}
	if !e.Time.Equal(c.stampAt) || len(c.stamp) == 0 {
		c.stamp, c.stampAt = appendTime(c.stamp[:0], e.Time), e.Time
	}
	c.out.data = appendStamped(c.out.data, c.stamp, e)
	c.out.text += int64(len(e.Text))
	if !e.Partial {
		c.out.lines++
		c.out.text++ // its newline
	}
	if len(c.out.data) >= batchSize {
		c.flush()
	}
}

func (c *copier) flushHeld() {
	if c.held > 0 {
		c.add(Entry{Time: c.w.now(), Stream: c.stream, Partial: true, Text: c.in[:c.held]})
		c.held = 0
	}
	c.flush()
}

func (c *copier) flush() {
	c.w.write(c.out)
	c.out = batch{data: c.out.data[:0]}
}
