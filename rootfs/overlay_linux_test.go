package rootfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// mayMakeNodes skips where whiteouts can't be made; with HOSTRUN_REQUIRE_ALL=1 that is a failure.
func mayMakeNodes(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if errors.Is(err, unix.EPERM) && os.Getenv("HOSTRUN_REQUIRE_ALL") != "1" {
		t.Skip("whiteouts and trusted attributes need root: ", err)
	}
	t.Fatal(err)
}

func TestLayersWhiteout(t *testing.T) {
	top := tree(t, "top", "usr/kept", "usr/bin/")
	bottom := tree(t, "bottom", "usr/gone", "usr/kept", "usr/dir/file", "usr/bin/python3")
	for _, p := range []string{"usr/gone", "usr/dir", "usr/bin/python3"} {
		mayMakeNodes(t, unix.Mknod(filepath.Join(top, p), unix.S_IFCHR, 0))
	}
	view := Layers(top, bottom)
	for _, p := range []string{"/usr/gone", "/usr/dir", "/usr/dir/file", "/usr/bin/python3"} {
		if _, err := view.Resolve(p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is behind a whiteout: %v", p, err)
		}
	}
	if got := names(t, view, "/usr"); !slices.Equal(got, []string{"bin", "kept"}) {
		t.Errorf("/usr: %q", got)
	}
	if got := names(t, view, "/usr/bin"); len(got) != 0 {
		t.Errorf("/usr/bin: %q", got)
	}
}

func TestLayersOpaqueDirectory(t *testing.T) {
	for _, attribute := range []string{"trusted.overlay.opaque", "user.overlay.opaque"} {
		top := tree(t, "top", "lib/new")
		middle := tree(t, "middle", "lib/sub/hidden", "etc/seen")
		bottom := tree(t, "bottom", "lib/old", "etc/seen2")
		err := unix.Setxattr(filepath.Join(top, "lib"), attribute, []byte("y"), 0)
		if errors.Is(err, unix.ENOTSUP) && attribute[0] == 'u' {
			continue // tmpfs before Linux 6.6 has no user attributes
		}
		mayMakeNodes(t, err)
		view := Layers(top, middle, bottom)
		for _, p := range []string{"/lib/old", "/lib/sub", "/lib/sub/hidden"} {
			if view.Exists(p) {
				t.Errorf("%s: %s is seen through an opaque directory", attribute, p)
			}
		}
		if got := names(t, view, "/lib"); !slices.Equal(got, []string{"new"}) {
			t.Errorf("/lib: %q", got)
		}
		if got := names(t, view, "/etc"); !slices.Equal(got, []string{"seen", "seen2"}) {
			t.Errorf("/etc: %q", got)
		}
	}
}

// The kernel is the judge: each path of a mounted overlay leads to the same content as in the view.
func TestLayersAgreeWithOverlayfs(t *testing.T) {
	top := tree(t, "top", "a/x", "link -> a/x", "d/f", "file")
	middle := tree(t, "middle", "a/y", "d -> /etc", "file/sub")
	bottom := tree(t, "bottom", "a/z/deep", "d/g", "gone", "file/sub2")
	mayMakeNodes(t, unix.Mknod(filepath.Join(top, "gone"), unix.S_IFCHR, 0))
	mayMakeNodes(t, unix.Mknod(filepath.Join(middle, "a", "z"), unix.S_IFCHR, 0))
	at := t.TempDir()
	err := unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, "lowerdir="+top+":"+middle+":"+bottom)
	mayMakeNodes(t, err)
	t.Cleanup(func() { _ = unix.Unmount(at, unix.MNT_DETACH) })
	view, kernel := Layers(top, middle, bottom), Dir(at)
	for _, p := range []string{"/", "/a", "/a/x", "/a/y", "/a/z", "/a/z/deep", "/link", "/d", "/d/f", "/d/g", "/d/hostname", "/gone", "/file", "/file/sub"} {
		want, got := kernel.Exists(p), view.Exists(p)
		if want != got {
			t.Errorf("%s exists: %t, overlayfs says %t", p, got, want)
		}
		if kernel.IsDir(p) {
			if w, g := names(t, kernel, p), names(t, view, p); !slices.Equal(w, g) {
				t.Errorf("%s: %q, overlayfs says %q", p, g, w)
			}
		} else if w, g := read(t, kernel, p), read(t, view, p); want && w != g {
			t.Errorf("%s: %q, overlayfs says %q", p, g, w)
		}
	}
}
