package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/containers"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// bindSubpaths keeps the parts of volumes that the container's spec names where it names them. The path of each is followed by the
// kernel within the volume: a link that a container has made there leads nowhere else, and can't be changed in between, for what was
// opened is what is bound (openat2(2), RESOLVE_BENEATH; Linux 5.6).
func (c *Client) bindSubpaths(r containers.Container) error {
	spec, err := specOf(r)
	if err != nil {
		return err
	}
	text := spec.Annotations[plan.AnnotationSubpaths]
	if text == "" {
		return nil
	}
	var all []plan.Subpath
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return fmt.Errorf("start container %s: read which parts of volumes it has: %w", r.ID, err)
	}
	err = c.unbindSubpaths(r.ID)
	if err == nil {
		err = c.stateDir(plan.SubpathDirectory(c.opt.StateDir, c.opt.Namespace, r.ID))
	}
	for i := 0; err == nil && i < len(all); i++ {
		err = bindSubpath(all[i])
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("start container %s: %w", r.ID, errors.Join(err, c.unbindSubpaths(r.ID)))
}

func bindSubpath(s plan.Subpath) error {
	volume, err := unix.Open(s.Volume, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open volume", Path: s.Volume, Err: err}
	}
	defer unix.Close(volume)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(volume, s.Path, &how)
	switch {
	case errors.Is(err, unix.ENOENT):
		return finding.Errorf(finding.StatusNoPath, "make it: mkdir -p "+filepath.Join(s.Volume, s.Path), "volume.subpath %s: the volume %s does not have it", s.Path, filepath.Base(s.Volume))
	case errors.Is(err, unix.EXDEV):
		return finding.Errorf(finding.StatusPermission, "look at the links in "+s.Volume, "volume.subpath %s: it leads out of the volume %s", s.Path, filepath.Base(s.Volume))
	case err != nil:
		return fmt.Errorf("volume.subpath: %w", &fs.PathError{Op: "open", Path: filepath.Join(s.Volume, s.Path), Err: err})
	}
	defer unix.Close(fd)
	var at unix.Stat_t
	if err := unix.Fstat(fd, &at); err != nil {
		return err
	}
	if at.Mode&unix.S_IFMT == unix.S_IFDIR {
		err = os.Mkdir(s.At, 0o700)
	} else {
		err = os.WriteFile(s.At, nil, 0o600)
	}
	if err == nil {
		err = unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fd), s.At, "", unix.MS_BIND|unix.MS_REC, "")
	}
	return err
}

// unbindSubpaths gives them up; most containers have none.
func (c *Client) unbindSubpaths(id string) error {
	dir := plan.SubpathDirectory(c.opt.StateDir, c.opt.Namespace, id)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		at := filepath.Join(dir, e.Name())
		for unix.Unmount(at, unix.MNT_DETACH) == nil { // a start that was killed has left one more
		}
		err = errors.Join(err, os.Remove(at)) // and never what is mounted: only an empty directory or file goes
	}
	if err := errors.Join(err, os.Remove(dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("give up the parts of volumes of container %s: %w", id, err)
	}
	return nil
}
