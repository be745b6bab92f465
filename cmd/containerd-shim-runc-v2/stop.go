//go:build linux

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/runc"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/shim"
)

// A keeper is containerd's shim, but for its first and its last act.
type keeper struct{ shim.Shim }

// Start begins the process that keeps the container; this one ends before the collector is worth its time.
func (k keeper) Start(ctx context.Context, params *bootapi.BootstrapParams) (*bootapi.BootstrapResult, error) {
	debug.SetGCPercent(-1)
	return k.Shim.Start(ctx, params)
}

// Stop cleans up behind a shim that has ended. containerd calls it for each container, also where all is done: the shim
// has deleted the container itself, and `runc delete --force` would only find that there is none. Then that process, a
// tenth of a container's whole life, is left out.
func (k keeper) Stop(ctx context.Context, id string) (shim.StopStatus, error) {
	debug.SetGCPercent(-1)
	bundle, err := bundleOf(id)
	if err != nil {
		return shim.StopStatus{}, err
	}
	exit, err := runc.ReadExitStatus(bundle)
	if err != nil || !deleted(ctx, bundle, id) {
		return k.Shim.Stop(ctx, id)
	}
	if err := mount.UnmountRecursive(filepath.Join(bundle, "rootfs"), 0); err != nil {
		return k.Shim.Stop(ctx, id)
	}
	return shim.StopStatus{Pid: exit.Pid, ExitStatus: exit.Status, ExitedAt: exit.Timestamp}, nil
}

// bundleOf returns the container's bundle: containerd starts the command in a bundle of the same namespace.
func bundleOf(id string) (string, error) {
	cwd, err := os.Getwd()
	return filepath.Join(filepath.Dir(cwd), id), err
}

// deleted says whether the OCI runtime knows no container of that name any more. runc and crun keep what they know in a
// directory of that name below their root; where the root is not named here, the answer is no.
func deleted(ctx context.Context, bundle, id string) bool {
	opts, err := runc.ReadOptions(bundle)
	if err != nil || opts == nil || opts.Root == "" {
		return false
	}
	ns, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return false
	}
	_, err = os.Lstat(filepath.Join(opts.Root, ns, id))
	return errors.Is(err, fs.ErrNotExist)
}
