package imports

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/rootfs"
)

// A spec is what a finder returns (importlib.machinery.ModuleSpec).
type spec struct {
	name  string
	file  string // "" for what is in the interpreter, and for namespace packages
	kind  Kind
	entry string   // directory or archive of the search path in which it lies
	isPkg bool     // has a __path__
	path  []string // the __path__ of a package
	real  string   // the file on this machine, where that is known; it was a regular one

	absent bool // its file is not there: a finder that does not look names it
}

// A finder looks names up as PathFinder and FileFinder do (Lib/importlib/_bootstrap_external.py). It is safe for
// concurrent use, and reads each directory once.
type finder struct {
	view     *rootfs.View
	suffixes []suffix
	builtins map[string]bool
	frozen   map[string]bool
	stdlib   string
	implicit bool                     // see openArchive
	dotted   bool                     // every suffix begins with a dot
	spaces   table[string, *editable] // entry of sys.path that is no place -> what has its namespaces
	entries  table[string, *entry]    // by path
	found    table[place, *spec]      // nil for none
}

// An entry is one of a search path, read once.
type entry struct {
	once sync.Once
	list listing
}

// A place is one where a name was looked for.
type place struct{ entry, name string }

// A suffix is an ending of file names and what it means, in the importer's order.
type suffix struct {
	text string
	kind Kind
}

func newFinder(view *rootfs.View, py abi.Python) *finder {
	f := &finder{view: view, builtins: map[string]bool{"sys": true, "builtins": true}, stdlib: py.Stdlib, implicit: py.Version.Major > 3 || py.Version.Minor >= 14}
	for _, s := range py.Suffixes {
		f.suffixes = append(f.suffixes, suffix{s, Extension})
	}
	f.suffixes = append(f.suffixes, suffix{".py", Source}, suffix{".pyc", Bytecode})
	f.dotted = !slices.ContainsFunc(f.suffixes, func(s suffix) bool { return !strings.HasPrefix(s.text, ".") })
	for _, name := range py.Builtins {
		f.builtins[name] = true
	}
	f.frozen = frozenModules(py.Version)
	return f
}

// A listing is what an entry of a search path holds.
type listing struct {
	dir     string
	real    string                 // on this machine, if all that the view shows below dir lies below it; else ""
	names   map[string]fs.FileMode // types of a directory's entries
	stems   stemSet                // of names
	archive *archive               // of a zip file
}

func (f *finder) list(dir string) *listing {
	if !path.IsAbs(dir) { // a name that a hook knows (sys.path_hooks)
		return &listing{dir: dir}
	}
	e, ok := f.entries.load(dir)
	if !ok {
		e = f.entries.add(dir, &entry{})
	}
	return e.read(f, dir)
}

func (e *entry) read(f *finder, dir string) *listing {
	e.once.Do(func() { f.read(&e.list, dir) })
	return &e.list
}

func (f *finder) read(l *listing, dir string) {
	l.dir, l.real = dir, f.single(dir)
	if l.real != "" {
		l.names = make(map[string]fs.FileMode, 32)
		if rootfs.List(l.real, func(name []byte, kind fs.FileMode) { l.add(string(name), kind) }) == nil {
			return
		}
		l.real, l.names, l.stems = "", nil, stemSet{}
	}
	entries, err := f.view.ReadDir(dir)
	if err != nil {
		if l.archive = openArchive(f.view, dir, f.implicit); l.archive == nil {
			l.archive = archiveBelow(f, dir)
		}
		return
	}
	l.names = make(map[string]fs.FileMode, len(entries))
	for _, e := range entries {
		l.add(e.Name(), e.Type())
	}
}

func (l *listing) add(name string, kind fs.FileMode) {
	l.names[name] = kind
	stem, _, _ := strings.Cut(name, ".")
	l.stems.add(stem)
}

// A stemSet says of most names that no file begins with them and a dot: nearly all that is looked for in a directory is not
// there, as "from package import name" looks for a module first.
type stemSet [8]uint64

func (s *stemSet) add(stem string) { s[stemBit(stem)/64] |= 1 << (stemBit(stem) % 64) }

func (s *stemSet) may(stem string) bool { return s[stemBit(stem)/64]>>(stemBit(stem)%64)&1 == 1 }

// stemBit is a hash (FNV-1a, folded).
func stemBit(stem string) uint32 {
	h := uint32(2166136261)
	for i := range len(stem) {
		h = (h ^ uint32(stem[i])) * 16777619
	}
	return (h ^ h>>16) % (64 * uint32(len(stemSet{})))
}

// single is View.Single of a directory. What lies in such a one, and is no link, is one too.
func (f *finder) single(dir string) string {
	if e, ok := f.entries.load(path.Dir(dir)); ok && dir != "/" {
		if parent := e.read(f, path.Dir(dir)); parent.real != "" && parent.names[path.Base(dir)].IsDir() {
			return join(parent.real, path.Base(dir))
		}
	}
	at, err := f.view.Resolve(dir)
	if err != nil {
		return ""
	}
	real, _ := f.view.Single(at)
	return real
}

