//go:build truth

package imports

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/rootfs"
)

// TestTruthWheels really imports each package of the wheels of make truth (integration/truth/wheels.sh), as far as they are
// here, and holds sys.modules against the scan.
func TestTruthWheels(t *testing.T) {
	python := "/usr/bin/python3"
	py := detect(t, python)
	site := filepath.Join(truthCache(), fmt.Sprintf("sites/cp3%d", py.Version.Minor))
	entries, err := os.ReadDir(site)
	if err != nil {
		skip(t, "without the wheels of make truth: ", err)
	}
	count := 0
	for _, e := range entries {
		name, _, _ := strings.Cut(e.Name(), ".")
		if !isModuleName(name) || !e.IsDir() && !strings.HasSuffix(e.Name(), ".py") && !strings.HasSuffix(e.Name(), ".so") || slices.Contains(loud, name) {
			continue
		}
		code := "import " + name
		report, err := Scan(t.Context(), rootfs.Dir("/"), Request{Python: py, Known: &parsed, Command: []string{python, "-c", code}, Env: map[string]string{"PYTHONPATH": site}, Deep: true})
		must(t, err)
		real := trace(t, python, code, "PYTHONPATH="+site)
		count++
		for _, w := range disagreements(report, real) {
			if listed(report, name) {
				t.Logf("%s, and it is listed what files do not tell: %s", code, w)
				continue
			}
			t.Errorf("%s: %s", code, w)
		}
	}
	t.Logf("%d packages", count)
}

// listed says that a package is among what is not checked: its native code imports, or it puts modules of its own making
// into sys.modules.
func listed(report Report, name string) bool {
	return slices.ContainsFunc(report.NotChecked, func(n NotChecked) bool {
		return (n.What == "native" || n.What == "hook") && (n.Name == name || strings.HasPrefix(n.Name, name+"."))
	})
}
