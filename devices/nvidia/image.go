package nvidia

import (
	"cmp"
	"debug/elf"
	"os"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/rootfs"
)

// A layout is where a container's loader looks for libraries.
type layout struct {
	view   *rootfs.View
	loader string              // glibc's; "" for none, and where the files are not known
	dir    string              // where the driver's libraries are bound: one of the loader's default directories
	libc   string              // "glibc", "musl", "" for none
	known  bool                // the image's files are known
	more   []string            // where they are not: a further directory, of other distributions' loaders
	host   bool                // they are the machine's own: the driver is in place, and nothing can be made in its system directories
	places map[string][]string // library name -> existing paths below any directory that the loader looks into
}

// A platform of the driver's libraries: the loader that programs for it name, and where distributions of it keep libraries.
type architecture struct {
	loader string
	musl   string
	dirs   []string // Debian's multiarch, then RHEL's and SUSE's, then Arch's
}

var architectures = map[elf.Machine]architecture{
	elf.EM_X86_64: {"/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1",
		[]string{"/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"}},
	elf.EM_AARCH64: {"/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1",
		[]string{"/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"}},
}

// architectureOf reads for which machine a library is; x86-64 where that can't be told.
func (m machine) architectureOf(libcuda string) architecture {
	if f, err := m.view.Open(libcuda); err == nil {
		defer f.Close()
		if e, err := elf.NewFile(f); err == nil {
			defer e.Close()
			if a, ok := architectures[e.Machine]; ok {
				return a
			}
		}
	}
	return architectures[elf.EM_X86_64]
}

// layoutOf reads an image's layout. libraryPath is LD_LIBRARY_PATH of the container; names are those of the driver's libraries.
func layoutOf(view *rootfs.View, a architecture, libraryPath []string, names map[string]bool) layout {
	l := layout{view: view, dir: a.dirs[0]}
	if view == nil { // a CDI file for any image: Debian's loaders don't look into lib64, RHEL's and SUSE's nowhere else; of Arch's it is a link
		l.more = []string{"/usr/lib64"}
		return l
	}
	l.known = true
	dirs := slices.Clone(a.dirs)
	switch {
	case view.Exists(a.loader):
		l.libc, l.loader = "glibc", a.loader
		// Its directories alone are wanted: what the cache has is looked at below.
		if s, err := ld.NewSystem(view, a.loader, ld.Options{LoaderCache: []byte{}}); err == nil {
			l.libc, dirs = s.Libc(), s.DefaultDirectories()
			s.Close()
		}
	case view.Exists(a.musl):
		l.libc = "musl"
		return l
	}
	l.dir = libraryDirectory(view, dirs)
	l.places = map[string][]string{}
	seen := map[string]bool{}
	for _, dir := range append(slices.Clone(libraryPath), dirs...) {
		l.addPlaces(dir, names, seen)
	}
	l.addCached(names)
	return l
}

// libraryDirectory is the first default directory below /usr that exists, without links; else the first that exists at all.
func libraryDirectory(view *rootfs.View, dirs []string) string {
	first := ""
	for _, dir := range dirs {
		r, err := view.Resolve(dir)
		if err != nil || !view.IsDir(r.Path) {
			continue
		}
		if strings.HasPrefix(r.Path, "/usr/") {
			return r.Path
		}
		first = cmp.Or(first, r.Path)
	}
	return cmp.Or(first, strings.TrimRight(dirs[0], "/"))
}

// addPlaces notes the names in a directory that the driver brings. Where a path leads does not matter, not even whether: a link that
// dangles, or a file of no bytes, is what an image has that was built with the driver's files mounted.
func (l *layout) addPlaces(dir string, names map[string]bool, seen map[string]bool) {
	r, err := l.view.Resolve(dir)
	if err != nil || seen[r.Path] {
		return
	}
	seen[r.Path] = true
	entries, err := l.view.ReadDir(r.Path)
	if err != nil {
		return
	}
	for _, e := range entries {
		if names[e.Name()] {
			l.places[e.Name()] = append(l.places[e.Name()], path.Join(r.Path, e.Name()))
		}
	}
}

// addCached notes what the image's ld.so.cache has of the names.
func (l *layout) addCached(names map[string]bool) {
	c, err := ld.ReadCache(l.view)
	if err != nil {
		return
	}
	for _, e := range c.Entries {
		if !names[e.Name] {
			continue
		}
		dir, err := l.view.Resolve(path.Dir(e.Path))
		if err != nil {
			continue
		}
		at := path.Join(dir.Path, path.Base(e.Path))
		if _, err := l.view.Lstat(at); err == nil && !slices.Contains(l.places[e.Name], at) {
			l.places[e.Name] = append(l.places[e.Name], at)
		}
	}
}

// destinations are the paths at which a name has to be the host's file: in the loader's default directory, and wherever the
// image has the name already. has is true where the image's own file is the host's: a container on the host's own root.
func (l *layout) destinations(name, below string, source os.FileInfo) (paths []string, has bool) {
	want := path.Join(l.dir, below, name)
	paths = []string{want}
	if !l.known {
		for _, dir := range l.more {
			paths = append(paths, path.Join(dir, below, name))
		}
		return paths, false
	}
	for _, p := range append([]string{want}, l.places[name]...) {
		if l.isSame(p, source) {
			has = true
		} else if p != want {
			paths = append(paths, p)
		}
	}
	if has {
		paths = paths[1:]
	}
	return paths, has
}

func (l *layout) isSame(p string, source os.FileInfo) bool {
	if source == nil {
		return false
	}
	r, err := l.view.Resolve(p)
	if err != nil || r.Real == "" {
		return false
	}
	fi, err := os.Lstat(r.Real)
	return err == nil && os.SameFile(fi, source)
}

// lookup returns the value of a variable, the last one counts.
func lookup(env []string, name string) string {
	value := ""
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}

// libraryPath splits LD_LIBRARY_PATH as the loader does; an empty element is the working directory and is left out.
func libraryPath(env []string) []string {
	value := strings.ReplaceAll(lookup(env, "LD_LIBRARY_PATH"), ";", ":")
	return slices.DeleteFunc(strings.Split(value, ":"), func(s string) bool { return !strings.HasPrefix(s, "/") })
}
