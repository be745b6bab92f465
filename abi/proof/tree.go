package proof

import (
	"context"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/rootfs"
)

// A tree is the native files below the site directories.
type tree struct {
	modules   []Module            // with Name, Path, and the verdict where the file's name decides
	libraries map[string][]string // file name -> paths in the view
	dirs      []string            // that hold native files, paths of the view
}

// walkers read directories side by side: on a cold disk the time goes into waiting for them.
const walkers = 16

// maxNative bounds the native files that are looked at.
const maxNative = 100_000

type walker struct {
	ctx      context.Context
	view     *rootfs.View
	suffixes []string
	mu       sync.Mutex
	out      *tree
	count    int
	seen     map[string]bool // directories by their path on this machine: links may lead back
	slots    chan struct{}
	wait     sync.WaitGroup
}

// walk lists the native files below the site directories, and those right in the directories of libraries.
func walk(ctx context.Context, view *rootfs.View, r Request) *tree {
	w := &walker{ctx: ctx, view: view, suffixes: r.Python.Suffixes, out: &tree{libraries: map[string][]string{}},
		seen: map[string]bool{}, slots: make(chan struct{}, walkers)}
	for _, dir := range r.SiteDirs {
		w.enter(dir, dir, true)
	}
	for _, dir := range r.Libraries {
		w.enter(dir, dir, false)
	}
	w.wait.Wait()
	slices.SortFunc(w.out.modules, func(a, b Module) int { return strings.Compare(a.Path, b.Path) })
	for _, paths := range w.out.libraries {
		slices.Sort(paths)
	}
	slices.Sort(w.out.dirs)
	return w.out
}

// enter reads a directory of the view, links followed, unless it was read before.
func (w *walker) enter(site, dir string, below bool) {
	at, err := w.view.Resolve(dir)
	if err != nil {
		return
	}
	real, mine := w.view.Single(at)
	w.mu.Lock()
	known := w.seen[at.Path]
	w.seen[at.Path] = true
	w.mu.Unlock()
	if known || w.ctx.Err() != nil {
		return
	}
	w.spawn(func() { w.read(site, dir, real, mine, below) })
}

func (w *walker) spawn(work func()) {
	w.wait.Go(func() {
		w.slots <- struct{}{}
		defer func() { <-w.slots }()
		work()
	})
}

func (w *walker) read(site, dir, real string, mine, below bool) {
	var entries []fs.DirEntry
	if mine { // names alone, without the view's lookups: 5,000 directories are usual
		entries, _ = os.ReadDir(real)
	} else {
		entries, _ = w.view.ReadDir(dir)
	}
	names := make([]string, 0, 16)
	for _, e := range entries {
		name := e.Name()
		switch {
		case e.IsDir() && below && name != "__pycache__" && w.ctx.Err() == nil:
			if sub := path.Join(dir, name); mine {
				w.spawn(func() { w.read(site, sub, filepath.Join(real, name), true, true) })
			} else {
				w.enter(site, sub, true)
			}
		case e.Type()&fs.ModeSymlink != 0 && below && !isNative(name) && w.view.IsDir(path.Join(dir, name)):
			w.enter(site, path.Join(dir, name), true)
		case isNative(name) && (e.Type().IsRegular() || e.Type()&fs.ModeSymlink != 0):
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		w.add(site, dir, names, below)
	}
}

// isNative: libfoo.so, libfoo.so.1.2, foo.cpython-311-x86_64-linux-gnu.so
func isNative(name string) bool {
	return strings.HasSuffix(name, ".so") || strings.Contains(name, ".so.")
}

var taggedName = pattern.New(`^([A-Za-z_][A-Za-z0-9_]*)\.(cpython-\d+[a-z]*|pypy\d+-pp\d+|abi3t?)(-[A-Za-z0-9_.-]+)?\.so$`)

var identifier = pattern.New(`^[A-Za-z_][A-Za-z0-9_]*$`)

// add sorts the native files of one directory into modules and libraries.
func (w *walker) add(site, dir string, names []string, below bool) {
	usable := map[string]bool{}
	stems := make([]string, len(names))
	for i, name := range names {
		if stems[i] = w.stem(name); stems[i] != "" {
			usable[stems[i]] = true
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out.dirs = append(w.out.dirs, dir)
	for i, name := range names {
		if w.count++; w.count > maxNative {
			return
		}
		p := path.Join(dir, name)
		tag := taggedName.FindStringSubmatch(name)
		switch {
		case below && stems[i] != "":
			w.out.modules = append(w.out.modules, Module{Name: moduleName(site, dir, stems[i]), Path: p})
		case below && tag != nil && !usable[tag[1]]:
			full := moduleName(site, dir, tag[1])
			w.out.modules = append(w.out.modules, Module{Name: full, Path: p, Verdict: IgnoredSuffix,
				Message: "ModuleNotFoundError: No module named '" + full + "'"})
		case tag == nil:
			w.out.libraries[name] = append(w.out.libraries[name], p)
		}
	}
}

// stem returns the module's name of a file that the interpreter would import, "" for others: lib*.so without a tag is a
// library by all habits.
func (w *walker) stem(name string) string {
	for _, suffix := range w.suffixes {
		stem, ok := strings.CutSuffix(name, suffix)
		if ok && identifier.MatchString(stem) && (suffix != ".so" || !strings.HasPrefix(name, "lib")) {
			return stem
		}
	}
	return ""
}

// moduleName is a module's full name by its place below a directory of sys.path.
func moduleName(site, dir, stem string) string {
	rest := strings.Trim(strings.TrimPrefix(dir, site), "/")
	if stem == "__init__" {
		return strings.ReplaceAll(rest, "/", ".")
	}
	return strings.ReplaceAll(path.Join(rest, stem), "/", ".")
}
