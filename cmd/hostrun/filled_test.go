package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/plan"
)

// TestProofSeesWhatFillsAVolume: a volume that is to be filled hides nothing of the image from the proof; one that has something does.
func TestProofSeesWhatFillsAVolume(t *testing.T) {
	s := &session{deps: deps{root: t.TempDir()}}
	pl := plan.Plan{Spec: &specs.Spec{Mounts: []specs.Mount{{Destination: "/venv", Type: "bind", Source: "/volumes/venv"}}},
		Directories: []plan.Directory{{Path: "/volumes/venv", Copy: "/venv"}}}
	volume := filepath.Join(s.root, "volumes", "venv")
	see := func(what string, want int) {
		t.Helper()
		if got := s.shown(pl); len(got) != want {
			t.Errorf("%s: %d mounts hide the image, want %d", what, len(got), want)
		}
	}
	see("not there yet", 0)
	if err := os.MkdirAll(volume, 0o755); err != nil {
		t.Fatal(err)
	}
	see("empty", 0)
	if err := os.WriteFile(filepath.Join(volume, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	see("with something", 1)
	pl.Directories[0].Copy = ""
	if err := os.Remove(filepath.Join(volume, "file")); err != nil {
		t.Fatal(err)
	}
	see("empty, with nocopy", 1)
}
