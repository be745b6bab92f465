// Package stage finds the libraries that a container lacks and its host has, and that may be lent to it: by an ld.so.cache
// with more entries, and never by a search path. What the container has of its own always goes first, the C library's own
// family never moves (it fits its loader alone), and no library is lent that would not load in the container.
package stage

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/rootfs"
)

// A Library is one that the host lends.
type Library struct {
	Name    string `json:"name"`              // by which programs ask for it
	Source  string `json:"source"`            // on the host, links followed
	Path    string `json:"path"`              // in the container
	Bytes   int64  `json:"bytes"`             // of the file
	For     string `json:"for"`               // the module that asked first
	Instead string `json:"instead,omitempty"` // the container's own file, which is too old
}

// A Refusal says why a library of the host is not lent.
type Refusal struct {
	Name string `json:"name"`
	For  string `json:"for"`
	Why  string `json:"why"`
}

// A Lender lends from one file tree to another one. It is for one goroutine.
type Lender struct {
	to, from *ld.System
	host     *rootfs.View
	root     string // directory of the container below which the host's paths lie
	lent     map[string]Library
	refused  map[string]Refusal
	order    []string          // of both
	used     map[string]bool   // files of the host, by their path there
	replaced map[string]string // lent name -> what ld.so.cache had before
	pending  map[string]bool   // names that are being examined
}

// New makes a lender from a host, whose files are at its own paths below root in the container. The error says why nothing can
// be lent at all.
func New(to, from *ld.System, host *rootfs.View, root string) (*Lender, error) {
	switch {
	case to.Libc() != "glibc":
		return nil, fmt.Errorf("the container's C library is %s, and the host's libraries are made for glibc", to.Libc())
	case from.Libc() != "glibc":
		return nil, fmt.Errorf("the host's C library is %s, and the container's programs are made for glibc", from.Libc())
	case !to.SameMachine(from):
		return nil, fmt.Errorf("host and container are for different machines")
	}
	if _, known := to.CacheFlags(); !known {
		return nil, fmt.Errorf("how ld.so.cache marks libraries of this machine is not known")
	}
	return &Lender{to: to, from: from, host: host, root: root, lent: map[string]Library{}, refused: map[string]Refusal{}, used: map[string]bool{},
		replaced: map[string]string{}, pending: map[string]bool{}}, nil
}

// family are the libraries that glibc installs. They know each other's private parts (GLIBC_PRIVATE): one of another build
// ends every process with "symbol lookup error".
var family = []string{"libc", "libm", "libpthread", "libdl", "librt", "libutil", "libresolv", "libanl", "libmvec", "libnsl", "libcrypt",
	"libthread_db", "libBrokenLocale", "libnss_", "libSegFault", "libmemusage", "libpcprofile", "libc_malloc_debug", "ld-linux", "ld64", "ld", "linux-vdso"}

// Never says that a library is the C library's own, by its name. libcrypt and libnsl are no longer glibc's since they
// became projects of their own (so version 2 and later).
func Never(name string) bool {
	stem, version, _ := strings.Cut(path.Base(name), ".so")
	switch {
	case (stem == "libcrypt" || stem == "libnsl") && version != ".1":
		return false
	case strings.HasPrefix(stem, "ld-linux"):
		return true
	case strings.HasPrefix(stem, "libnss_"):
		return slices.Contains([]string{"libnss_files", "libnss_dns", "libnss_compat", "libnss_db", "libnss_hesiod", "libnss_nis", "libnss_nisplus"}, stem)
	}
	stem, _, _ = strings.Cut(stem, "-2.") // libc-2.31.so, as releases before 2.34 name the file
	return slices.Contains(family, stem)
}

// Missing lends the library name, and what it needs in turn and the container lacks. True when the container has more now
// than before.
func (l *Lender) Missing(name, module string) bool {
	if l.known(name) {
		return false
	}
	if why := l.take(name, module, nil); why != "" {
		l.refuse(name, module, why)
		return false
	}
	return true
}

// Newer lends the host's build of the library that the container has at own and that lacks a version which is asked of it.
func (l *Lender) Newer(name, own, version, module string) bool {
	if l.known(name) {
		return false
	}
	add := map[string]Library{}
	why := "the container takes " + own + ", which no entry of ld.so.cache comes before"
	if at, ok := l.to.Find(name); ok && at.Path == own {
		why = l.instead(name, own, version, module, add)
	}
	if why != "" {
		l.refuse(name, module, why)
		return false
	}
	l.commit(add)
	return true
}

func (l *Lender) known(name string) bool {
	_, lent := l.lent[name]
	_, refused := l.refused[name]
	return lent || refused
}

func (l *Lender) refuse(name, module, why string) {
	l.refused[name] = Refusal{name, module, why}
	l.order = append(l.order, name)
}

