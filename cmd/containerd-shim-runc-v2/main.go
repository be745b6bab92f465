//go:build linux

// Command containerd-shim-runc-v2 keeps one container of the private engine: containerd's shim for runc and crun, of the
// same module version as the engine, and quicker to end.
package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/manager"
	_ "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/task/plugin"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
)

func main() {
	mortal("/proc/self/oom_score_adj")
	registry.Register(&plugin.Registration{Type: plugins.InternalPlugin, ID: "haste", InitFn: haste})
	registry.Register(swift)
	registry.Register(older)
	s := keeper{manager.NewShimManager("io.containerd.runc.v2")}
	done, err := startForOlder(s, os.Args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s", s.Name(), err)
		os.Exit(1)
	}
	if !done {
		shim.RunShim(context.Background(), s)
	}
}

// haste is loaded among the first plugins of the process that keeps the container. RunShim has set the collector to run
// at each half megabyte, which suits a process that waits, and would run it twice before the container is there: 7 of
// 80 ms on two cores. So it waits until the container has started, and then has its way.
func haste(*plugin.InitContext) (any, error) {
	usual := debug.SetGCPercent(400)
	time.AfterFunc(2*time.Second, func() {
		debug.SetGCPercent(usual)
		debug.FreeOSMemory()
	})
	return struct{}{}, nil
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
