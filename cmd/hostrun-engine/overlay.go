package main

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// refusal is why the kernel mounts no overlay.
type refusal struct{ err error }

func (r refusal) Error() string { return r.err.Error() }

// overlayWorks mounts a small overlay below root, as each container's root will be. containerd's own check mounts
// without an upper directory, and so takes a root for good that is itself an overlay, as in a container: its kernel then
// refuses each container (Documentation/filesystems/overlayfs.rst, "Upper and Lower"). The error is a refusal, or one of
// the disk, which says nothing about overlays.
func overlayWorks(root string) error {
	dir, err := os.MkdirTemp(root, "overlay-probe-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	merged := filepath.Join(dir, "merged")
	options := fmt.Sprintf("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", dir, dir, dir)
	if err := unix.Mount("overlay", merged, "overlay", 0, options); err != nil {
		return refusal{fmt.Errorf("mount an overlay in %s: %w", root, err)}
	}
	return unix.Unmount(merged, unix.MNT_DETACH)
}
