package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"

	"hostrun.dev/hostrun/pattern"
)

// ourSnapshot is how snapshotKey names those of containers.
var ourSnapshot = pattern.New(`^.+-[a-z2-7]{10}$`)

func (g *collector) activeSnapshots(ctx context.Context) ([]snapshots.Info, error) {
	name, err := g.snapshotter(ctx)
	if err != nil {
		return nil, err
	}
	var all []snapshots.Info
	err = g.ctrd.SnapshotService(name).Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if i.Kind == snapshots.KindActive && ourSnapshot.MatchString(i.Name) || strings.HasPrefix(i.Name, viewPrefix) {
			all = append(all, i)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the snapshots: %w", err)
	}
	return all, nil
}

func (g *collector) staleSnapshots(ctx context.Context, active []snapshots.Info) []Garbage {
	used := map[string]bool{}
	for _, r := range g.records {
		used[r.SnapshotKey] = true
	}
	snapshotter, _ := g.snapshotter(ctx) // known by now
	sn := g.ctrd.SnapshotService(snapshotter)
	var all []Garbage
	for _, i := range active {
		if used[i.Name] || alive(i.Labels[labelCreator]) || g.marked(i.Name) {
			continue
		}
		var size int64
		if u, err := sn.Usage(ctx, i.Name); err == nil {
			size = u.Size
		}
		all = append(all, Garbage{Kind: GarbageSnapshot, Name: i.Name, Size: size, Since: &i.Updated, Why: "its container is gone", collect: func(ctx context.Context) error {
			if g.marked(i.Name) {
				return ErrStillUsed
			}
			if some, err := g.ctrd.ContainerService().List(ctx, fmt.Sprintf("snapshotkey==%q", i.Name)); err == nil && len(some) > 0 {
				return ErrStillUsed
			}
			if err := sn.Remove(ctx, i.Name); err != nil && !errdefs.IsNotFound(err) {
				return err
			}
			return nil
		}})
	}
	return all
}

// marked says whether a living process is making the snapshot.
func (g *collector) marked(key string) bool {
	entries, _ := os.ReadDir(g.marks())
	return slices.ContainsFunc(entries, func(e os.DirEntry) bool {
		part := strings.SplitN(e.Name(), "@", 4)
		return len(part) == 4 && part[0] == key && alive(part[3])
	})
}

// othersNamespaces are those of other tools, whose images nobody here may judge.
var othersNamespaces = []string{"moby", "k8s.io", "buildkit", "default"}

func (g *collector) unusedImages(ctx context.Context) []Garbage {
	if g.shared || slices.Contains(othersNamespaces, g.opt.Namespace) {
		return nil
	}
	used := map[string]bool{}
	for _, r := range g.records {
		used[r.Image] = true
	}
	var all []Garbage
	for _, img := range g.images {
		at := img.UpdatedAt
		if used[img.Name] || !g.o.AllImages && !g.old(at) {
			continue
		}
		all = append(all, Garbage{Kind: GarbageImage, Name: img.Name, Size: g.describeImage(ctx, img).Size, Since: &at, Why: "no container is made of it", collect: func(ctx context.Context) error {
			return g.collectImage(ctx, img)
		}})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// collectImage deletes an image while nobody is about to start a container of it, and if nobody has pulled it anew.
func (g *collector) collectImage(ctx context.Context, img images.Image) error {
	alone, err := g.alone(ctx, func() error {
		users, err := g.usersOf(ctx, img.Name)
		if err != nil {
			return err
		}
		now, err := g.ctrd.ImageService().Get(ctx, img.Name)
		switch {
		case errdefs.IsNotFound(err):
			return nil
		case err != nil:
			return err
		case len(users) > 0 || now.Target.Digest != img.Target.Digest || !now.UpdatedAt.Equal(img.UpdatedAt):
			return ErrStillUsed
		}
		return g.ctrd.ImageService().Delete(ctx, img.Name)
	})
	if err == nil && !alone {
		return ErrStillUsed
	}
	return err
}

// staleCache is one entry for all of the cache's files that have not been read for long: a reader makes them anew.
func (g *collector) staleCache() []Garbage {
	if g.opt.CacheDir == "" {
		return nil
	}
	var files []string
	var size int64
	newest := time.Time{}
	_ = filepath.WalkDir(g.opt.CacheDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		fi, err := d.Info()
		if err != nil {
			return nil
		}
		at := fi.ModTime()
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			if read := time.Unix(st.Atim.Unix()); read.After(at) { // a day late at most (mount(8), relatime)
				at = read
			}
		}
		if g.old(at) {
			files, size = append(files, path), size+fi.Size()
			if at.After(newest) {
				newest = at
			}
		}
		return nil
	})
	if len(files) == 0 {
		return nil
	}
	return []Garbage{{Kind: GarbageCache, Name: g.opt.CacheDir, Size: size, Since: &newest, Why: fmt.Sprintf("%d files that nobody has read since", len(files)), collect: func(context.Context) error {
		for _, f := range files {
			if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	}}}
}
