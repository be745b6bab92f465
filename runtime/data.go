package runtime

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
)

// This file keeps secrets and configs of containers: from the first start to the removal, in memory that is never swapped out.

// dataDir holds them for one container. Nobody but root gets to it.
func (c *Client) dataDir(id string) string {
	return plan.DataDirectory(c.opt.StateDir, c.opt.Namespace, id)
}

// writeData puts the plan's secrets and configs where the spec binds them from. One without a value keeps what is there.
func (c *Client) writeData(pl plan.Plan) error {
	if len(pl.Data) == 0 {
		return nil
	}
	if err := c.mountData(pl.ID); err != nil {
		return err
	}
	for _, d := range pl.Data {
		value, given := pl.Values[d.Path]
		if !given {
			if err := c.keptData(pl.ID, d); err != nil {
				return err
			}
			continue
		}
		if err := writeSecret(d, value); err != nil {
			return fmt.Errorf("container %s: write the %s %s: %w", pl.ID, d.Kind, d.Name, err)
		}
	}
	return nil
}

// mountData mounts a file system for them: ramfs, which is never written to a disk as tmpfs is where there is swap
// (Documentation/filesystems/ramfs-rootfs-initramfs.rst).
func (c *Client) mountData(id string) error {
	dir := c.dataDir(id)
	if err := c.stateDir(dir); err != nil {
		return fmt.Errorf("container %s: make the directory of its secrets: %w", id, err)
	}
	var at unix.Statfs_t
	if unix.Statfs(dir, &at) == nil && at.Type == unix.RAMFS_MAGIC {
		return nil
	}
	if err := unix.Mount("hostrun", dir, "ramfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700"); err != nil {
		return fmt.Errorf("container %s: mount memory for its secrets: %w", id, err)
	}
	return nil
}

// writeSecret writes beside and renames, so that the owner and the mode are right from the first moment on.
func writeSecret(d plan.Data, value []byte) error {
	tmp := d.Path + ".new"
	_ = os.Remove(tmp)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(value)
	err = errors.Join(err, f.Chown(int(d.UID), int(d.GID)), f.Chmod(unixMode(d.Mode, fs.FileMode(d.Mode&0o777))), f.Close())
	if err == nil {
		err = os.Rename(tmp, d.Path)
	}
	if err != nil {
		_ = os.Remove(tmp)
	}
	return err
}

// keptData looks for what an earlier start has written.
func (c *Client) keptData(id string, d plan.Data) error {
	_, err := os.Stat(d.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return finding.Errorf(finding.Explain(finding.DataMissing).ExitStatus, "hostrun up "+id+"\nhostrun explain "+finding.DataMissing,
			"container %s: the %s %s, which came from %s, is not kept over a reboot", id, d.Kind, d.Name, d.From)
	}
	return err
}

// HasData reports whether an earlier start of the container has left a secret or config, so that it need not be had again.
func HasData(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// dataReady sees that what the spec binds is there, for a start without a plan. What came from a file is read again after a reboot.
func (c *Client) dataReady(r containers.Container, spec *specs.Spec) error {
	text := spec.Annotations[plan.AnnotationData]
	if text == "" {
		return nil
	}
	pl := plan.Plan{ID: r.ID, Values: map[string][]byte{}}
	if err := json.Unmarshal([]byte(text), &pl.Data); err != nil {
		return fmt.Errorf("start container %s: read what secrets it has: %w", r.ID, err)
	}
	for _, d := range pl.Data {
		if HasData(d.Path) || d.File == "" {
			continue
		}
		value, err := os.ReadFile(d.File)
		if err != nil {
			return finding.Errorf(finding.StatusNoPath, "hostrun explain "+finding.DataMissing, "start container %s: the %s %s: %w", r.ID, d.Kind, d.Name, err)
		}
		pl.Values[d.Path] = value
	}
	return c.writeData(pl)
}

// dataChanges names the plan's secrets and configs whose content is another one than the container has.
func dataChanges(pl plan.Plan) []string {
	var changed []string
	for _, d := range pl.Data {
		value, given := pl.Values[d.Path]
		if have, err := os.ReadFile(d.Path); given && (err != nil || !bytes.Equal(have, value)) {
			changed = append(changed, d.Kind+" "+d.Name+": another content")
		}
	}
	return changed
}

// removeData takes them out of memory.
func (c *Client) removeData(id string) error {
	dir := c.dataDir(id)
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for unix.Unmount(dir, unix.MNT_DETACH) == nil { // two starts at once may have mounted twice
	}
	err := os.Remove(dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	_ = os.Remove(filepath.Dir(dir)) // of the last one
	if err != nil {
		return fmt.Errorf("remove the secrets of container %s: %w", id, err)
	}
	return nil
}
