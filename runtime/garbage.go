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
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	taskapi "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/network"
)

// Kinds of garbage, in the order in which it is collected: what frees something else comes first.
const (
	GarbageContainer = "container" // half made or half removed; with Stopped one that has ended long ago
	GarbageMount     = "mount"     // of a container that is gone
	GarbageNetwork   = "network"   // addresses, ports and rules of a container that is gone
	GarbageFiles     = "files"     // log and generated files of a container that is gone
	GarbageSnapshot  = "snapshot"  // of a container that is gone
	GarbageImage     = "image"     // that no container is made of
	GarbageCache     = "cache"     // entries that nobody has read for long
)

// Garbage is one thing that is hostrun's and that nothing needs any more. Its JSON form is part of the contract.
type Garbage struct {
	Schema int        `json:"schema"` // 1
	Kind   string     `json:"kind"`
	Name   string     `json:"name"`
	Size   int64      `json:"size"`            // bytes that it takes, as far as that is known
	Since  *time.Time `json:"since,omitempty"` // it was last used or made
	Why    string     `json:"why"`

	collect func(ctx context.Context) error // looks again, and removes it
}

// ErrStillUsed says that garbage has come into use since it was found. It stays.
var ErrStillUsed = errors.New("it is in use by now")

// GCOptions say how far a collection goes.
type GCOptions struct {
	OlderThan time.Duration // images and cache entries that were made or used earlier
	AllImages bool          // every image without a container, however new
	Stopped   bool          // also containers that have ended earlier than OlderThan
	// Elsewhere says whether a container of that name lives in another containerd, whose files lie in the same directories;
	// nil says that not all of them could be asked: then no files are looked at.
	Elsewhere func(id string) bool
	Asked     []string // sockets of the containerds that Elsewhere asks
	Now       time.Time
}

// A collector looks for garbage against one picture of what there is.
type collector struct {
	*Client
	o       GCOptions
	records map[string]containers.Container
	running map[string]*taskapi.Process
	images  []images.Image
	shared  bool // others have containers in the namespace
}

// Garbage lists what a collection would remove, in its order. Nothing is changed. The order of the looks matters: what is
// found first and has no record then was never about to get one, or somebody holds its lock.
func (c *Client) Garbage(ctx context.Context, o GCOptions) ([]Garbage, error) {
	ctx = c.in(ctx)
	g := &collector{Client: c, o: o}
	dirs := g.directories()
	active, err := g.activeSnapshots(ctx)
	if err != nil {
		return nil, err
	}
	mounts := g.mounts()
	if err := g.look(ctx); err != nil {
		return nil, err
	}
	var all []Garbage
	all = append(all, g.containers()...)
	all = append(all, g.staleMounts(mounts)...)
	all = append(all, g.staleNetworks()...)
	all = append(all, g.staleFiles(dirs)...)
	all = append(all, g.staleSnapshots(ctx, active)...)
	all = append(all, g.unusedImages(ctx)...)
	all = append(all, g.staleCache()...)
	for i := range all {
		all[i].Schema = 1
	}
	return all, nil
}

// Collect removes garbage that Garbage has found, if it still is some.
func (c *Client) Collect(ctx context.Context, g Garbage) error {
	work, cancel := steady(c.in(ctx))
	defer cancel()
	err := g.collect(work)
	switch {
	case errors.Is(err, ErrBusy):
		return ErrStillUsed
	case err != nil && !errors.Is(err, ErrStillUsed):
		return fmt.Errorf("remove %s %s: %w", g.Kind, g.Name, err)
	}
	return err
}

func (g *collector) look(ctx context.Context) error {
	records, err := g.ctrd.ContainerService().List(ctx)
	if err != nil {
		return fmt.Errorf("list the containers: %w", err)
	}
	listed, err := g.ctrd.TaskService().List(ctx, &tasks.ListTasksRequest{})
	if err = native(err); err != nil {
		return fmt.Errorf("list the tasks: %w", err)
	}
	if g.images, err = g.ctrd.ImageService().List(ctx); err != nil {
		return fmt.Errorf("list the images: %w", err)
	}
	g.records, g.running = map[string]containers.Container{}, map[string]*taskapi.Process{}
	for _, p := range listed.GetTasks() {
		g.running[p.ID] = p
	}
	g.addGivenUp(ctx, records, g.running)
	for _, r := range records {
		g.records[r.ID] = r
		g.shared = g.shared || foreign(r)
	}
	return nil
}