// realOf is the file on this machine of a name that is no link.
func (l *listing) realOf(name string) string {
	if mode, ok := l.names[name]; l.real == "" || !ok || !mode.IsRegular() {
		return ""
	}
	return join(l.real, name)
}

// join is path.Join of a directory and a name in it.
func join(dir, name string) string {
	if dir == "" || strings.HasSuffix(dir, "/") || strings.Contains(name, "/") {
		return path.Join(dir, name)
	}
	return dir + "/" + name
}

// isFile and isDir follow links.
func (f *finder) isFile(l *listing, name string) bool {
	mode, ok := l.names[name]
	if ok && mode&fs.ModeSymlink != 0 {
		fi, err := f.view.Stat(path.Join(l.dir, name))
		return err == nil && fi.Mode().IsRegular()
	}
	return ok && mode.IsRegular()
}

func (f *finder) isDir(l *listing, name string) bool {
	mode, ok := l.names[name]
	if ok && mode&fs.ModeSymlink != 0 {
		return f.view.IsDir(path.Join(l.dir, name))
	}
	return ok && mode.IsDir()
}

// find returns the module of the full name below the search path, nil for none. Top-level names of the interpreter's own
// modules go first, as BuiltinImporter and FrozenImporter stand before PathFinder in sys.meta_path.
func (f *finder) find(name string, search []string) *spec {
	if f.builtins[name] {
		return &spec{name: name, kind: Builtin}
	}
	if f.frozen[name] {
		return f.findFrozen(name)
	}
	var portions []string
	for _, entry := range search {
		s := f.findIn(name, entry)
		switch {
		case s == nil:
		case s.kind != Namespace:
			return s
		default:
			portions = append(portions, s.path...)
		}
	}
	if portions == nil {
		return nil
	}
	return &spec{name: name, kind: Namespace, isPkg: true, path: portions, entry: path.Dir(portions[0])}
}

// findIn is FileFinder.find_spec or zipimporter.find_spec of one entry.
func (f *finder) findIn(name, entry string) *spec {
	if e, ok := f.spaces.load(entry); ok {
		return e.space(name)
	}
	l, tail := f.list(entry), name[strings.LastIndexByte(name, '.')+1:]
	if l.archive == nil && f.dotted && !l.stems.may(tail) {
		return nil
	}
	at := place{entry, name}
	if known, ok := f.found.load(at); ok {
		return known
	}
	return f.found.add(at, f.lookIn(l, name, tail, entry))
}

// lookIn looks a name up in a directory or an archive.
func (f *finder) lookIn(l *listing, name, tail, entry string) *spec {
	if l.archive != nil {
		return l.archive.find(name, tail, entry)
	}
	isDir := f.isDir(l, tail)
	if isDir {
		if s := f.findPackage(name, tail, entry); s != nil {
			return s
		}
	}
	for _, s := range f.suffixes {
		if f.isFile(l, tail+s.text) {
			return &spec{name: name, file: join(entry, tail+s.text), kind: s.kind, entry: entry, real: l.realOf(tail + s.text)}
		}
	}
	if isDir {
		return &spec{name: name, kind: Namespace, isPkg: true, entry: entry, path: []string{join(entry, tail)}}
	}
	return nil
}

func (f *finder) findPackage(name, tail, entry string) *spec {
	dir := join(entry, tail)
	l := f.list(dir)
	for _, s := range f.suffixes {
		if f.isFile(l, "__init__"+s.text) {
			return &spec{name: name, file: join(dir, "__init__"+s.text), kind: s.kind, entry: entry, isPkg: true, path: []string{dir}, real: l.realOf("__init__" + s.text)}
		}
	}
	return nil
}

// foreign says that a native module of the name lies in one of the directories that another interpreter would find.
func (f *finder) foreign(name string, dirs []string) bool {
	for _, dir := range dirs {
		for file := range f.list(dir).names {
			if rest, ok := strings.CutPrefix(file, name+"."); ok && strings.HasSuffix(rest, ".so") && taggedSuffix.MatchString(rest) {
				return true
			}
		}
	}
	return false
}

// findFrozen gives a frozen module the file of the standard library that it was made from, as its __file__ is.
func (f *finder) findFrozen(name string) *spec {
	s := &spec{name: name, kind: Frozen}
	base := join(f.stdlib, strings.ReplaceAll(frozenFrom(name), ".", "/"))
	for _, file := range []string{base + ".py", base + "/__init__.py"} {
		if fi, err := f.view.Stat(file); err == nil && fi.Mode().IsRegular() {
			s.file, s.entry = file, f.stdlib
		}
	}
	if frozenPackages[name] {
		s.isPkg, s.path = true, []string{base}
	}
	return s
}

// close gives archives back.
func (f *finder) close() {
	for dir, e := range f.entries.all() {
		if a := e.read(f, dir).archive; a != nil && a.file != nil {
			a.close()
		}
	}
}
