package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
)

// prefixes put the name of a container before each of its lines, where several write to one place.
type prefixes struct {
	s     *session
	mu    sync.Mutex // of the place
	width int        // of the longest name
	order map[string]int
	none  bool
}

func newPrefixes(s *session, chosen []resident, none bool) *prefixes {
	p := &prefixes{s: s, none: none, order: map[string]int{}}
	for i, r := range chosen {
		p.width, p.order[r.name] = max(p.width, len(r.name)), i
	}
	return p
}

// nameColors are those that no diagnostic has.
var nameColors = []string{"36", "33", "32", "35", "34", "36;1", "33;1", "32;1", "35;1", "34;1"}

// of returns the streams of one container; flush writes an unfinished last line.
func (p *prefixes) of(name string) (stdout, stderr io.Writer, flush func()) {
	if p.none {
		return p.s.stdout, p.s.stderr, func() {}
	}
	prefix := fmt.Sprintf("%-*s  | ", p.width, name)
	out := &prefixed{all: p, to: p.s.stdout, prefix: p.colored(prefix, name, p.s.stdout)}
	err := &prefixed{all: p, to: p.s.stderr, prefix: p.colored(prefix, name, p.s.stderr)}
	return out, err, func() { out.flush(); err.flush() }
}

func (p *prefixes) colored(text, name string, to io.Writer) string {
	if !p.s.colored(to) {
		return text
	}
	return "\x1b[" + nameColors[p.order[name]%len(nameColors)] + "m" + text + "\x1b[0m"
}

// A prefixed writer passes whole lines on, so that those of several containers do not mix.
type prefixed struct {
	all    *prefixes
	to     io.Writer
	prefix string
	held   []byte // the beginning of a line
}

func (w *prefixed) Write(b []byte) (int, error) {
	n := len(b)
	w.held = append(w.held, b...)
	end := bytes.LastIndexByte(w.held, '\n')
	if end < 0 {
		return n, nil
	}
	err := w.put(w.held[:end+1])
	w.held = append(w.held[:0], w.held[end+1:]...)
	return n, err
}

func (w *prefixed) put(lines []byte) error {
	var out bytes.Buffer
	for line := range bytes.Lines(lines) {
		out.WriteString(w.prefix)
		out.Write(line)
	}
	w.all.mu.Lock()
	defer w.all.mu.Unlock()
	_, err := w.to.Write(out.Bytes())
	return err
}

func (w *prefixed) flush() {
	if len(w.held) > 0 {
		_ = w.put(append(w.held, '\n')) // who reads it has gone
		w.held = nil
	}
}