// Withdraw takes a library back that turned out not to load as it should.
func (l *Lender) Withdraw(name, why string) {
	have, ok := l.lent[name]
	if !ok {
		return
	}
	delete(l.lent, name)
	l.to.Unlend(name, l.replaced[name])
	l.refused[name] = Refusal{name, have.For, why}
}

// take finds the library on the host and adds it with its needs, all of them or nothing. The text says why not.
func (l *Lender) take(name, module string, add map[string]Library) string {
	whole := add == nil
	if whole {
		add = map[string]Library{}
	}
	if why := l.closure(name, module, add); why != "" {
		return why
	}
	if whole {
		l.commit(add)
	}
	return ""
}

// closure adds what the host's loader maps for name and the container does not have.
func (l *Lender) closure(name, module string, add map[string]Library) string {
	switch {
	case strings.Contains(name, "/"):
		return "it is named by its path, not by its name"
	case Never(name):
		return "it is part of glibc, and only the container's own fits the container's loader"
	case l.pending[name]:
		return ""
	}
	l.pending[name] = true
	defer delete(l.pending, name)
	objects, missing := l.from.Closure(name)
	if missing != "" {
		if len(objects) == 0 {
			return "the host has none"
		}
		return "on the host too it does not load: " + missing
	}
	for _, o := range objects {
		if _, has := l.has(o.Name); has || Never(o.Name) || Never(o.Soname) || add[o.Name].Name != "" {
			continue
		}
		add[o.Name] = l.library(o, module)
	}
	for _, o := range objects {
		if lib, new := add[o.Name]; new && lib.Source == o.Real {
			if why := l.fits(o, module, add); why != "" {
				return why
			}
		}
	}
	return ""
}

func (l *Lender) library(o ld.Object, module string) Library {
	return Library{Name: o.Name, Source: o.Real, Path: path.Join(l.root, l.lasting(o)), Bytes: l.from.Size(o.Path), For: module}
}

// lasting is the path of the host by which the container finds a library: a link beside the file, libz.so.1 -> libz.so.1.2.13, as
// it stays when the host's package is upgraded while a container exists.
func (l *Lender) lasting(o ld.Object) string {
	dir, err := l.host.Resolve(path.Dir(o.Path))
	if err != nil || !LibraryDir(dir.Path) || path.Dir(o.Real) != dir.Path {
		return o.Real
	}
	link := path.Join(dir.Path, path.Base(o.Path))
	if target, err := l.host.Readlink(link); err != nil || target != path.Base(o.Real) {
		return o.Real
	}
	return link
}

// libraryTrees hold libraries, and nothing that is private; of those in packageTrees each directory does.
var (
	libraryTrees = []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/local/lib64"}
	packageTrees = []string{"/opt", "/nix/store", "/gnu/store"}
)

// LibraryDir says whether a directory holds libraries and nothing that is private, so that it may be shown as a whole.
func LibraryDir(dir string) bool {
	return slices.ContainsFunc(libraryTrees, func(tree string) bool { return dir == tree || strings.HasPrefix(dir, tree+"/") }) ||
		slices.ContainsFunc(packageTrees, func(tree string) bool { return strings.HasPrefix(dir, tree+"/") })
}

// Trees are the directories of a host in which its loader finds libraries: none is a link, and none lies in another one.
func Trees(host *rootfs.View) []string {
	dirs := append(slices.Clone(libraryTrees), packageTrees...)
	if cache, err := ld.ReadCache(host); err == nil {
		for _, e := range cache.Entries {
			if dir := path.Dir(e.Path); !slices.Contains(dirs, dir) && !LibraryDir(dir) {
				dirs = append(dirs, dir)
			}
		}
	}
	var trees []string
	for _, dir := range dirs {
		if r, err := host.Resolve(dir); err == nil && host.IsDir(r.Path) && r.Path != "/" {
			trees = append(trees, r.Path)
		}
	}
	slices.Sort(trees)
	return slices.CompactFunc(trees, func(dir, above string) bool { return dir == above || strings.HasPrefix(dir, above+"/") })
}

// has says where the container's loader finds a library: its own, or one that is lent already.
func (l *Lender) has(name string) (ld.Object, bool) {
	if name == path.Base(l.to.Loader()) {
		return ld.Object{Path: l.to.Loader()}, true
	}
	return l.to.Find(name)
}

// fits checks what a file of the host asks of the libraries that the container has itself.
func (l *Lender) fits(o ld.Object, module string, add map[string]Library) string {
	versions, ok := l.from.Versions(o.Path)
	if !ok {
		return o.Real + " can't be read"
	}
	for _, need := range versions.Needs {
		if add[need.Library].Name != "" {
			continue
		}
		own, has := l.has(need.Library)
		if !has {
			if Never(need.Library) {
				return fmt.Sprintf("%s needs %s of glibc, which the container has not", o.Real, need.Library)
			}
			continue // of a library that no DT_NEEDED names any more: the loader does not look either
		}
		have, ok := l.to.Versions(own.Path)
		if !ok || len(have.Defines) == 0 || slices.Contains(have.Defines, need.Version) {
			continue
		}
		if Never(need.Library) {
			return fmt.Sprintf("%s asks for %s of %s, and the container has glibc %s", o.Real, need.Version, need.Library, l.to.GlibcVersion())
		}
		if why := l.instead(need.Library, own.Path, need.Version, module, add); why != "" {
			return fmt.Sprintf("%s asks for %s of %s, and the container's is older; the host's: %s", o.Real, need.Version, need.Library, why)
		}
	}
	return ""
}

