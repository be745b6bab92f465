package proof

import (
	"bytes"
	"context"
	"io/fs"
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
	seen     map[string]bool // directories that were entered by a link or from outside, by their path without links: they may lead back
	more     *sync.Cond
	tasks    []task // the last is done first: so few wait
	busy     int    // workers that may add to tasks
}

// A task is a directory to be read.
type task struct {
	site, dir string // of the view
	real      string // on this machine; "" where it is no single directory there
	below     bool   // with what lies in it
}

// walk lists the native files below the site directories, and those right in the directories of libraries.
func walk(ctx context.Context, view *rootfs.View, r Request) *tree {
	w := &walker{ctx: ctx, view: view, suffixes: r.Python.Suffixes, out: &tree{libraries: map[string][]string{}}, seen: map[string]bool{}}
	w.more = sync.NewCond(&w.mu)
	for _, dir := range r.SiteDirs {
		w.enter(dir, dir, true)
	}
	for _, dir := range r.Libraries {
		w.enter(dir, dir, false)
	}
	var wait sync.WaitGroup
	for range walkers {
		wait.Go(w.work)
	}
	wait.Wait()
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
	real, _ := w.view.Single(at)
	w.mu.Lock()
	known := w.seen[at.Path]
	w.seen[at.Path] = true
	w.mu.Unlock()
	if !known {
		w.push(task{site, dir, real, below})
	}
}

func (w *walker) push(t task) {
	w.mu.Lock()
	w.tasks = append(w.tasks, t)
	w.mu.Unlock()
	w.more.Signal()
}

// work reads directories until there are none.
func (w *walker) work() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.tasks) == 0 && w.busy > 0 {
			w.more.Wait()
		}
		if len(w.tasks) == 0 || w.ctx.Err() != nil {
			w.more.Broadcast()
			return
		}
		t := w.tasks[len(w.tasks)-1]
		w.tasks = w.tasks[:len(w.tasks)-1]
		w.busy++
		w.mu.Unlock()
		w.read(t)
		w.mu.Lock()
		w.busy--
	}
}

func (w *walker) read(t task) {
	var names []string
	each := func(name []byte, kind fs.FileMode) {
		switch {
		case kind.IsDir() && t.below && string(name) != "__pycache__":
			if sub := path.Join(t.dir, string(name)); t.real != "" {
				w.push(task{t.site, sub, filepath.Join(t.real, path.Base(sub)), true})
			} else {
				w.enter(t.site, sub, true)
			}
		case !isNative(name):
			if kind&fs.ModeSymlink != 0 && t.below && w.view.IsDir(path.Join(t.dir, string(name))) {
				w.enter(t.site, path.Join(t.dir, string(name)), true)
			}
		case kind.IsRegular() || kind&fs.ModeSymlink != 0:
			names = append(names, string(name))
		}
	}
	if t.real != "" { // names alone, without the view's lookups: 5,000 directories are usual
		_ = rootfs.List(t.real, each)
	} else {
		entries, _ := w.view.ReadDir(t.dir)
		for _, e := range entries {
			each([]byte(e.Name()), e.Type())
		}
	}
	if len(names) > 0 {
		slices.Sort(names)
		w.add(t.site, t.dir, names, t.below)
	}
}

// isNative: libfoo.so, libfoo.so.1.2, foo.cpython-311-x86_64-linux-gnu.so
func isNative(name []byte) bool {
	at := bytes.Index(name, []byte(".so"))
	return at >= 0 && (bytes.HasSuffix(name, []byte(".so")) || bytes.Contains(name[at:], []byte(".so.")))
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
