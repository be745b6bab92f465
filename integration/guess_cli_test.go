package integration

import (
	"os"
	"path/filepath"
	"testing"

	"hostrun.dev/hostrun/integration/image/archive"
)

// TestGuessedLayer: a container's layer is begun for the image that its name had the last time. That guess may be wrong, of an image
// that is gone, or damaged: the container has the image that is there, and nothing of the guess stays.
func TestGuessedLayer(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	says := func(word string) archive.Image {
		return tiny(t, "job", archive.File{Path: "/word", Mode: 0o644, Content: []byte(word)})
	}
	s.load(says("one"))
	s.profile("job", "image: job\npull_policy: never\npython: none\ncommand: [cat, /word]\n")
	run := func(want string) {
		t.Helper()
		if got := s.must("run", "job"); got != want {
			t.Errorf("the job printed %q, want %q", got, want)
		}
	}
	before := s.inventory()
	run("one")
	notes, err := filepath.Glob(s.path("cache", "image", "layer-*.json"))
	if err != nil || len(notes) != 1 {
		t.Fatalf("notes of layers: %v, %v", notes, err)
	}
	run("one")
	guess := func(text string) {
		t.Helper()
		if err := os.WriteFile(notes[0], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		run("one")
		s.nothingLeft(before)
	}
	guess(`"sha256:0000000000000000000000000000000000000000000000000000000000000000"`)
	guess(`{"damaged`)
	guess(`""`)

	s.load(says("two")) // the name means another image now, and the layer of the first is still there
	run("two")
	s.must("up", "job", "--", "sleep", "1000")
	if got := s.must("exec", "job", "--", "cat", "/word"); got != "two" {
		t.Errorf("up took the layer of %q", got)
	}
	s.must("down", "-y", "job")
	s.must("rmi", "job")
	s.fails(125, "it is not in containerd's namespace", "run", "job") // asked for and not there, whatever was guessed
}
