package runtime

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"hostrun.dev/hostrun/rootfs"
)

// viewPrefix begins the names of the snapshots that exist only while an image is read.
const viewPrefix = "hostrun-view-"

// view gives the image's files, read where containerd's snapshotter keeps them: nothing is mounted unless the
// snapshotter has no directories to show. done leaves nothing behind.
func (c *Client) view(ctx context.Context, name, chainID string) (*rootfs.View, func() error, error) {
	snapshotter, err := c.snapshotter(ctx)
	if err != nil {
		return nil, nil, err
	}
	work, cancel := steady(ctx)
	sn := c.ctrd.SnapshotService(snapshotter)
	c.sweepViews(work, sn)
	key := viewPrefix + rand.Text()
	mounts, err := openView(work, sn, key, chainID)
	if errdefs.IsNotFound(err) {
		if err = c.unpackName(ctx, name); err == nil {
			mounts, err = openView(work, sn, key, chainID)
		}
	}
	if err != nil {
		cancel()
		return nil, nil, fmt.Errorf("view its files: %w", err)
	}
	step("view-made")
	view, unmount, err := viewOf(mounts)
	done := func() error {
		defer cancel()
		unmount()
		if err := sn.Remove(work, key); err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("remove the view of its files: %w", err)
		}
		step("view-removed")
		return nil
	}
	if err != nil {
		_ = done()
		return nil, nil, err
	}
	return view, done, nil
}

// openView makes a view that the garbage collector leaves alone, with the name of its owner for the sweep.
func openView(ctx context.Context, sn snapshots.Snapshotter, key, chainID string) ([]mount.Mount, error) {
	return sn.View(ctx, key, chainID, snapshots.WithLabels(map[string]string{
		labelCreator: creator(), "containerd.io/gc.root": timeLabel(time.Now())}))
}

// sweepViews removes the views of killed processes.
func (c *Client) sweepViews(ctx context.Context, sn snapshots.Snapshotter) {
	var dead []string
	_ = sn.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if strings.HasPrefix(i.Name, viewPrefix) && !alive(i.Labels[labelCreator]) {
			dead = append(dead, i.Name)
		}
		return nil
	}, `labels."`+labelCreator+`"`)
	for _, key := range dead {
		_ = sn.Remove(ctx, key)
	}
}

// viewOf reads the directories out of an overlay or bind mount; anything else is mounted read-only for the moment.
func viewOf(mounts []mount.Mount) (view *rootfs.View, unmount func(), err error) {
	nothing := func() {}
	if len(mounts) == 1 {
		switch m := mounts[0]; m.Type {
		case "bind":
			return rootfs.Dir(m.Source), nothing, nil
		case "overlay":
			if dirs := lowerDirs(m.Options); len(dirs) > 0 {
				return rootfs.Layers(dirs...), nothing, nil
			}
		}
	}
	return tempMount(mounts)
}

// lowerDirs splits lowerdir=, in which a colon or backslash of a name is escaped (Documentation/filesystems/overlayfs.rst).
func lowerDirs(options []string) []string {
	for _, o := range options {
		list, ok := strings.CutPrefix(o, "lowerdir=")
		if !ok {
			continue
		}
		var dirs []string
		var dir strings.Builder
		for i := 0; i < len(list); i++ {
			switch {
			case list[i] == '\\' && i+1 < len(list):
				i++
				dir.WriteByte(list[i])
			case list[i] == ':':
				dirs = append(dirs, dir.String())
				dir.Reset()
			default:
				dir.WriteByte(list[i])
			}
		}
		return append(dirs, dir.String())
	}
	return nil
}

func tempMount(mounts []mount.Mount) (*rootfs.View, func(), error) {
	dir, err := os.MkdirTemp("", "hostrun-view-")
	if err != nil {
		return nil, func() {}, err
	}
	if err := mount.All(readOnly(mounts), dir); err != nil {
		_ = mount.UnmountAll(dir, 0)
		_ = os.Remove(dir)
		return nil, func() {}, fmt.Errorf("mount its files: %w", err)
	}
	return rootfs.Dir(dir), func() {
		_ = mount.UnmountAll(dir, 0)
		_ = os.Remove(dir) // never RemoveAll: if it is still mounted, the files are the image's
	}, nil
}

func readOnly(mounts []mount.Mount) []mount.Mount {
	var ro []mount.Mount
	for _, m := range mounts {
		m.Options = append([]string{"ro"}, m.Options...)
		ro = append(ro, m)
	}
	return ro
}
