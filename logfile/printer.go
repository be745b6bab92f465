package logfile

import (
	"bufio"
	"io"
)

// A printer turns entries back into what the container wrote.
type printer struct {
	opt  ReadOptions
	out  [2]*bufio.Writer
	mid  [2]bool // the stream is within a line
	keep [2]bool // that line is wanted
	last bool    // the line before, of either stream, was wanted
}

func newPrinter(opt ReadOptions, stdout, stderr io.Writer) *printer {
	p := &printer{opt: opt, last: opt.Since.IsZero()}
	p.out = [2]*bufio.Writer{Stdout: bufio.NewWriter(stdout), Stderr: bufio.NewWriter(stderr)}
	return p
}

// print writes one entry. A damaged one (ok is false) has no time, and goes with the line before it.
func (p *printer) print(e Entry, ok bool) error {
	s := e.Stream
	starts := !p.mid[s]
	if starts {
		p.keep[s] = p.last
		if ok {
			p.keep[s] = p.opt.wants(e)
		}
		p.last = p.keep[s]
	}
	p.mid[s] = e.Partial
	if !p.keep[s] {
		return nil
	}
	// Both may be the same terminal: keep the order of the streams.
	if other := p.out[1-s]; other.Buffered() > 0 {
		if err := other.Flush(); err != nil {
			return err
		}
	}
	if starts && p.opt.Timestamps && ok {
		p.out[s].WriteString(e.Time.UTC().Format(timeLayout))
		p.out[s].WriteByte(' ')
	}
	_, err := p.out[s].Write(e.Text)
	if !e.Partial {
		err = p.out[s].WriteByte('\n') // a bufio.Writer keeps its first error
	}
	return err
}

func (p *printer) flush() error {
	if err := p.out[Stdout].Flush(); err != nil {
		return err
	}
	return p.out[Stderr].Flush()
}

// wants reports whether the entry's time lies in the range.
func (o ReadOptions) wants(e Entry) bool {
	return (o.Since.IsZero() || !e.Time.Before(o.Since)) && (o.Until.IsZero() || !e.Time.After(o.Until))
}
