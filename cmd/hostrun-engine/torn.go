package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

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
