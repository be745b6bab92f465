//go:build linux

// Command containerd-shim-runc-v2 keeps one container of the private engine: containerd's shim for runc and crun, of the
// same module version as the engine, and quicker to end.
package main

import (
	"context"
	"os"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task/plugin"
	"github.com/containerd/containerd/v2/pkg/shim"
)

func main() {
	own := keeper{manager.NewShimManager("io.containerd.runc.v2")}
	mortal("/proc/self/oom_score_adj")
	shim.RunShim(context.Background(), own)
}

// mortal takes the engine's protection from memory shortage off this process, and so off the container, which inherits
// it (proc_pid_oom_score_adj(5)): a job that fills the memory must be the one that is killed.
func mortal(file string) {
	b, err := os.ReadFile(file)
	if err != nil {
		return
	}
	if score, err := strconv.Atoi(strings.TrimSpace(string(b))); err == nil && score < 0 {
		_ = os.WriteFile(file, []byte("0"), 0o644) // less protection is always allowed
	}
}
