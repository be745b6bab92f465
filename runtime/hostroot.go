package runtime

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/sys/mountinfo"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/rootfs"
)

// HostRoot reads the machine below root as an image is read: what a container with rootfs: host sees of it, and no more.
func HostRoot(root string, needs plan.ImageNeeds) plan.Image {
	machine := rootfs.Dir(root)
	entries := rootEntries(machine, plan.HostRootPaths())
	view := machine.Only(pathsOf(entries)...)
	entries = slices.DeleteFunc(entries, func(e plan.RootEntry) bool { return !view.Exists(e.Path) })
	img := readFiles(view, plan.Image{}, needs)
	for p := range img.Paths { // the directories that lead there are the container's own
		if !slices.ContainsFunc(entries, func(e plan.RootEntry) bool { return below(img.Paths[p].Real, e.Path) }) {
			delete(img.Paths, p)
		}
	}
	hide(machine, entries)
	img.Root = entries
	return img
}

func pathsOf(entries []plan.RootEntry) []string {
	paths := make([]string, 0, len(entries))
	for _, e := range entries {
		paths = append(paths, e.Path)
	}
	return paths
}

// rootEntries looks up patterns in the machine. What is neither directory, file nor link is left out, and so is what a
// pattern finds and others may not enter: who closed it had a reason.
func rootEntries(machine *rootfs.View, patterns []string) []plan.RootEntry {
	mounts := mountPoints(machine)
	found := map[string]plan.RootEntry{}
	for _, pattern := range patterns {
		for _, p := range expand(machine, pattern) {
			if e, ok := rootEntry(machine, p, p != pattern); ok {
				e.Mounts = mountsBelow(mounts, p)
				found[p] = e
			}
		}
	}
	all := make([]plan.RootEntry, 0, len(found))
	for _, e := range found {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b plan.RootEntry) int { return strings.Compare(a.Path, b.Path) })
	return all
}

// expand returns the paths that match a pattern whose last element alone is one.
func expand(machine *rootfs.View, pattern string) []string {
	if !strings.ContainsAny(pattern, "*[") {
		return []string{pattern}
	}
	entries, err := machine.ReadDir(path.Dir(pattern))
	if err != nil {
		return nil
	}
	var paths []string
	for _, e := range entries {
		if ok, _ := path.Match(path.Base(pattern), e.Name()); ok {
			paths = append(paths, path.Join(path.Dir(pattern), e.Name()))
		}
	}
	return paths
}

func rootEntry(machine *rootfs.View, p string, guessed bool) (plan.RootEntry, bool) {
	const othersRead, othersEnter = 0o004, 0o005
	fi, err := machine.Lstat(p)
	if err != nil {
		return plan.RootEntry{}, false
	}
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		target, err := machine.Readlink(p)
		return plan.RootEntry{Path: p, Link: target}, err == nil
	case fi.IsDir():
		return plan.RootEntry{Path: p, Dir: true}, !guessed || fi.Mode().Perm()&othersEnter == othersEnter
	}
	return plan.RootEntry{Path: p}, fi.Mode().IsRegular() && fi.Mode().Perm()&othersRead != 0
}

// mountPoints are those of the machine (proc(5), /proc/PID/mountinfo).
func mountPoints(machine *rootfs.View) []string {
	text, err := machine.ReadFile("/proc/self/mountinfo", accountLimit)
	if err != nil {
		return nil
	}
	var points []string
	_, _ = mountinfo.GetMountsFromReader(bytes.NewReader(text), func(i *mountinfo.Info) (skip, stop bool) {
		points = append(points, i.Mountpoint)
		return true, false
	})
	slices.Sort(points)
	return slices.Compact(points)
}

func mountsBelow(mounts []string, dir string) []string {
	var found []string
	for _, m := range mounts {
		if m != dir && below(m, dir) {
			found = append(found, m)
		}
	}
	return found
}

func below(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

// rootName is the root directory of a container without an image, in the container's own directory.
const rootName = "own/root"

// ownRoot reports that the container has no snapshot: its root lies in its directory.
func ownRoot(r containers.Container) bool { return r.SnapshotKey == "" }

// rootMounts are what the shim mounts as the root of such a container.
func (c *Client) rootMounts(id string) []mount.Mount {
	return []mount.Mount{{Type: "bind", Source: filepath.Join(c.dir(id), rootName), Options: []string{"rbind", "rw"}}}
}

// noLayerWords are runc's and crun's for an overlay that the kernel refuses: the file system of the upper layer lacks what it
// needs (Documentation/filesystems/overlayfs.rst, "Upper and Lower"), or there is no overlayfs.
var noLayerWords = pattern.New("mounting \"overlay\" to rootfs|mount `overlay` to")

func noLayer(doing string, err error) error {
	return finding.Errorf(finding.StatusFailed, "remove read_only: false from the profile, or keep /var/lib/hostrun on a local ext4 or xfs",
		"%s: the writable layer over the machine's own directories can't be mounted: %w", doing, ociCause(err))
}

// makeRoot makes the root directory, once: of what the container made of it later, no link is followed on the host.
func makeRoot(root *plan.Root) error {
	if root == nil {
		return nil
	}
	if _, err := os.Lstat(root.Path); err == nil {
		return nil
	}
	for _, d := range append([]plan.Directory{{Path: "/", Mode: 0o755}}, root.Directories...) {
		d.Path = filepath.Join(root.Path, d.Path)
		if err := makeDirectory(d); err != nil {
			return err
		}
	}
	for _, l := range root.Links {
		if err := os.Symlink(l.Target, filepath.Join(root.Path, l.Path)); err != nil {
			return fmt.Errorf("make the root directory: %w", err)
		}
	}
	return nil
}