// gone says whether there is nothing of that name, in any containerd.
func (g *collector) gone(id string) bool {
	_, recorded := g.records[id]
	_, runs := g.running[id]
	return !recorded && !runs && !g.elsewhere(id) && !g.locked(id)
}

// elsewhere says whether another containerd has, or may have, a container of that name: also one that is away and can't be asked, whose
// shims go on, and whose stopped containers want their files again.
func (g *collector) elsewhere(id string) bool {
	return g.o.Elsewhere == nil || g.o.Elsewhere(id) || g.unasked(id)
}

func (g *collector) unasked(id string) bool {
	for _, address := range []string{g.madeIn(id), Shims(g.opt.Namespace)[id]} {
		if address != "" && address != g.opt.Address && !slices.Contains(g.o.Asked, address) {
			return true
		}
	}
	return false
}

// underLock calls fn with the lock of a name that still has no container.
func (g *collector) underLock(ctx context.Context, id string, fn func() error) error {
	l, err := g.tryLock(id)
	if err != nil {
		return err
	}
	defer l.unlock()
	_, err = g.ctrd.ContainerService().Get(ctx, id)
	switch {
	case err == nil || g.elsewhere(id):
		return ErrStillUsed
	case !errdefs.IsNotFound(err):
		return err
	}
	return fn()
}

func (g *collector) old(at time.Time) bool { return g.o.Now.Sub(at) > g.o.OlderThan }

