package main

import (
	"testing"
	"time"
)

// TestWhoseFile: docker's way to tell a file of a container from one of the machine.
func TestWhoseFile(t *testing.T) {
	for word, want := range map[string][2]string{
		"dinov2:/tmp/x": {"dinov2", "/tmp/x"}, "dinov2:x": {"dinov2", "x"}, "dinov2:": {"dinov2", ""}, "dinov2:/a:b": {"dinov2", "/a:b"},
		"/tmp/a:b": {}, "./a:b": {}, "../a:b": {}, "dir/a:b": {}, "plain": {}, "-": {}, ":x": {},
	} {
		name, path, ok := ofContainer(word)
		if name != want[0] || path != want[1] || ok != (want[0] != "") {
			t.Errorf("%s: %q %q %v", word, name, path, ok)
		}
	}
}

func TestSpans(t *testing.T) {
	for text, want := range map[string]time.Duration{"36h": 36 * time.Hour, "7d": 168 * time.Hour, "1.5d": 36 * time.Hour, "2w": 336 * time.Hour, "0": 0, "0s": 0} {
		if got, err := span("older-than", text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "soon", "7", "-3h"} {
		if got, err := span("older-than", text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestClocks(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ got, want string }{
		{clock(75*time.Second, true), "00:01:15"}, {clock(75*time.Second, false), "01:15"}, {clock(26*time.Hour, false), "1-02:00:00"}, {clock(-time.Second, true), "00:00:00"},
		{startWords(now.Add(-time.Hour), now), "11:00"}, {startWords(now.Add(-13*time.Hour), now), "Mar03"}, {startWords(now.AddDate(-1, 0, 0), now), "2025"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
}

// TestPrefixedLines: lines of two that write in pieces do not mix, and the last one ends.
func TestPrefixedLines(t *testing.T) {
	s, stdout, _ := testSession()
	p := newPrefixes(s, []resident{{name: "a"}, {name: "longer"}}, false)
	a, _, endA := p.of("a")
	b, _, endB := p.of("longer")
	for _, write := range []func(){
		func() { _, _ = a.Write([]byte("on")) }, func() { _, _ = b.Write([]byte("x\ny")) }, func() { _, _ = a.Write([]byte("e\n\ntwo\nre")) }, endB, endA,
	} {
		write()
	}
	if want := "longer  | x\na       | one\na       | \na       | two\nlonger  | y\na       | re\n"; stdout.String() != want {
		t.Errorf("%q, want %q", stdout, want)
	}
}
