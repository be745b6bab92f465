package main

import (
	"os"
	"path/filepath"
	"testing"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
	"hostrun.dev/hostrun/rootfs"
)

// TestProofWithoutATemporaryDirectory: where /tmp was full there was no proof, what it had lent was not mounted, and up took
// the plan for another one.
func TestProofWithoutATemporaryDirectory(t *testing.T) {
	s, _, _ := testSession()
	s.global.stateDir = t.TempDir()
	t.Setenv("TMPDIR", filepath.Join(s.global.stateDir, "none"))
	shown := []shownMount{{Mount: rootfs.Mount{Destination: "/hr/file"}, file: &plan.File{Content: "text"}}, {Mount: rootfs.Mount{Destination: "/hr/empty"}, empty: true}}
	facts := plan.Facts{Profile: profiles.Profile{Rootfs: profiles.HostRoot}}
	err := s.withView(t.Context(), facts, "p", shown, func(view *rootfs.View) error {
		if text, err := view.ReadFile("/hr/file", 10); err != nil || string(text) != "text" || !view.IsDir("/hr/empty") {
			t.Errorf("the view shows %q: %v", text, err)
		}
		return nil
	})
	if left, _ := os.ReadDir(s.global.stateDir); err != nil || len(left) > 0 {
		t.Errorf("%v; left are %v", err, left)
	}
	s.global.stateDir = filepath.Join(s.global.stateDir, "none")
	if s.withView(t.Context(), facts, "p", shown, func(*rootfs.View) error { return nil }) == nil {
		t.Error("there is room nowhere")
	}
}
