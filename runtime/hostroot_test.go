package runtime

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/rootfs"
)

// FuzzMountPoints: no line of a mount table ends the program, and names come back as the kernel meant them.
func FuzzMountPoints(f *testing.F) {
	f.Add("30 1 0:30 / /usr/local rw,relatime shared:5 - tmpfs tmpfs rw\n31 1 0:31 / /a\\040b\\011c rw - ext4 /dev/x rw\n")
	f.Add("30 1 0:30 / /usr\\04 rw - \n\n- - -")
	dir := f.TempDir()
	file := filepath.Join(dir, "proc/self/mountinfo")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		points := mountPoints(rootfs.Dir(dir))
		if !slices.IsSorted(points) || text == "" && points != nil {
			t.Errorf("%q gives %q", text, points)
		}
	})
}

func TestMountPointsWithSpaces(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "proc/self/mountinfo")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	text := "30 1 0:30 / /usr/b rw shared:5 - tmpfs tmpfs rw\n31 1 0:31 / /usr/a\\040b rw - ext4 /dev/x rw\n32 1 0:32 / /usrx rw - tmpfs tmpfs rw\n33 1 0:33 / / rw - tmpfs tmpfs rw\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := mountsBelow(mountPoints(rootfs.Dir(dir)), "/usr"); !slices.Equal(got, []string{"/usr/a b", "/usr/b"}) {
		t.Errorf("mounts below /usr: %q", got)
	}
}

// TestMakeRootOnce: a root that the container has changed is not entered again.
func TestMakeRootOnce(t *testing.T) {
	dir := t.TempDir()
	outside := t.TempDir()
	root := &plan.Root{Path: filepath.Join(dir, "root"), Directories: []plan.Directory{{Path: "/etc", Mode: 0o755}}, Links: []plan.Link{{Path: "/etc/mtab", Target: "../proc/self/mounts"}}}
	if err := makeRoot(root); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(filepath.Join(root.Path, "etc/mtab")); err != nil || target != "../proc/self/mounts" {
		t.Errorf("mtab: %q %v", target, err)
	}
	if err := os.RemoveAll(filepath.Join(root.Path, "etc")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root.Path, "etc")); err != nil {
		t.Fatal(err)
	}
	if err := makeRoot(root); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) > 0 {
		t.Errorf("a link of the container's was followed on the host: %v %v", entries, err)
	}
}
