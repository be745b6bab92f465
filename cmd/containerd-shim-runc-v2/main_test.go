//go:build linux

package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/runc"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
	gorunc "github.com/containerd/go-runc"
)

// a long one is containerd's own way to clean up, which starts the OCI runtime.
type long struct {
	shim.Shim
	calls int
}

func (l *long) Stop(context.Context, string) (shim.StopStatus, error) {
	l.calls++
	return shim.StopStatus{ExitStatus: 137}, nil
}

// TestStop: the OCI runtime is asked to delete unless it is certain that it has nothing to delete.
func TestStop(t *testing.T) {
	ctx := namespaces.WithNamespace(context.Background(), "hostrun")
	for name, c := range map[string]struct {
		root, status, state bool
		long                int
		exit                uint32
	}{
		"all is done":                {root: true, status: true, exit: 7},
		"the runtime still knows it": {root: true, status: true, state: true, long: 1, exit: 137},
		"the shim died before":       {root: true, long: 1, exit: 137},
		"the root is not known":      {status: true, long: 1, exit: 137},
	} {
		dir := t.TempDir()
		bundle, root := filepath.Join(dir, "c1"), filepath.Join(dir, "runc")
		must(t, os.MkdirAll(filepath.Join(bundle, "rootfs"), 0o755))
		t.Chdir(bundle)
		opts := &options.Options{}
		if c.root {
			opts.Root = root
		}
		must(t, runc.WriteOptions(bundle, opts))
		if c.status {
			must(t, runc.WriteExitStatus(bundle, gorunc.Exit{Timestamp: time.Now(), Pid: 12, Status: 7}))
		}
		if c.state {
			must(t, os.MkdirAll(filepath.Join(root, "hostrun", "c1"), 0o700))
		}
		inner := &long{}
		got, err := keeper{inner}.Stop(ctx, "c1")
		must(t, err)
		if inner.calls != c.long || uint32(got.ExitStatus) != c.exit {
			t.Errorf("%s: %d calls and status %d, want %d and %d", name, inner.calls, got.ExitStatus, c.long, c.exit)
		}
	}
}

func TestMortal(t *testing.T) {
	for before, after := range map[string]string{"-999\n": "0", "0\n": "0\n", "300\n": "300\n", "": ""} {
		file := filepath.Join(t.TempDir(), "oom_score_adj")
		must(t, os.WriteFile(file, []byte(before), 0o600))
		mortal(file)
		b, err := os.ReadFile(file)
		must(t, err)
		if string(b) != after {
			t.Errorf("%q becomes %q, want %q", before, b, after)
		}
	}
	mortal(filepath.Join(t.TempDir(), "absent"))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
