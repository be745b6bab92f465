package runnable

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Tests that wrote a script and ran it failed now and then, with "text file busy": others of the process made children meanwhile.
func TestWrittenProgramIsNotBusy(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for k := range 40 {
				p := filepath.Join(dir, fmt.Sprint(i, "-", k))
				if err := Write(p, []byte("#!/bin/sh\nexit 0\n")); err != nil {
					t.Error(err)
					return
				}
				if out, err := exec.Command(p).CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, out)
					return
				}
			}
		})
	}
	all.Wait()
}
