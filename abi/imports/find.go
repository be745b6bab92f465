package imports

import (
	"io/fs"
	"path"
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
	implicit bool     // see openArchive
	spaces   sync.Map // entry of sys.path that is no place -> *editable with its namespaces
	entries  sync.Map // path -> func() *listing
	found    sync.Map // place -> *spec, nil for none
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
	archive *archive               // of a zip file
}

func (f *finder) list(dir string) *listing {
	if !path.IsAbs(dir) { // a name that a hook knows (sys.path_hooks)
		return &listing{dir: dir}
	}
	if once, ok := f.entries.Load(dir); ok {
		return once.(func() *listing)()
	}
	once, _ := f.entries.LoadOrStore(dir, sync.OnceValue(func() *listing { return f.read(dir) }))
	return once.(func() *listing)()
}

func (f *finder) read(dir string) *listing {
	l := &listing{dir: dir, real: f.single(dir)}
	if l.real != "" {
		l.names = make(map[string]fs.FileMode, 32)
		if rootfs.List(l.real, func(name []byte, kind fs.FileMode) { l.names[string(name)] = kind }) == nil {
			return l
		}
		l.real, l.names = "", nil
	}
	entries, err := f.view.ReadDir(dir)
	if err != nil {
		if l.archive = openArchive(f.view, dir, f.implicit); l.archive == nil {
			l.archive = archiveBelow(f, dir)
		}
		return l
	}
	l.names = make(map[string]fs.FileMode, len(entries))
	for _, e := range entries {
		l.names[e.Name()] = e.Type()
	}
	return l
}

// single is View.Single of a directory. What lies in such a one, and is no link, is one too.
func (f *finder) single(dir string) string {
	if once, ok := f.entries.Load(path.Dir(dir)); ok && dir != "/" {
		if parent := once.(func() *listing)(); parent.real != "" && parent.names[path.Base(dir)].IsDir() {
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
	at := place{entry, name}
	if known, ok := f.found.Load(at); ok {
		return known.(*spec)
	}
	s := f.lookIn(name, entry)
	f.found.Store(at, s)
	return s
}

func (f *finder) lookIn(name, entry string) *spec {
	tail := name[strings.LastIndexByte(name, '.')+1:]
	if e, ok := f.spaces.Load(entry); ok {
		return e.(*editable).space(name)
	}
	l := f.list(entry)
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
	f.entries.Range(func(_, once any) bool {
		if a := once.(func() *listing)().archive; a != nil && a.file != nil {
			a.close()
		}
		return true
	})
}
