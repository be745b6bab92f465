//go:build unix

package exectest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// TestTextFileBusy: a script that a test had just written could not be started while other tests of the package started processes.
func TestTextFileBusy(t *testing.T) {
	over, forks := make(chan struct{}), sync.WaitGroup{}
	for range 4 {
		forks.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					_ = exec.Command("/bin/true").Run()
				}
			}
		})
	}
	defer forks.Wait()
	defer close(over)
	dir := t.TempDir()
	content := append([]byte("#!/bin/sh\nexit 0\n#"), make([]byte, 1<<20)...) // large: it is open for as long as a fork takes
	for i := range 200 {
		file := filepath.Join(dir, fmt.Sprint("script", i%2))
		if err := WriteFile(file, content, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := exec.Command(file).Run(); err != nil {
			t.Fatalf("start %d: %v", i, err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}