// instead adds the host's build of a library that the container has: only one that has all versions of the container's
// may take its place.
func (l *Lender) instead(name, own, version, module string, add map[string]Library) string {
	switch _, taken := l.lent[name]; {
	case Never(name):
		return "it is part of glibc, and only the container's own fits the container's loader"
	case strings.Contains(name, "/"):
		return "it is named by its path, not by its name"
	case taken || l.pending[name] || add[name].Name != "":
		return "it lacks the version too"
	}
	l.pending[name] = true
	defer delete(l.pending, name)
	objects, missing := l.from.Closure(name)
	if len(objects) == 0 {
		return "the host has none"
	}
	if missing != "" {
		return "on the host too it does not load: " + missing
	}
	first := objects[0]
	theirs, _ := l.from.Versions(first.Path)
	ours, _ := l.to.Versions(own)
	if !slices.Contains(theirs.Defines, version) {
		return "it lacks the version too"
	}
	for _, v := range ours.Defines[min(1, len(ours.Defines)):] { // the first is the file's own name (VER_FLG_BASE)
		if !slices.Contains(theirs.Defines, v) {
			return "it lacks " + v + ", which the container's own has"
		}
	}
	lib := l.library(first, module)
	lib.Name, lib.Instead = name, own
	add[name] = lib
	if why := l.fits(first, module, add); why != "" {
		return why
	}
	for _, o := range objects[1:] {
		if _, has := l.has(o.Name); has || Never(o.Name) || Never(o.Soname) || add[o.Name].Name != "" {
			continue
		}
		if why := l.take(o.Name, module, add); why != "" {
			return why
		}
	}
	return ""
}

// commit lends what was found to fit.
func (l *Lender) commit(add map[string]Library) {
	names := make([]string, 0, len(add))
	for name := range add {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		lib := add[name]
		l.replaced[name] = l.to.Cached(name)
		l.lent[name] = lib
		l.order = append(l.order, name)
		l.to.Lend(name, lib.Path)
	}
}

// Root is the directory of the container below which the host's paths lie.
func (l *Lender) Root() string { return l.root }

// Note remembers a file of the container that was opened: below the root it is the host's, found by a search path of a
// library that is lent. One of glibc's own makes the library that led to it useless; true is for that case.
func (l *Lender) Note(o ld.Object) (withdrawn bool) {
	host, below := strings.CutPrefix(o.Path, l.root+"/")
	if !below {
		return false
	}
	if Never(o.Name) || Never(o.Soname) {
		for name, lib := range l.lent {
			if lib.Path == o.By {
				l.Withdraw(name, "its own search path leads to the host's "+path.Base(o.Path)+", which is part of glibc")
				return true
			}
		}
	}
	l.used["/"+host] = true
	return false
}

// Libraries are those that are lent, sorted by name.
func (l *Lender) Libraries() []Library {
	var all []Library
	for _, lib := range l.lent {
		all = append(all, lib)
	}
	slices.SortFunc(all, func(a, b Library) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Refused are those that are not, in the order in which they were asked for.
func (l *Lender) Refused() []Refusal {
	var all []Refusal
	for _, name := range l.order {
		if r, ok := l.refused[name]; ok {
			all = append(all, r)
		}
	}
	return all
}

// Files are the host's files that the container's loader opens, sorted.
func (l *Lender) Files() []string {
	files := map[string]bool{}
	for f := range l.used {
		files[f] = true
	}
	for _, lib := range l.lent {
		files[lib.Source] = true
	}
	all := make([]string, 0, len(files))
	for f := range files {
		all = append(all, f)
	}
	slices.Sort(all)
	return all
}

// Cache returns the ld.so.cache that the container needs: its own entries, and those of the lent libraries. Where its
// own had such a name, the entry led nowhere, or to a library that is too old.
func (l *Lender) Cache(own *ld.Cache) []byte {
	flags, _ := l.to.CacheFlags()
	merged := &ld.Cache{}
	for _, e := range own.Entries {
		if _, lent := l.lent[e.Name]; !lent || e.Flags != flags {
			merged.Entries = append(merged.Entries, e)
		}
	}
	var more []ld.CacheEntry
	for _, lib := range l.Libraries() {
		more = append(more, ld.CacheEntry{Name: lib.Name, Path: lib.Path, Flags: flags})
	}
	return merged.Merge(more).Bytes(l.to.BigEndian())
}
