package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// This file mounts what a volume with driver_opts is. It stays mounted, for whoever starts a container with it next, until down -v
// removes the volume, or the machine ends.

// mountedMark is a file beside a volume that says what hostrun has mounted at it: what a person mounts there is the person's.
func mountedMark(volume string) string {
	return filepath.Join(filepath.Dir(volume), ".mounted-"+filepath.Base(volume)) // no volume's name begins with a dot
}

// mountVolume mounts the file system of a volume, unless it is. The directory is there. Whoever comes second waits for the first.
func mountVolume(d plan.Directory) error {
	said, err := json.Marshal(d.Mount)
	if err != nil {
		return fmt.Errorf("mount volume %s: %w", d.Path, err)
	}
	mark, err := os.OpenFile(mountedMark(d.Path), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("mount volume: %w", err)
	}
	defer mark.Close()
	if err := unix.Flock(int(mark.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("mount volume %s: lock: %w", d.Path, err)
	}
	mounted, err := mountinfo.Mounted(d.Path)
	if err != nil {
		return fmt.Errorf("mount volume %s: %w", d.Path, err)
	}
	if mounted {
		have, err := os.ReadFile(mark.Name())
		switch {
		case err != nil:
			return fmt.Errorf("mount volume %s: %w", d.Path, err)
		case string(have) != string(said):
			return finding.Errorf(finding.StatusTryAgain, "umount "+d.Path+", once nothing uses it", "%s: volume %s: another file system is mounted at %s", finding.VolumeUnmounted, filepath.Base(d.Path), d.Path)
		}
		return nil
	}
	if err := mountAt(d.Path, *d.Mount); err != nil {
		return finding.Errorf(finding.StatusTryAgain, "try it by hand: mount -t "+d.Mount.Type+" -o "+strings.Join(d.Mount.Options, ",")+" "+d.Mount.Device+" "+d.Path,
			"%s: volume %s: mount %s of type %s: %v", finding.VolumeUnmounted, filepath.Base(d.Path), d.Mount.Device, d.Mount.Type, err)
	}
	if err := errors.Join(mark.Truncate(0), writeAt(mark, said)); err != nil {
		return fmt.Errorf("mount volume %s: %w", d.Path, errors.Join(err, unix.Unmount(d.Path, 0)))
	}
	return nil
}

func writeAt(f *os.File, text []byte) error {
	_, err := f.WriteAt(text, 0)
	return err
}

// volumeFlags are the options of mount(8) that are flags of mount(2). The others are the file system's own.
var volumeFlags = map[string]struct {
	set, clear uintptr
}{
	"defaults": {}, "rw": {clear: unix.MS_RDONLY}, "ro": {set: unix.MS_RDONLY}, "suid": {clear: unix.MS_NOSUID}, "nosuid": {set: unix.MS_NOSUID},
	"dev": {clear: unix.MS_NODEV}, "nodev": {set: unix.MS_NODEV}, "exec": {clear: unix.MS_NOEXEC}, "noexec": {set: unix.MS_NOEXEC},
	"sync": {set: unix.MS_SYNCHRONOUS}, "async": {clear: unix.MS_SYNCHRONOUS}, "dirsync": {set: unix.MS_DIRSYNC}, "mand": {set: unix.MS_MANDLOCK}, "nomand": {clear: unix.MS_MANDLOCK},
	"atime": {clear: unix.MS_NOATIME}, "noatime": {set: unix.MS_NOATIME}, "diratime": {clear: unix.MS_NODIRATIME}, "nodiratime": {set: unix.MS_NODIRATIME},
	"relatime": {set: unix.MS_RELATIME}, "norelatime": {clear: unix.MS_RELATIME}, "strictatime": {set: unix.MS_STRICTATIME}, "nostrictatime": {clear: unix.MS_STRICTATIME},
}

func mountAt(path string, m profiles.VolumeMount) error {
	var flags uintptr
	var data []string
	for _, option := range m.Options {
		f, known := volumeFlags[option]
		if !known {
			data = append(data, option)
			continue
		}
		flags = flags&^f.clear | f.set
	}
	if strings.HasPrefix(m.Type, "nfs") || m.Type == "cifs" {
		if err := resolveAddress(data); err != nil {
			return err
		}
	}
	return unix.Mount(m.Device, path, m.Type, flags, strings.Join(data, ","))
}

// resolveAddress puts an address for the name in addr=: the kernel knows none (moby, volume/local/local_unix.go, does the same).
func resolveAddress(data []string) error {
	for i, option := range data {
		name, ok := strings.CutPrefix(option, "addr=")
		if !ok || net.ParseIP(name) != nil {
			continue
		}
		address, err := net.ResolveIPAddr("ip", name)
		if err != nil {
			return fmt.Errorf("find the server: %w", err)
		}
		data[i] = "addr=" + address.String()
	}
	return nil
}

// unmountVolume takes away what hostrun has mounted at a volume, if it has.
func unmountVolume(volume string) error {
	if _, err := os.Lstat(mountedMark(volume)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	mounted, err := mountinfo.Mounted(volume)
	if err == nil && mounted {
		err = unix.Unmount(volume, unix.UMOUNT_NOFOLLOW)
	}
	if err == nil {
		err = os.Remove(mountedMark(volume))
	}
	if err != nil {
		return fmt.Errorf("unmount volume %s: %w", volume, err)
	}
	return nil
}
