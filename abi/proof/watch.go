package proof

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/rootfs"
)

// watched are the files of this machine behind paths of the view: those of an image do not change. A name with a
// newline can't be listed, and its directory is.
func (c Cache) watched(view *rootfs.View, report Report) watched {
	f := finder{cache: c, view: view, dirs: map[string]place{}}
	var files []string
	add := func(real string) {
		for strings.ContainsRune(real, '\n') {
			real = filepath.Dir(real)
		}
		if real != "" {
			files = append(files, real)
		}
	}
	for _, p := range report.Watch {
		if real := report.real[p]; real != "" {
			add(c.shown(real))
			continue
		}
		add(f.real(p))
	}
	for _, p := range report.HostWatch {
		add(p)
	}
	return watch(files)
}

// A finder finds files of this machine behind paths of a view, and remembers their directories: there are some of the
// former in each of the latter.
type finder struct {
	cache Cache
	view  *rootfs.View
	dirs  map[string]place
}

// A place is a directory of the view, and where on this machine all of it lies, "" for nowhere.
type place struct {
	rootfs.Resolved
	single string
	err    error // it leads nowhere
}

// real is the file of this machine at a path, or where it would be; "" for what is the image's.
func (f *finder) real(p string) string {
	r, err := f.resolve(p)
	if err != nil {
		return f.missing(p)
	}
	return f.cache.shown(r.Real)
}

// shown is a file of this machine if a mount shows it, or the root is this machine's own; "" else.
func (c Cache) shown(real string) string {
	if c.Image == "" || slices.ContainsFunc(c.Mounts, func(m rootfs.Mount) bool { return below(real, m.Source) }) {
		return real
	}
	return ""
}

func (f *finder) resolve(p string) (rootfs.Resolved, error) {
	if p = path.Clean(p); p == "/" {
		return f.view.Resolve(p)
	}
	at, err := f.place(path.Dir(p))
	if err != nil {
		return at.Resolved, err
	}
	return f.in(at, path.Base(p))
}

// place resolves a directory by its parent, which most have in common.
func (f *finder) place(dir string) (at place, err error) {
	at, known := f.dirs[dir]
	if known {
		return at, at.err
	}
	defer func() { at.err = err; f.dirs[dir] = at }()
	if dir == "/" {
		at.Resolved, err = f.view.Resolve(dir)
	} else {
		var parent place
		if parent, err = f.place(path.Dir(dir)); err == nil {
			at.Resolved, err = f.in(parent, path.Base(dir))
			if parent.single != "" && at.Real == filepath.Join(parent.single, path.Base(dir)) {
				at.single = at.Real // what lies in such a one, and is no link, is one too
				return at, err
			}
		}
	}
	if err == nil {
		at.single, _ = f.view.Single(at.Resolved)
	}
	return at, err
}

// in resolves a name in a directory.
func (f *finder) in(at place, name string) (rootfs.Resolved, error) {
	if at.single != "" {
		real := filepath.Join(at.single, name)
		var st unix.Stat_t
		if unix.Lstat(real, &st) == nil && st.Mode&unix.S_IFMT != unix.S_IFLNK {
			return rootfs.Resolved{Path: path.Join(at.Path, name), Real: real}, nil
		}
	}
	return f.view.ResolveIn(at.Path, name)
}

// missing is where a path that leads nowhere would lie in a mount.
func (f *finder) missing(p string) string {
	var best rootfs.Mount
	for _, m := range f.cache.Mounts {
		if below(p, m.Destination) && len(m.Destination) > len(best.Destination) {
			best = m
		}
	}
	if best.Destination == "" {
		return ""
	}
	return filepath.Join(best.Source, strings.TrimPrefix(p, best.Destination))
}

func below(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir) && p[len(dir)] == '/'
}

// Identity tells a file of this machine apart from another one that takes its place: for Cache.Given.
func Identity(file string) string {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return file + ": " + err.Error()
	}
	return fmt.Sprintf("%s: %d %d %o", file, st.Dev, st.Ino, st.Mode)
}
