package runtime

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// TestRemovalsBeginTogether: none begins while others are still to be added, unless these take long.
func TestRemovalsBeginTogether(t *testing.T) {
	var begun atomic.Int32
	one := func() { begun.Add(1) }
	var none *Removals
	none.add(one)
	if begun.Load() != 1 {
		t.Fatal("one alone has to wait")
	}
	begun.Store(0)
	var rs Removals
	rs.Begin() // nothing to do
	before := time.Now()
	for range 3 {
		rs.add(one)
	}
	if n := begun.Load(); n > 0 && time.Since(before) < removalsWait {
		t.Errorf("%d began at once", n)
	}
	rs.Begin()
	if n := begun.Load(); n != 3 {
		t.Errorf("%d of 3 began", n)
	}
	rs.add(one) // and the command's last process takes its time
	for deadline := time.Now().Add(time.Minute); begun.Load() != 4; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it waits for ever")
		}
	}
	rs.Begin()
	if n := begun.Load(); n != 4 {
		t.Errorf("%d began, one of them again", n)
	}
}

// TestKeptLockIsHeld: between the end of a process and the begin of its removal nobody gets the name.
func TestKeptLockIsHeld(t *testing.T) {
	c := &Client{opt: Options{StateDir: t.TempDir(), Namespace: "test"}}
	l, err := c.tryLock("one")
	if err != nil {
		t.Fatal(err)
	}
	kept, err := l.keep()
	if err != nil {
		t.Fatal(err)
	}
	l.unlock()
	if _, err := c.tryLock("one"); !errors.Is(err, ErrBusy) {
		t.Fatalf("the lock is free: %v", err)
	}
	kept.unlock()
	again, err := c.tryLock("one")
	if err != nil {
		t.Fatal(err)
	}
	again.unlock()
}
