package bridge

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
)

// TestPlaceBesideTheLastOne: an `up` failed where, between the making of the directory and of the file in it, a removal in the background
// had taken the directory away with the last container's.
func TestPlaceBesideTheLastOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "netns")
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			path := filepath.Join(dir, fmt.Sprint(i))
			for range 2000 {
				if err := placeholder(path); err != nil {
					t.Error(err)
					return
				}
				if err := dropNamespace(path); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}
