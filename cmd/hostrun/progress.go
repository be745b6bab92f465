package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/docker/go-units"
	"golang.org/x/term"

	"hostrun.dev/hostrun/runtime"
)

// A progress shows events on stderr while work goes on: live lines on a terminal, else one line per change.
type progress struct {
	w    io.Writer
	mode string // "tty", "plain", "json" or "quiet"

	mu    sync.Mutex
	tap   func(runtime.Event) // gets all, whatever is shown; may be nil
	tasks []*task
	index map[string]*task
	drawn int // lines on the screen that belong to us
	last  time.Time
	now   func() time.Time

	began    time.Time
	patience time.Duration // nothing is shown before it has passed
}

// A task is the state of one event ID.
type task struct {
	runtime.Event
	since, changed time.Time
}

// redrawEvery keeps a fast download from flooding a slow terminal.
const redrawEvery = 80 * time.Millisecond

func newProgress(w io.Writer, mode string, dumb bool) *progress {
	if mode == "auto" {
		mode = "plain"
		if isTerminal(w) && !dumb {
			mode = "tty"
		}
	}
	return &progress{w: w, mode: mode, index: map[string]*task{}, now: time.Now, began: time.Now()}
}

// event takes note of a change. Several goroutines may call it.
func (p *progress) event(e runtime.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tap != nil {
		p.tap(e)
	}
	if p.mode == "quiet" {
		return
	}
	changed := p.note(e)
	if p.now().Sub(p.began) < p.patience {
		return
	}
	switch p.mode {
	case "json":
		p.writeJSON(e)
	case "plain":
		if changed {
			fmt.Fprintln(p.w, strings.TrimSpace(e.ID+"  "+e.Status+"  "+e.Text))
		}
	case "tty":
		if changed || p.now().Sub(p.last) >= redrawEvery {
			p.draw()
		}
	}
}

// tapped has a function called with each event.
func (p *progress) tapped(tap func(runtime.Event)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tap = tap
}

// note stores an event and says whether it brought a new status.
func (p *progress) note(e runtime.Event) bool {
	t, known := p.index[e.ID]
	if !known {
		t = &task{since: p.now()}
		p.index[e.ID] = t
		p.tasks = append(p.tasks, t)
	}
	changed := !known || t.Status != e.Status || t.Text != e.Text
	t.Event = e
	if changed {
		t.changed = p.now()
	}
	return changed
}

// writeJSON prints an event in compose's field names (docker compose --progress json), with our time and schema.
func (p *progress) writeJSON(e runtime.Event) {
	line := struct {
		Schema int    `json:"schema"`
		Time   string `json:"time"`
		runtime.Event
		Percent int `json:"percent,omitempty"`
	}{1, p.now().UTC().Format(time.RFC3339Nano), e, 0}
	if e.Total > 0 {
		line.Percent = int(100 * e.Current / e.Total)
	}
	text, _ := json.Marshal(line)
	fmt.Fprintf(p.w, "%s\n", text)
}

// draw replaces our lines on the screen.
func (p *progress) draw() {
	var b strings.Builder
	if p.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", p.drawn) // CUU: up to our first line
	}
	width, columns := 0, columnsOf(p.w)
	for _, t := range p.tasks {
		width = max(width, len(t.ID))
	}
	for _, t := range p.tasks {
		fmt.Fprintf(&b, "\x1b[2K%s\n", clip(fmt.Sprintf(" %-*s  %s", width, t.ID, t.describe()), columns)) // EL 2: clear the line first
	}
	p.drawn, p.last = len(p.tasks), p.now()
	_, _ = io.WriteString(p.w, b.String()) // a terminal that is gone takes nothing more
}

// columnsOf is the width of a terminal, 80 where it is unknown.
func columnsOf(w io.Writer) int {
	if file, ok := w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return 80
}

// clip keeps a line from wrapping: going up by lines would miss what wrapped.
func clip(line string, columns int) string {
	runes := []rune(line)
	if len(runes) < columns {
		return line
	}
	return string(runes[:columns-1])
}

func (t *task) describe() string {
	parts := []string{t.Status}
	if t.Text != "" {
		parts = append(parts, t.Text)
	}
	switch {
	case t.Total > 0:
		parts = append(parts, fmt.Sprintf("%s of %s", size(t.Current), size(t.Total)))
	case t.Current > 0:
		parts = append(parts, size(t.Current))
	}
	if took := t.changed.Sub(t.since); took >= 100*time.Millisecond {
		parts = append(parts, fmt.Sprintf("%.1fs", took.Seconds()))
	}
	return strings.Join(parts, "  ")
}

// pause leaves what is drawn on the screen: something else is about to be printed below it.
func (p *progress) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == "tty" && len(p.tasks) > 0 && p.now().Sub(p.began) >= p.patience {
		p.draw()
	}
	p.drawn, p.tasks, p.index = 0, nil, map[string]*task{}
}

// end draws the last state.
func (p *progress) end() { p.pause() }

// size is a number of bytes for a person, in units of 1000 as disks are sold and docker prints them.
func size(bytes int64) string { return units.HumanSizeWithPrecision(float64(bytes), 3) }
