package main

import "testing"

// TestHalfOfAnOddMemory: on machines whose number of pages is odd, /dev/shm shows its size, and TestRecorded failed there.
func TestHalfOfAnOddMemory(t *testing.T) {
	const odd = 24684084 << 10 // bytes; 6171021 pages
	for options, want := range map[string]string{
		"rw,size=12342044k":         "rw",
		"rw,size=12342040k":         "rw",
		"rw,size=12342052k":         "rw,size=12342052k",
		"rw,size=65536k":            "rw,size=65536k",
		"rw,size=64m":               "rw,size=64m",
		"rw,size=2048k,nr_inodes=9": "rw,size=2048k,nr_inodes=9",
		"rw":                        "rw",
	} {
		if got := withoutHalf(options, odd); got != want {
			t.Errorf("%q: %q, want %q", options, got, want)
		}
	}
}
