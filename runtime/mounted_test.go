package runtime

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// TestMountedVolume: a volume of mount(8) is mounted once, by its options; another one at its place is an error, and removal unmounts.
func TestMountedVolume(t *testing.T) {
	needRoot(t)
	volume := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(volume, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(volume, unix.MNT_DETACH) })
	d := plan.Directory{Path: volume, Mount: &profiles.VolumeMount{Type: "tmpfs", Device: "tmpfs", Options: []string{"size=1m", "noexec", "mode=0750"}}}
	for range 2 {
		if err := mountVolume(d); err != nil {
			t.Fatal(err)
		}
	}
	mounts, err := mountinfo.GetMounts(mountinfo.SingleEntryFilter(volume))
	if err != nil || len(mounts) != 1 {
		t.Fatal(mounts, err)
	}
	if m := mounts[0]; m.FSType != "tmpfs" || !strings.Contains(m.Options, "noexec") || !strings.Contains(m.VFSOptions, "size=1024k") {
		t.Errorf("%+v", m)
	}
	if err := os.WriteFile(filepath.Join(volume, "kept"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d.Mount.Options = []string{"size=2m"}
	if err := mountVolume(d); err == nil || !strings.Contains(err.Error(), "another file system is mounted") {
		t.Errorf("other options: %v", err)
	}
	if _, err := os.Stat(filepath.Join(volume, "kept")); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := unmountVolume(volume); err != nil {
			t.Fatal(err)
		}
	}
	if mounted, err := mountinfo.Mounted(volume); mounted || err != nil {
		t.Error(mounted, err)
	}
	d.Mount = &profiles.VolumeMount{Type: "nofilesystem", Device: "x"}
	if err := mountVolume(d); err == nil || !strings.Contains(err.Error(), "HR406") {
		t.Errorf("no file system: %v", err)
	}
}

// TestVolumeServer: the kernel wants an address where mount(8) takes a name.
func TestVolumeServer(t *testing.T) {
	data := []string{"ro", "addr=localhost", "nolock"}
	if err := resolveAddress(data); err != nil || data[1] == "addr=localhost" || !strings.HasPrefix(data[1], "addr=") {
		t.Error(data, err)
	}
	if err := resolveAddress([]string{"addr=no.such.host.invalid"}); err == nil {
		t.Error("a name that nobody has")
	}
}
