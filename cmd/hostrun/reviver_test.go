package main

import (
	"testing"
	"time"
)

// TestRevivals: the first comes at once, one that dies at each start does not take a processor, and one that has lived begins anew.
func TestRevivals(t *testing.T) {
	start := time.Unix(1000, 0)
	for _, c := range []struct {
		r     revival
		lived time.Duration
		want  time.Duration
	}{
		{revival{}, 0, 0},
		{revival{1, start}, 0, 0},
		{revival{2, start}, time.Second, 100 * time.Millisecond},
		{revival{4, start}, time.Second, 400 * time.Millisecond},
		{revival{40, start}, time.Second, 2 * time.Second},
		{revival{1 << 40, start}, time.Second, 2 * time.Second},
		{revival{40, start}, time.Minute, 0},
	} {
		again, err := parseRevival(c.r.String())
		if err != nil || again.String() != c.r.String() {
			t.Errorf("%v reads as %v, %v", c.r, again, err)
		}
		if got := again.settled(start.Add(c.lived)).pause(); got != c.want {
			t.Errorf("%v after %v: a pause of %v, want %v", c.r, c.lived, got, c.want)
		}
	}
	if r, err := parseRevival(""); err != nil || r.times != 0 {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := parseRevival("often"); err == nil {
		t.Error("often was read")
	}
}
