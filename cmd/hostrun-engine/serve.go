package main

import (
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"

	"github.com/containerd/containerd/v2/cmd/containerd/server"
	srvconfig "github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/defaults"
	containerd "github.com/containerd/containerd/v2/version"
	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/engine"
	"hostrun.dev/hostrun/finding"
)

// required are the parts without which the engine is useless: it does not start if one fails. A snapshotter is not among
// them, for native takes overlayfs's place where the kernel has none.
var required = []string{
	"io.containerd.metadata.v1.bolt", "io.containerd.content.v1.content", "io.containerd.runtime.v2.task",
	"io.containerd.grpc.v1.containers", "io.containerd.grpc.v1.images", "io.containerd.grpc.v1.snapshots", "io.containerd.grpc.v1.tasks",
	"io.containerd.server.v1.grpc", "io.containerd.server.v1.ttrpc",
}

// serve builds containerd's server and returns when it listens.
func serve(ctx context.Context, l engine.Layout, s tuning) (*server.Server, error) {
	if err := sameVersion(l.Shim()); err != nil {
		return nil, err
	}
	raiseLimits()
	config := configuration(l, s)
	unix.Umask(0o022) // whoever started it may have another
	if err := server.CreateTopLevelDirectories(config); err != nil {
		return nil, engine.Storage(l, err)
	}
	if err := mount.SetTempMountLocation(filepath.Join(l.RootDir, "tmpmounts")); err != nil {
		return nil, engine.Storage(l, err)
	}
	endOrphans(l)
	if err := errors.Join(removeTorn(l), leaveOutOverlay(config)); err != nil {
		return nil, engine.Storage(l, err)
	}
	srv, err := server.New(ctx, config)
	if err != nil {
		return nil, engine.Storage(l, err)
	}
	if err := srv.Start(ctx); err != nil {
		return nil, engine.Storage(l, err)
	}
	srv.Wait()
	return srv, nil
}

// leaveOutOverlay disables overlayfs where it can't be used; then native is what is left.
func leaveOutOverlay(config *srvconfig.Config) error {
	err := overlayWorks(config.Root)
	var refused refusal
	if errors.As(err, &refused) {
		log.L.WithError(err).Warn("no overlayfs here: containers run on whole copies of their images (native snapshots)")
		config.DisabledPlugins = append(config.DisabledPlugins, "io.containerd.snapshotter.v1.overlayfs")
		return nil
	}
	return err
}

func configuration(l engine.Layout, s tuning) *srvconfig.Config {
	gid := max(s.gid, 0)
	return &srvconfig.Config{
		Version: containerd.ConfigVersion, Root: l.RootDir, State: l.StateDir, RequiredPlugins: slices.Clone(required),
		Plugins: map[string]any{
			"io.containerd.server.v1.grpc": map[string]any{"address": l.Address(), "uid": 0, "gid": gid,
				"max_recv_message_size": defaults.DefaultMaxRecvMsgSize, "max_send_message_size": defaults.DefaultMaxSendMsgSize},
			"io.containerd.server.v1.ttrpc":  map[string]any{"address": l.EventAddress(), "uid": 0, "gid": 0},
			"io.containerd.shim.v1.manager":  map[string]any{"socket_dir": l.ShimSocketDir()},
			"io.containerd.metadata.v1.bolt": map[string]any{"content_sharing_policy": "shared"},
		},
	}
}

// raiseLimits takes what the kernel gives: a container can get no more files than its engine, and the engine is the last
// to be killed for memory. Without the capabilities it stays as it is.
func raiseLimits() {
	const files = 1 << 20
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: files, Max: files}); err != nil {
		var have unix.Rlimit
		if unix.Getrlimit(unix.RLIMIT_NOFILE, &have) == nil {
			have.Cur = have.Max
			_ = unix.Setrlimit(unix.RLIMIT_NOFILE, &have)
		}
	}
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("-999"), 0o644)
}

// runtimes are the OCI runtimes on the PATH. None is no reason not to start: images can be loaded without.
func runtimes() []string {
	var found []string
	for _, name := range []string{"crun", "runc"} {
		if path, err := exec.LookPath(name); err == nil {
			found = append(found, path)
		}
	}
	return found
}

// sameVersion holds the shim to this engine's containerd: mixed, they fail at the first container with words that name
// neither ("bootstrap parameters do not match").
func sameVersion(shim string) error {
	hint := "build and install them together: make build, make install"
	info, err := buildinfo.ReadFile(shim)
	if err != nil {
		return finding.Errorf(finding.StatusTryAgain, hint, "start the private engine: read its shim %s: %w", shim, err)
	}
	if got, want := moduleVersion(info), containerdVersion(); got != want {
		return finding.Errorf(finding.StatusTryAgain, hint, "start the private engine: its shim %s is of containerd %s, the engine of %s", shim, got, want)
	}
	return nil
}

func containerdVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return moduleVersion(info)
}

func moduleVersion(info *debug.BuildInfo) string {
	for _, m := range info.Deps {
		if m.Path == "github.com/containerd/containerd/v2" {
			return m.Version
		}
	}
	return "unknown"
}

// removeSockets takes away what would else look like an engine that died.
func removeSockets(l engine.Layout) {
	for _, path := range []string{l.Address(), l.EventAddress(), l.ErrandAddress()} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintln(os.Stderr, "hostrun-engine:", err)
		}
	}
}
