package runtime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestStarved reads the counters of both versions of cgroups as Linux 6.18 writes them.
func TestStarved(t *testing.T) {
	for text, want := range map[string]bool{
		"memory.events\nlow 0\nhigh 0\nmax 26\noom 1\noom_kill 1\noom_group_kill 0\n": true,
		"memory.events\nlow 0\nhigh 0\nmax 26\noom 1\noom_kill 0\noom_group_kill 1\n": false,
		"memory.oom_control\noom_kill_disable 0\nunder_oom 0\noom_kill 2\n":           true,
		"memory.oom_control\noom_kill_disable 1\nunder_oom 1\noom_kill 0\n":           false,
		"cgroup.procs\n12\n": false,
	} {
		dir := t.TempDir()
		name, content, _ := strings.Cut(text, "\n")
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := starved([]string{filepath.Join(dir, "no"), dir}); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
