package integration

import (
	"context"
	"os"
	"path/filepath"
	"testing"
)

// TestRuntimeAhead: a layer that is begun before the plan is there becomes the container's, or goes.
func TestRuntimeAhead(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		pl := quick(w.plan("early", "sleep", "1000"))
		drop := w.c.Ahead(ctx, pl.ID, pl.ChainID)
		drop()
		drop() // also twice
		w.clean()

		drop = w.c.Ahead(ctx, pl.ID, pl.ChainID)
		w.up(pl, "created")
		drop()
		w.again(pl) // it runs, with one snapshot
		drop = w.c.Ahead(ctx, pl.ID, pl.ChainID)
		w.up(pl, "unchanged")
		drop()
		w.again(pl)
		ok(t, w.c.Remove(ctx, pl.ID, true))

		other := w.plan("other", "true")
		drop = w.c.Ahead(ctx, other.ID, "sha256:0000000000000000000000000000000000000000000000000000000000000000")
		w.up(quick(w.plan("other", "sleep", "1000")), "created") // of another image than was thought
		drop()
		ok(t, w.c.Remove(ctx, other.ID, true))
		w.clean()
		if left, _ := os.ReadDir(filepath.Join(w.opt.StateDir, "snapshots", w.opt.Namespace)); len(left) > 0 {
			t.Errorf("marks are left: %v", left)
		}
	})
}

// TestLateFindAhead: an answer about an image that was asked for behind FindImage stayed for the next one, whatever had come of the image.
func TestLateFindAhead(t *testing.T) {
	eachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		w.c.FindAhead(ctx, busybox)
		_, err := w.c.FindImage(ctx, busybox, "", "never")
		ok(t, err)
		w.c.FindAhead(ctx, busybox)
		ok(t, w.c.RemoveImage(ctx, busybox, true))
		if found, err := w.c.FindImage(ctx, busybox, "", "never"); err == nil {
			t.Errorf("an image that is gone was found: %+v", found)
		}
	})
}
