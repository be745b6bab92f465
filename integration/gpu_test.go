package integration

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// On a machine without a GPU `make gpu` says so, with the status of an absent device, and touches nothing.
func TestGPUScriptWithoutAGPU(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("gpu/gpu.sh")
	cmd.Env = append(os.Environ(), "HOSTRUN_GPU_DRIVER="+filepath.Join(dir, "absent"), "HOSTRUN_GPU_OUT="+filepath.Join(dir, "results"))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 69 || !strings.Contains(string(out), "no NVIDIA GPU can be used here") || !strings.Contains(string(out), "hint: ") {
		t.Errorf("%v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "results")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("results are written: %v", err)
	}
}
