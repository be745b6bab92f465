package main

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"hostrun.dev/hostrun/runtime"
)

// A row is the line of one container while up is at work on it: what is being done, and for how long.
type row struct {
	id, profile, image string // image as events name it
	state              string
	since              time.Time // of the work on it; zero before
	layers             map[string]runtime.Event
}

// expect tells that there will be work on containers, in this order.
func (p *progress) expect(members []*member) {
	if p.mode != "tty" && p.mode != "json" {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = 0
	for _, m := range members {
		p.rows = append(p.rows, &row{id: m.id, profile: m.profile.Name, image: runtime.EventName(m.profile.Image), state: "queued"})
	}
}

func (p *progress) row(id string) *row {
	if i := slices.IndexFunc(p.rows, func(r *row) bool { return r.id == id }); i >= 0 {
		return p.rows[i]
	}
	return nil
}

// at tells what is being done with a container, where nobody else does: on a terminal and as JSON.
func (p *progress) at(id, status string) {
	if p.mode == "tty" || p.mode == "json" {
		p.event(runtime.Event{ID: "Container " + id, Status: status})
	}
}

// awaits tells what a container that has been started is waited for.
func (p *progress) awaits(id, what string) {
	if p.mode == "tty" || p.mode == "json" {
		p.event(runtime.Event{ID: "Container " + id, Status: "Waiting", Text: what})
	}
}

// finish ends the work on a container: what came of it is printed or returned.
func (p *progress) finish(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.IndexFunc(p.rows, func(r *row) bool { return r.id == id }); i >= 0 && p.mode == "tty" {
		p.rows = slices.Delete(p.rows, i, i+1)
		if p.done++; len(p.rows) == 0 {
			p.erase()
		}
	}
}

// profileOf is the profile that an event is about.
func (p *progress) profileOf(e runtime.Event) string {
	if r := p.row(strings.TrimPrefix(e.ID, "Container ")); r != nil {
		return r.profile
	}
	profile := ""
	for _, r := range p.rows { // an image may be that of several
		switch {
		case r.image == "" || "Image "+r.image != e.ID && "Image "+r.image != e.Parent || r.profile == profile:
		case profile != "":
			return ""
		default:
			profile = r.profile
		}
	}
	return profile
}

// inRow takes an event into the rows that it is about, and says whether there are any.
func (p *progress) inRow(e runtime.Event) bool {
	kind, name, _ := strings.Cut(e.ID, " ")
	image := strings.TrimPrefix(e.Parent, "Image ")
	if kind == "Image" {
		image = name
	}
	found := false
	for _, r := range p.rows {
		switch {
		case kind == "Container" && r.id == name:
			r.state = strings.ToLower(e.Status)
			if e.Text != "" {
				r.state += " " + e.Text
			}
			if e.Status == "Waiting" {
				r.state = "waiting for " + e.Text
			}
		case image != "" && r.image == image && !r.since.IsZero():
			r.take(kind, name, e)
		default:
			continue
		}
		if found = true; r.since.IsZero() {
			r.since = p.now()
		}
	}
	return found
}

// take notes what happens to the image of the row.
func (r *row) take(kind, name string, e runtime.Event) {
	if kind != "Layer" {
		r.state = strings.TrimSpace(strings.ToLower(e.Status) + " " + e.Text)
		return
	}
	if r.layers == nil {
		r.layers = map[string]runtime.Event{}
	}
	r.layers[name] = e
	var current, total int64
	for _, l := range r.layers {
		current, total = current+l.Current, total+l.Total
	}
	r.state = fmt.Sprintf("pulling %s of %s", size(current), size(total))
}

// mostLayers of a row are shown below it.
const mostLayers = 4

// rowLines are those of the containers that are being worked on.
func (p *progress) rowLines() []string {
	if len(p.rows) == 0 || p.mode != "tty" {
		return nil
	}
	width := 0
	for _, r := range p.rows {
		width = max(width, len(r.id))
	}
	lines := []string{fmt.Sprintf("%d of %d  %s", p.done, p.done+len(p.rows), elapsed(p.now().Sub(p.began)))}
	for _, r := range p.rows {
		line := fmt.Sprintf("  %-*s  %s", width, r.id, r.state)
		if !r.since.IsZero() {
			line += "  " + elapsed(p.now().Sub(r.since))
		}
		lines = append(append(lines, line), r.layerLines()...)
	}
	return lines
}

func (r *row) layerLines() []string {
	var names []string
	for name, l := range r.layers {
		if l.Current < l.Total {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	if !strings.HasPrefix(r.state, "pulling") {
		return nil
	}
	var lines []string
	for _, name := range names[:min(len(names), mostLayers)] {
		l := r.layers[name]
		lines = append(lines, fmt.Sprintf("    %.12s  %s of %s", strings.TrimPrefix(name, "sha256:"), size(l.Current), size(l.Total)))
	}
	return lines
}

func elapsed(d time.Duration) string { return fmt.Sprintf("%.1fs", d.Seconds()) }
