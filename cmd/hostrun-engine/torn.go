package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/log"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/engine"
)

// removeTorn removes what an engine that was killed in the middle of a removal has left: containerd renames a bundle to a
// hidden name before it removes it, and the next removal of a container of that name fails for ever if that is there
// ("rename ...: file exists"), and with it each start ("mkdir ...: file exists"). It runs before containerd's server.
func removeTorn(l engine.Layout) error {
	var failed []error
	for _, dir := range []string{l.StateDir, l.RootDir} {
		torn, err := filepath.Glob(filepath.Join(dir, "io.containerd.runtime.v2.task", "*", ".?*"))
		if err != nil {
			return err
		}
		for _, path := range torn {
			// The root is unmounted and gone before the renaming. Where one is there, this is something else.
			if _, err := os.Lstat(filepath.Join(path, "rootfs")); errors.Is(err, fs.ErrNotExist) {
				failed = append(failed, os.RemoveAll(path))
			}
		}
	}
	return errors.Join(failed...)
}

// endOrphans ends shims of this engine whose bundle is gone: an engine that was killed while it started them knew no more of
// them, and its successor could only wait for each in vain. What they kept was ended with their bundle.
func endOrphans(l engine.Layout) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		b, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || !ownShim(strings.Split(string(b), "\x00"), l) {
			continue
		}
		cwd, err := os.Readlink(filepath.Join(dir, "cwd"))
		if pid, _ := strconv.Atoi(filepath.Base(dir)); err == nil && pid > 1 && strings.HasSuffix(cwd, " (deleted)") {
			log.L.WithField("pid", pid).WithField("bundle", cwd).Warn("end a shim without a bundle")
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	}
}

func ownShim(args []string, l engine.Layout) bool {
	at := slices.Index(args, "-address")
	return filepath.Base(args[0]) == engine.Shim && at > 0 && at+1 < len(args) && args[at+1] == l.Address()
}
