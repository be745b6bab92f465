package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"runtime"
	"sort"
	"strings"
	"sync"

	"hostrun.dev/hostrun/rootfs"
)

// A tree is what the walk of one site directory found. Paths are relative to it, "" is the directory itself.
type tree struct {
	view   *rootfs.View        // what path is a path of
	path   string              // of the site in the view
	root   string              // the same on this machine, without links
	files  int                 // regular files
	bytes  int64               // their size, each inode once
	dirs   map[string][]string // names of each directory that was read, sorted
	links  []link              // sorted by path
	denied []denial            // sorted by path
}

// A link is a symbolic link in the tree.
type link struct{ Path, Target string }

// A denial is a directory that can't be read.
type denial struct {
	Path string
	Err  error
}

type inode struct{ dev, ino uint64 }

// A walker shares one queue of directories between its workers.
type walker struct {
	ctx   context.Context
	mu    sync.Mutex
	more  *sync.Cond
	queue []string
	busy  int
	seen  map[inode]bool
	tree  *tree
}

// walkTree reads everything below the directory p of the view, in parallel. Links are noted, not followed. Only ctx's
// error is returned; what can't be read is in the tree.
func walkTree(ctx context.Context, view *rootfs.View, p string) (*tree, error) {
	t := &tree{view: view, path: p, dirs: map[string][]string{}}
	r, err := view.Resolve(p)
	if err != nil {
		t.denied = []denial{{"", err}}
		return t, ctx.Err()
	}
	t.root = r.Real
	w := &walker{ctx: ctx, queue: []string{""}, seen: map[inode]bool{}, tree: t}
	w.more = sync.NewCond(&w.mu)
	stop := context.AfterFunc(ctx, func() { w.mu.Lock(); w.more.Broadcast(); w.mu.Unlock() })
	defer stop()
	var group sync.WaitGroup
	for range min(8, runtime.GOMAXPROCS(0)*2) {
		group.Go(w.work)
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	sort.Slice(w.tree.links, func(i, j int) bool { return w.tree.links[i].Path < w.tree.links[j].Path })
	sort.Slice(w.tree.denied, func(i, j int) bool { return w.tree.denied[i].Path < w.tree.denied[j].Path })
	return w.tree, nil
}

func (w *walker) work() {
	for {
		dir, ok := w.next()
		if !ok {
			return
		}
		w.done(w.read(dir))
	}
}

// next waits for a directory; false when no worker can produce one any more.
func (w *walker) next() (string, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 && w.busy > 0 && w.ctx.Err() == nil {
		w.more.Wait()
	}
	if len(w.queue) == 0 || w.ctx.Err() != nil {
		return "", false
	}
	dir := w.queue[len(w.queue)-1]
	w.queue = w.queue[:len(w.queue)-1]
	w.busy++
	return dir, true
}

// A listing is one directory read by a worker.
type listing struct {
	dir     string
	names   []string
	subdirs []string
	links   []link
	files   int
	bytes   int64
	shared  map[inode]int64 // files with several names
	err     error
}

func (w *walker) read(dir string) listing {
	l := listing{dir: dir}
	full := w.tree.root
	if dir != "" {
		full += "/" + dir
	}
	entries, err := os.ReadDir(full)
	if err != nil {
		l.err = err
		return l
	}
	l.names = make([]string, 0, len(entries))
	for _, e := range entries {
		l.names = append(l.names, e.Name())
		rel := e.Name()
		if dir != "" {
			rel = dir + "/" + rel
		}
		switch {
		case e.IsDir():
			l.subdirs = append(l.subdirs, rel)
		case e.Type()&fs.ModeSymlink != 0:
			if target, err := os.Readlink(full + "/" + e.Name()); err == nil {
				l.links = append(l.links, link{rel, target})
			}
		case e.Type().IsRegular():
			l.count(full + "/" + e.Name())
		}
	}
	return l
}

func (l *listing) count(p string) {
	st, err := lstat(p)
	if err != nil {
		return
	}
	l.files++
	if st.Nlink > 1 {
		if l.shared == nil {
			l.shared = map[inode]int64{}
		}
		l.shared[inode{uint64(st.Dev), st.Ino}] = st.Size
		return
	}
	l.bytes += st.Size
}

func (w *walker) done(l listing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t := w.tree
	w.busy--
	w.queue = append(w.queue, l.subdirs...)
	if l.err == nil {
		t.dirs[l.dir] = l.names
	} else if !errors.Is(l.err, fs.ErrNotExist) { // else it went away meanwhile
		t.denied = append(t.denied, denial{l.dir, l.err})
	}
	t.files += l.files
	t.bytes += l.bytes
	t.links = append(t.links, l.links...)
	for key, size := range l.shared {
		if !w.seen[key] {
			w.seen[key] = true
			t.bytes += size
		}
	}
	w.more.Broadcast()
}

// has says whether the relative path exists below the tree's root, by the listing where it can. A link counts when it
// leads somewhere; what a closed directory holds is taken to be there.
func (t *tree) has(rel string) bool {
	rel = path.Clean(rel)
	dir, name := path.Split(rel)
	if names, read := t.dirs[strings.TrimSuffix(dir, "/")]; read {
		i := sort.SearchStrings(names, name)
		if i == len(names) || names[i] != name {
			return false
		}
		if !t.isLink(rel) {
			return true
		}
	}
	_, err := t.view.Resolve(path.Join(t.path, rel))
	return err == nil || errors.Is(err, fs.ErrPermission)
}

func (t *tree) isLink(rel string) bool {
	i := sort.Search(len(t.links), func(i int) bool { return t.links[i].Path >= rel })
	return i < len(t.links) && t.links[i].Path == rel
}