func (g *collector) containers() []Garbage {
	var all []Garbage
	for id, r := range g.records {
		task := g.running[id]
		switch {
		case foreign(r) || g.locked(id):
		case abandoned(r):
			all = append(all, Garbage{Kind: GarbageContainer, Name: id, Size: sizeOf(g.dir(id)), Since: &r.UpdatedAt, Why: "what made or removed it was killed",
				collect: func(ctx context.Context) error { return g.sweepOne(ctx, id) }})
		case g.o.Stopped && r.Labels[labelState] == stateReady && !runs(task):
			end := describe(r, task)
			if end.FinishedAt == nil || !g.old(*end.FinishedAt) || end.RestartAt != nil {
				continue
			}
			all = append(all, Garbage{Kind: GarbageContainer, Name: id, Size: sizeOf(g.dir(id)), Since: end.FinishedAt, Why: "it has ended",
				collect: func(ctx context.Context) error { return g.Remove(ctx, id, false) }})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// mounts are those that bear the namespace and a container's name: roots in bundles of shims, and what lies in our directories.
func (g *collector) mounts() map[string][]string {
	all := map[string][]string{}
	_, _ = mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		if id, ok := strings.CutSuffix(i.Mountpoint, "/rootfs"); ok && filepath.Base(filepath.Dir(id)) == g.opt.Namespace && strings.Contains(id, "io.containerd.runtime.v2.task") {
			all[filepath.Base(id)] = append(all[filepath.Base(id)], i.Mountpoint)
		}
		for _, dir := range []string{filepath.Join(g.opt.DataDir, "containers", g.opt.Namespace), filepath.Join(g.opt.StateDir, "io", g.opt.Namespace)} {
			if rest, ok := strings.CutPrefix(i.Mountpoint, dir+"/"); ok {
				id, _, _ := strings.Cut(rest, "/")
				all[id] = append(all[id], i.Mountpoint)
			}
		}
		return true, false
	})
	return all
}

func (g *collector) staleMounts(found map[string][]string) []Garbage {
	var all []Garbage
	for id, points := range found {
		if !g.gone(id) {
			continue
		}
		all = append(all, Garbage{Kind: GarbageMount, Name: points[0], Why: "container " + id + " is gone", collect: func(ctx context.Context) error {
			return g.underLock(ctx, id, func() error {
				err := g.endOrphanShims(ctx, id)
				for _, p := range slices.Backward(points) {
					if e := unix.Unmount(p, unix.MNT_DETACH); e != nil && !errors.Is(e, unix.EINVAL) && !errors.Is(e, unix.ENOENT) { // gone with its shim
						err = errors.Join(err, e)
					}
				}
				return err
			})
		}})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

func (g *collector) staleNetworks() []Garbage {
	var all []Garbage
	for _, id := range g.kernel().IDs(g.opt.Namespace) {
		if p := g.running[id]; p != nil && p.Status != taskapi.Status_STOPPED || !g.ownsNetwork(id) || g.locked(id) || g.unasked(id) {
			continue
		}
		if r, ok := g.records[id]; ok && (r.Labels[labelState] != stateReady || r.Labels[labelOneOff] != "") {
			continue // its maker lives, or it is garbage itself
		}
		e, _ := g.kernel().Entry(g.networkKey(id))
		why := "container " + id + " does not run"
		if words := network.Words(e.Bindings); len(words) > 0 {
			why += "; " + strings.Join(words, ", ")
		}
		all = append(all, Garbage{Kind: GarbageNetwork, Name: id, Why: why, collect: func(ctx context.Context) error { return g.sweepNetwork(ctx, id) }})
	}
	return all
}

// directories are the names that have files on the host.
func (g *collector) directories() map[string][]string {
	all := map[string][]string{}
	for _, dir := range []string{filepath.Join(g.opt.DataDir, "containers", g.opt.Namespace), filepath.Join(g.opt.StateDir, "io", g.opt.Namespace), filepath.Dir(g.anonymousDir("x"))} {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			all[e.Name()] = append(all[e.Name()], filepath.Join(dir, e.Name()))
		}
	}
	return all
}

// lenders are the names whose volumes without a name some container has, its own or those of another one (volumes_from).
func (g *collector) lenders() map[string]bool {
	all := map[string]bool{}
	for _, r := range g.records {
		spec, err := specOf(r)
		if err != nil {
			continue
		}
		for _, m := range spec.Mounts {
			if rest, inside := strings.CutPrefix(m.Source, filepath.Dir(g.anonymousDir("x"))+"/"); inside {
				id, _, _ := strings.Cut(rest, "/")
				all[id] = true
			}
		}
	}
	return all
}

func (g *collector) staleFiles(found map[string][]string) []Garbage {
	var all []Garbage
	lenders := g.lenders()
	for id, dirs := range found {
		if !g.gone(id) || lenders[id] {
			continue
		}
		var size int64
		var since *time.Time
		for _, dir := range dirs {
			size += sizeOf(dir)
			if fi, err := os.Lstat(dir); err == nil {
				at := fi.ModTime()
				since = &at
			}
		}
		all = append(all, Garbage{Kind: GarbageFiles, Name: dirs[0], Size: size, Since: since, Why: "container " + id + " is gone", collect: func(ctx context.Context) error {
			return g.underLock(ctx, id, func() error { return errors.Join(g.removeFiles(id), os.RemoveAll(g.anonymousDir(id))) })
		}})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// sizeOf adds up what a directory takes on the disk, without what is mounted below it.
func sizeOf(dir string) int64 {
	var top, st unix.Stat_t
	if unix.Lstat(dir, &top) != nil {
		return 0
	}
	var size int64
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || unix.Lstat(path, &st) != nil {
			return nil
		}
		if d.IsDir() && st.Dev != top.Dev {
			return fs.SkipDir
		}
		size += st.Blocks * 512
		return nil
	})
	return size
}

// Settle has containerd free what no image and no container names any more, and waits for it.
func (c *Client) Settle(ctx context.Context) error {
	_, release, err := c.leased(c.in(ctx))
	if err != nil {
		return err
	}
	release()
	return nil
}
