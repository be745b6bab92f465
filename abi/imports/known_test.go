package imports

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"hostrun.dev/hostrun/rootfs"
)

// TestKnownFilesSayTheSame: a scan that parses nothing anew says what the first one does, and sees a file that has changed in
// between.
func TestKnownFilesSayTheSame(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "changes.py")
	long := time.Now().Add(-time.Hour)
	write := func(text string) {
		must(t, os.WriteFile(file, []byte(text), 0o644))
		must(t, os.Chtimes(file, long, long))
	}
	write("import json, nothere\n")
	py := detect(t, pythons(t)[0])
	var known Known
	again := func() Report {
		t.Helper()
		report, err := Scan(t.Context(), rootfs.Dir("/"), Request{Python: py, Known: &known, Command: []string{py.Executable, "-c", "import changes, email"}, Env: map[string]string{"PYTHONPATH": dir}})
		must(t, err)
		return report
	}
	first := again()
	if first.First() == nil || first.First().Name != "nothere" {
		t.Fatalf("first: %+v", first.First())
	}
	if known.units.empty() {
		t.Fatal("nothing is remembered")
	}
	if second := again(); !reflect.DeepEqual(first, second) {
		t.Errorf("with what is known:\n%+v\nnot\n%+v", second, first)
	}
	write("import json, goneNow\n") // as long as before, and by its mtime as old
	if third := again(); third.First() == nil || third.First().Name != "goneNow" {
		t.Errorf("after a change: %+v", third.First())
	}
}

// TestKnownKeepsNothingFresh: a file that has just been written may be written again within the same tick of the clock.
func TestKnownKeepsNothingFresh(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.py")
	must(t, os.WriteFile(file, []byte("import b\n"), 0o644))
	_, stamp, err := rootfs.ReadRegular(file, maxSource, nil)
	must(t, err)
	var known Known
	changed := time.Unix(0, stamp.Changed)
	known.keep(&unit{}, stamp, changed, "", "")
	known.keep(&unit{}, rootfs.Stamp{}, changed.Add(time.Hour), "", "")
	if u, _ := known.unit(file, "", ""); u != nil {
		t.Error("a file that may still change unseen is remembered")
	}
	known.keep(&unit{}, stamp, changed.Add(time.Hour), "", "")
	if u, size := known.unit(file, "", ""); u == nil || size != 9 {
		t.Errorf("an old file is not remembered: %v, %d", u, size)
	}
	if u, _ := known.unit(file, "another", ""); u != nil {
		t.Error("it is taken for what another interpreter reads")
	}
	if u, _ := known.unit(file, "", "p"); u != nil {
		t.Error("it is taken for a package's")
	}
}
