package main

import (
	"fmt"
	"slices"
	"time"
)

// A sample is what one subject's runs took.
type sample []time.Duration

// add appends a run.
func (s *sample) add(d time.Duration) { *s = append(*s, d) }

func (s sample) min() time.Duration { return slices.Min(s) }
func (s sample) max() time.Duration { return slices.Max(s) }

// median is the middle run, or the mean of the two in the middle.
func (s sample) median() time.Duration {
	sorted := slices.Sorted(slices.Values(s))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// String shows minimum, median and maximum in milliseconds.
func (s sample) String() string {
	if len(s) == 0 {
		return "not measured"
	}
	return fmt.Sprintf("%s / %s / %s", millis(s.min()), millis(s.median()), millis(s.max()))
}

func millis(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	if ms < 100 {
		return fmt.Sprintf("%.1f", ms)
	}
	return fmt.Sprintf("%.0f", ms)
}

// ratio is a's median over b's.
func ratio(a, b sample) float64 { return float64(a.median()) / float64(b.median()) }
