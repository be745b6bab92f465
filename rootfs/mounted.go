package rootfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Mount shows a directory or a file of this machine inside a view, as a bind mount does.
type Mount struct {
	Source      string // on this machine; links in it are followed here
	Destination string // inside the view
}

// Mounted returns base with mounts on it, in the order given: a later one hides what is at or below its destination,
// earlier mounts included. Destinations are resolved inside the tree, and taken as made where they are absent, as
// runtimes do.
func Mounted(base *View, mounts ...Mount) (*View, error) {
	v := &View{layers: base.layers, only: base.only, mounts: slices.Clone(base.mounts)}
	for _, m := range mounts {
		source, err := filepath.EvalSymlinks(m.Source)
		if err != nil {
			return nil, fmt.Errorf("mount source %s: %w", m.Source, err)
		}
		at, err := v.mountPoint(m.Destination, 0)
		if err != nil {
			return nil, fmt.Errorf("mount point %s: %w", m.Destination, err)
		}
		v.mounts = slices.DeleteFunc(v.mounts, func(old Mount) bool { return within(old.Destination, at) })
		v.mounts = append(v.mounts, Mount{Source: source, Destination: at})
	}
	return v, nil
}

// mountPoint resolves a destination as runtimes do: what is absent is made, also behind a dangling link.
func (v *View) mountPoint(p string, hops int) (string, error) {
	r, err := v.Resolve(p)
	if err == nil {
		return r.Path, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if hops++; hops > MaxLinks {
		return "", ErrTooManyLinks
	}
	if target, err := v.Readlink(p); err == nil {
		if !strings.HasPrefix(target, "/") {
			target = path.Dir(clean(p)) + "/" + target
		}
		return v.mountPoint(target, hops)
	}
	dir, err := v.mountPoint(path.Dir(clean(p)), 0)
	return path.Join(dir, path.Base(clean(p))), err
}

// inMount returns where on this machine p lies when a mount covers it: the innermost one does.
func (v *View) inMount(p string) (string, bool) {
	var best Mount
	for _, m := range v.mounts {
		if within(p, m.Destination) && len(m.Destination) > len(best.Destination) {
			best = m
		}
	}
	if best.Destination == "" {
		return "", false
	}
	return filepath.Join(best.Source, strings.TrimPrefix(p, best.Destination)), true
}

// leadsToMount reports whether p is a parent of a mount's destination.
func (v *View) leadsToMount(p string) bool {
	return slices.ContainsFunc(v.mounts, func(m Mount) bool { return m.Destination != p && within(m.Destination, p) })
}

// withMounts adds to the entries of the directory dir what mounts put there.
func (v *View) withMounts(dir string, entries []fs.DirEntry) []fs.DirEntry {
	for _, m := range v.mounts {
		if m.Destination == dir || !within(m.Destination, dir) {
			continue
		}
		rest := strings.TrimPrefix(strings.TrimPrefix(m.Destination, dir), "/")
		name, _, deeper := strings.Cut(rest, "/")
		i, found := slices.BinarySearchFunc(entries, name, func(e fs.DirEntry, n string) int { return strings.Compare(e.Name(), n) })
		if found && deeper {
			continue
		}
		fi, err := v.Stat(path.Join(dir, name))
		if err != nil {
			continue // the source has vanished
		}
		entry := fs.FileInfoToDirEntry(named{fi, name})
		if found {
			entries[i] = entry
		} else {
			entries = slices.Insert(entries, i, entry)
		}
	}
	return entries
}

// describe is lstat of what was resolved.
func (v *View) describe(r Resolved) (fs.FileInfo, error) {
	if r.Real == "" {
		return madeDirectory(path.Base(r.Path)), nil
	}
	return os.Lstat(r.Real)
}

// named is a file under the name that it has in the view.
type named struct {
	fs.FileInfo
	name string
}

func (n named) Name() string { return n.name }

// A madeDirectory is one that the runtime makes on the way to a mount.
type madeDirectory string

func (d madeDirectory) Name() string     { return string(d) }
func (madeDirectory) Size() int64        { return 0 }
func (madeDirectory) Mode() fs.FileMode  { return fs.ModeDir | 0o755 }
func (madeDirectory) ModTime() time.Time { return time.Time{} }
func (madeDirectory) IsDir() bool        { return true }
func (madeDirectory) Sys() any           { return nil }

// Covered says that the path p, as it is written, lies in a mount.
func (v *View) Covered(p string) bool {
	_, ok := v.inMount(clean(p))
	return ok
}
