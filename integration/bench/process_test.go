package main

import (
	"os/exec"
	"testing"
	"time"
)

// TestWhatAFailureLeavesIsEnded: the benchmark waited for ever for the containers of an `up` that had failed half-way.
func TestWhatAFailureLeavesIsEnded(t *testing.T) {
	defer func(before time.Duration) { settlePatience = before }(settlePatience)
	settlePatience = 50 * time.Millisecond
	others := map[int]bool{}
	for _, pid := range children() {
		others[pid] = true
	}
	stays := exec.Command("sh", "-c", "sleep 1000 & wait")
	if err := stays.Start(); err != nil {
		t.Fatal(err)
	}
	if err := settle(others); err == nil {
		t.Error("that a process was ended is no error")
	}
	if err := settle(others); err != nil {
		t.Error(err)
	}
}
