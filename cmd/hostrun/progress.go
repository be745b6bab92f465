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
	rows  []*row // of up: a line for each container, in place of tasks
	done  int    // rows that are gone, as their result has been printed
	drawn int    // lines on the screen that belong to us
	last  time.Time
	now   func() time.Time

	timer *time.Timer // draws again while time passes; nil as long as there is nothing to draw
	held  bool        // something is being printed: the next tick does not draw

	began    time.Time
	patience time.Duration // nothing is shown before it has passed
}

// A task is the state of one event ID.
type task struct {
	runtime.Event
	since, changed time.Time
}

const (
	// redrawEvery keeps a fast download from flooding a slow terminal.
	redrawEvery = 80 * time.Millisecond
	// tickEvery lets seconds go on where nothing happens. Before the first tick nothing is drawn on a terminal: what is over by
	// then needs no picture, and no goroutine.
	tickEvery = 100 * time.Millisecond
)

func newProgress(w io.Writer, mode string, dumb bool) *progress {
	if mode == "auto" {
		mode = "plain"
		if isTerminal(w) && !dumb {
			mode = "tty"
		}
	}
	p := &progress{w: w, mode: mode, index: map[string]*task{}, now: time.Now, began: time.Now()}
	if mode == "tty" {
		p.patience = tickEvery
	}
	return p
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
	if p.mode == "tty" {
		p.tickLater()
		if p.inRow(e) {
			return
		}
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
		if len(p.rows) == 0 && (changed || p.now().Sub(p.last) >= redrawEvery) {
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

// writeJSON prints an event in compose's field names (docker compose --progress json), with our time, schema and profile.
func (p *progress) writeJSON(e runtime.Event) {
	line := struct {
		Schema int    `json:"schema"`
		Time   string `json:"time"`
		runtime.Event
		Profile string `json:"profile,omitempty"`
		Percent int    `json:"percent,omitempty"`
	}{1, p.now().UTC().Format(time.RFC3339Nano), e, p.profileOf(e), 0}
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
	columns, height := sizeOf(p.w)
	lines := p.lines()
	if len(lines) >= height { // what has scrolled away can't be drawn over
		lines = append(lines[:max(height-2, 1)], fmt.Sprintf(" ... and %d more", len(lines)-max(height-2, 1)))
	}
	for _, line := range lines {
		fmt.Fprintf(&b, "\x1b[2K%s\n", clip(line, columns)) // EL 2: clear the line first
	}
	if p.drawn > len(lines) {
		b.WriteString("\x1b[J") // ED: what was below
	}
	p.drawn, p.last = len(lines), p.now()
	_, _ = io.WriteString(p.w, b.String()) // a terminal that is gone takes nothing more
}

// lines are what is to be on the screen.
func (p *progress) lines() []string {
	lines := p.rowLines()
	width := 0
	for _, t := range p.tasks {
		width = max(width, len(t.ID))
	}
	for _, t := range p.tasks {
		lines = append(lines, fmt.Sprintf(" %-*s  %s", width, t.ID, t.describe(p.now())))
	}
	return lines
}

// sizeOf is the size of a terminal, 80 by 24 where it is unknown.
func sizeOf(w io.Writer) (columns, height int) {
	if file, ok := w.(*os.File); ok {
		if columns, height, err := term.GetSize(int(file.Fd())); err == nil && columns > 0 && height > 0 {
			return columns, height
		}
	}
	return 80, 24
}

// clip keeps a line from wrapping: going up by lines would miss what wrapped.
func clip(line string, columns int) string {
	runes := []rune(line)
	if len(runes) < columns {
		return line
	}
	return string(runes[:columns-1])
}

func (t *task) describe(now time.Time) string {
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
	took := t.changed.Sub(t.since)
	if !strings.HasSuffix(t.Status, "ed") && !t.since.IsZero() { // Pulling and not Pulled: it goes on
		took = now.Sub(t.since)
	}
	if took >= 100*time.Millisecond {
		parts = append(parts, fmt.Sprintf("%.1fs", took.Seconds()))
	}
	return strings.Join(parts, "  ")
}

// tickLater has the lines drawn when time has passed, unless that is arranged already.
func (p *progress) tickLater() {
	if p.timer == nil {
		p.timer = time.AfterFunc(tickEvery, p.tick)
	}
}

// tick draws what is under way.
func (p *progress) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer == nil || len(p.rows)+len(p.tasks) == 0 {
		p.timer = nil
		return
	}
	if p.held || p.now().Sub(p.began) < p.patience {
		p.held = false
	} else {
		p.draw()
	}
	p.timer.Reset(tickEvery)
}

// pause leaves what is drawn of tasks on the screen: something else is about to be printed below it. Rows go away, and come back
// below that.
func (p *progress) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle()
}

func (p *progress) settle() {
	if p.mode == "tty" && len(p.rows) > 0 {
		p.erase()
		p.held = true
		return
	}
	if p.mode == "tty" && len(p.tasks) > 0 && p.now().Sub(p.began) >= p.patience {
		p.draw()
	}
	p.drawn, p.tasks, p.index = 0, nil, map[string]*task{}
}

// erase takes our lines from the screen.
func (p *progress) erase() {
	if p.drawn > 0 {
		_, _ = fmt.Fprintf(p.w, "\x1b[%dA\x1b[J", p.drawn) // up to our first line, and clear from there
	}
	p.drawn = 0
}

// end takes the rows away and leaves the last state of the tasks.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	if len(p.rows) > 0 {
		p.erase()
		p.rows = nil
	}
	p.settle()
}

// size is a number of bytes for a person, in units of 1000 as disks are sold and docker prints them.
func size(bytes int64) string { return units.HumanSizeWithPrecision(float64(bytes), 3) }
