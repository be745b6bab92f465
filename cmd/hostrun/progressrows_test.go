package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/runtime"
)

// screen is what a terminal shows after the text: ECMA-48's CUU, EL 2 and ED, which is all that we write.
func screen(text string) string {
	var lines []string
	at := 0
	put := func(s string) {
		for len(lines) <= at {
			lines = append(lines, "")
		}
		lines[at] += s
	}
	codes := regexp.MustCompile(`\x1b\[(\d*)([AJK])|\n|[^\x1b\n]+`)
	for _, m := range codes.FindAllStringSubmatch(text, -1) {
		n, _ := strconv.Atoi(m[1])
		switch {
		case m[0] == "\n":
			put("")
			at++
		case m[2] == "A":
			at -= n
		case m[2] == "J":
			lines = lines[:min(at, len(lines))]
		case m[2] == "K":
			put("")
			lines[at] = ""
		default:
			put(m[0])
		}
	}
	return strings.Join(lines, "\n")
}

func rowsFor(mode string, b *bytes.Buffer) (p *progress, at *time.Time) {
	p = newProgress(b, mode, false)
	now := p.began
	p.now, p.timer = func() time.Time { return now }, time.NewTimer(time.Hour) // ticks are the test's
	p.expect([]*member{{id: "db", profile: &profiles.Profile{Name: "db", Image: "postgres"}}, {id: "web-1", profile: &profiles.Profile{Name: "web", Image: "nginx:1"}},
		{id: "web-2", profile: &profiles.Profile{Name: "web", Image: "nginx:1"}}})
	return p, &now
}

// TestProgressRows: a line for each container, with what is being done and for how long; results are printed above them.
func TestProgressRows(t *testing.T) {
	var b bytes.Buffer
	p, now := rowsFor("tty", &b)
	shows := func(want string) {
		t.Helper()
		p.tick()
		if got := strings.TrimRight(screen(b.String()), "\n"); got != want {
			t.Errorf("the screen shows\n%s\nwant\n%s", got, want)
		}
	}
	p.at("db", "Checking")
	p.at("web-1", "Checking")
	shows("") // nothing for what may be over soon
	*now = p.began.Add(1500 * time.Millisecond)
	p.event(runtime.Event{ID: "Image nginx:1", Status: "Pulling"})
	p.event(runtime.Event{ID: "Layer sha256:0123456789abcdef", Parent: "Image nginx:1", Status: "Downloading", Current: 12e6, Total: 30e6})
	p.event(runtime.Event{ID: "Layer sha256:ff", Parent: "Image nginx:1", Status: "Downloaded", Current: 10e6, Total: 10e6})
	p.event(runtime.Event{ID: "Container db", Status: "Creating"})
	p.event(runtime.Event{ID: "Image postgres:latest", Status: "Unpacking"})
	shows(`0 of 3  1.5s
  db     unpacking  1.5s
  web-1  pulling 22MB of 40MB  1.5s
    0123456789ab  12MB of 30MB
  web-2  queued`)
	p.pause()
	b.WriteString("db created\n")
	p.finish("db")
	p.tick() // held: who prints is not to be disturbed
	*now = p.began.Add(2 * time.Second)
	p.event(runtime.Event{ID: "Container web-1", Status: "Waiting", Text: "db to be healthy"})
	shows(`db created
1 of 3  2.0s
  web-1  waiting for db to be healthy  2.0s
  web-2  queued`)
	p.finish("web-1")
	p.finish("web-2")
	p.end()
	if got := screen(b.String()); got != "db created" {
		t.Errorf("at the end the screen shows %q", got)
	}
}

// TestProgressOfManyRows: more lines than the screen has would scroll away and could not be drawn over.
func TestProgressOfManyRows(t *testing.T) {
	var b bytes.Buffer
	p, now := rowsFor("tty", &b)
	for range 40 {
		p.rows = append(p.rows, p.rows[2])
	}
	*now = p.began.Add(time.Second)
	for range 3 {
		p.draw()
	}
	if lines := strings.Split(screen(b.String()), "\n"); len(lines) != 23 && len(lines) != 24 || !strings.Contains(b.String(), " ... and 22 more") {
		t.Errorf("%d lines: %q", len(lines), lines[len(lines)-2:])
	}
}

// TestQuickWorkDrawsNothing: a start that is over before the first tick leaves no trace on the terminal, and no timer.
func TestQuickWorkDrawsNothing(t *testing.T) {
	var b bytes.Buffer
	p, _ := rowsFor("tty", &b)
	for _, status := range []string{"Checking", "Creating", "Started"} {
		p.at("db", status)
	}
	for _, id := range []string{"db", "web-1", "web-2"} {
		p.pause()
		p.finish(id)
	}
	p.end()
	if b.Len() > 0 || p.timer != nil {
		t.Errorf("%q", b.String())
	}
	quiet := newProgress(&b, "quiet", false)
	quiet.expect([]*member{{}})
	quiet.event(runtime.Event{ID: "Container x"})
	if quiet.timer != nil || len(quiet.rows) > 0 || len(quiet.tasks) > 0 {
		t.Error("something is done for nobody to see")
	}
}

// TestProgressJSON has compose's field names, and ours.
func TestProgressJSON(t *testing.T) {
	var b bytes.Buffer
	p, _ := rowsFor("json", &b)
	p.event(runtime.Event{ID: "Layer sha256:ff", Parent: "Image nginx:1", Status: "Downloading", Current: 5, Total: 10, Text: "t", Details: "d"})
	p.at("db", "Checking")
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	var layer, db map[string]any
	if json.Unmarshal([]byte(lines[0]), &layer) != nil || json.Unmarshal([]byte(lines[1]), &db) != nil {
		t.Fatalf("%q", lines)
	}
	for field, want := range map[string]any{"id": "Layer sha256:ff", "parent_id": "Image nginx:1", "status": "Downloading", "text": "t", "details": "d", "current": 5.0, "total": 10.0, "percent": 50.0, "profile": "web", "schema": 1.0} {
		if layer[field] != want {
			t.Errorf("%s is %v", field, layer[field])
		}
	}
	if _, err := time.Parse(time.RFC3339Nano, layer["time"].(string)); err != nil || db["profile"] != "db" || db["status"] != "Checking" {
		t.Errorf("%v %v", err, db)
	}
}
