package imports

import (
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/rootfs"
)

// A run is what an interpreter really did.
type run struct {
	Modules map[string]string
	Asked   map[string][]any
	Error   []string
	Before  []string
	Path    []string
}

func trace(t *testing.T, python, code string, env ...string) run {
	t.Helper()
	script, err := os.ReadFile("testdata/trace.py")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", string(script), code)
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "PYTHONNOUSERSITE=1", "PYTHONDONTWRITEBYTECODE=1"}, env...)
	out, err := cmd.Output()
	_, text, ok := strings.Cut(string(out), "\x02")
	if !ok {
		t.Fatalf("%s: %s: %v: %s", python, code, err, out)
	}
	var r run
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func detect(t *testing.T, python string) abi.Python {
	t.Helper()
	p, err := abi.DetectPython(rootfs.Dir("/"), python, abi.Environment{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
