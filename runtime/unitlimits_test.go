package runtime

import (
	"os"
	"path/filepath"
	"testing"
)

// TestAllowance: the least of a unit's limits and of those of its slices holds, and what is on no hierarchy limits nothing.
func TestAllowance(t *testing.T) {
	root := t.TempDir()
	for file, text := range map[string]string{
		"memory.max":                   "1\n", // the root's own does not exist: it would not be looked at
		"a.slice/memory.max":           "600000\n",
		"a.slice/cpu.max":              "max 100000\n",
		"a.slice/x.service/memory.max": "max\n",
		"a.slice/x.service/pids.max":   "40\n",
		"a.slice/x.service/cpu.max":    "25000 50000\n",
		"b.slice/y.service/memory.max": "500\n",
		"b.slice/memory.max":           "700\n",
		"c.slice/cpu.max":              "20000\n",
	} {
		file = filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for at, want := range map[string]Allowance{
		"/a.slice/x.service": {Memory: 600000, Pids: 40, CPUs: 0.5}, "b.slice/y.service": {Memory: 500}, "/c.slice/z": {CPUs: 0.2}, "/nowhere": {}, "/": {}, "": {},
	} {
		if got := allowance(root, at); got != want {
			t.Errorf("%s: %+v, want %+v", at, got, want)
		}
	}
}
