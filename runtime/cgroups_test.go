package runtime

import (
	"os"
	"path/filepath"
	"testing"
)

// TestEmptyCgroups: a container's cgroups are left over only if no process is in any hierarchy, and all can be read.
func TestEmptyCgroups(t *testing.T) {
	cgroup := func(name, procs string) string {
		dir := filepath.Join(t.TempDir(), name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(procs), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	none, some := cgroup("none", ""), cgroup("some", "1\n")
	for _, c := range []struct {
		dirs []string
		want bool
	}{{[]string{none, none}, true}, {[]string{some, none}, false}, {[]string{none, some}, false}, {[]string{none, t.TempDir()}, false}} {
		if got := empty(c.dirs); got != c.want {
			t.Errorf("empty(%q) is %v", c.dirs, got)
		}
	}
}
