package rootfs

import "golang.org/x/sys/unix"

// isOpaque reports whether dir hides the directories of the same name below it: the attribute trusted.overlay.opaque,
// or user.overlay.opaque of unprivileged mounts (Documentation/filesystems/overlayfs.rst, "whiteouts and opaque directories").
func isOpaque(dir string) bool {
	for _, name := range []string{"trusted.overlay.opaque", "user.overlay.opaque"} {
		var b [2]byte
		if n, err := unix.Lgetxattr(dir, name, b[:]); err == nil && n == 1 && b[0] == 'y' {
			return true
		}
	}
	return false
}
