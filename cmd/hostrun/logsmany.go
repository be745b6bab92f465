package main

import (
	"bytes"
	"context"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"hostrun.dev/hostrun/runtime"
)

// logsOf prints the logs of several containers, each line with the name of its own before it: one after another, or, where they are
// followed, as the lines come.
func logsOf(ctx context.Context, s *session, of []resident, opt runtime.LogOptions, prefix bool) error {
	width := 0
	for _, r := range of {
		width = max(width, len(r.name))
	}
	var printing sync.Mutex
	one := func(ctx context.Context, r resident) error {
		before := ""
		if prefix {
			before = r.name + spaces(width-len(r.name)) + " | "
		}
		out, err := &prefixed{w: s.stdout, mu: &printing, before: before}, &prefixed{w: s.stderr, mu: &printing, before: before}
		defer out.end()
		defer err.end()
		return r.client.Logs(ctx, r.name, opt, out, err)
	}
	if !opt.Follow {
		for _, r := range of {
			if err := one(ctx, r); err != nil {
				return err
			}
		}
		return nil
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, r := range of {
		group.Go(guard(func() error { return one(ctx, r) }))
	}
	return group.Wait()
}

func spaces(n int) string { return string(bytes.Repeat([]byte{' '}, n)) }

// A prefixed writes whole lines, so that those of several containers do not mix.
type prefixed struct {
	w      io.Writer
	mu     *sync.Mutex
	before string
	rest   []byte // of a line that has not ended
}

func (p *prefixed) Write(text []byte) (int, error) {
	p.rest = append(p.rest, text...)
	last := bytes.LastIndexByte(p.rest, '\n')
	if last < 0 {
		return len(text), nil
	}
	whole := p.rest[:last+1]
	var lines []byte
	for line := range bytes.Lines(whole) {
		lines = append(append(lines, p.before...), line...)
	}
	p.mu.Lock()
	_, err := p.w.Write(lines)
	p.mu.Unlock()
	p.rest = append([]byte{}, p.rest[last+1:]...)
	return len(text), err
}

// end writes what has no newline.
func (p *prefixed) end() {
	if len(p.rest) > 0 {
		_, _ = p.Write([]byte{'\n'}) // who reads no more has been told by the write before
	}
}
