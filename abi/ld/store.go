package ld

import (
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"sync"
	"sync/atomic"
	"syscall"

	"hostrun.dev/hostrun/rootfs"
)

// Bounds of what a System holds at one time.
const (
	maxHandles   = 200
	maxCached    = 40 << 20 // bytes of pages
	maxCacheable = 16 << 30 // size of a file whose pages are kept
)

// A file is an ELF file of the tree, read once however many paths lead to it.
type file struct {
	*image
	id    identity
	real  string // inside the view
	pages *pages

	once     sync.Once
	versions *versionTables
	hash     *hashTable
	damage   *fault
}

// An identity is what the loader knows files by (_dl_get_file_id, sysdeps/posix/dl-fileid.h).
type identity struct{ device, inode uint64 }

// load reads the version and hash tables when they are first needed.
func (o *file) load() *fault {
	o.once.Do(func() {
		w := newWindow(o.r, o.size)
		defer windows.Put(w)
		i := *o.image
		i.r = w
		if o.versions, o.damage = i.readVersions(); o.damage != nil {
			o.versions = nil
			return
		}
		if o.hash, o.damage = i.readHash(); o.damage != nil {
			o.hash = nil
		}
	})
	return o.damage
}

// An opening is what became of opening one path: a file, or the reason why not.
type opening struct {
	once  sync.Once
	file  *file
	fault *fault
}

// A store remembers what was opened, by path as the loader writes it.
type store struct {
	openings sync.Map // path -> *opening
	files    sync.Map // identity -> *opening
	subdirs  sync.Map // directory -> []string: its hwcaps subdirectories
	dirs     sync.Map // directory -> string inside the view without links, "" when absent
	handles  handles
	cached   atomic.Int64
}

// forget drops what was read.
func (s *store) forget() {
	s.openings.Clear()
	s.files.Clear()
}

// open is open_verify: the file at the path p, for which "" as fault's errno and skip mean an absent one.
func (s *System) open(p string) (*file, *fault) {
	slot, _ := s.store.openings.LoadOrStore(p, &opening{})
	o := slot.(*opening)
	o.once.Do(func() { o.file, o.fault = s.openPath(p) })
	return o.file, o.fault
}

func absent(err error) *fault {
	return &fault{verdict: Missing, text: "cannot open shared object file", errno: errnoText(err), skip: true}
}

func (s *System) openPath(p string) (*file, *fault) {
	dir, name := path.Split(p)
	in := s.directory(dir)
	if in == "" {
		return nil, absent(fs.ErrNotExist)
	}
	r, err := s.view.ResolveIn(in, name)
	if err != nil {
		return nil, absent(err)
	}
	return s.openResolved(r)
}

// directory resolves a directory once; "" when it is none.
func (s *System) directory(dir string) string {
	if known, ok := s.store.dirs.Load(dir); ok {
		return known.(string)
	}
	full := dir
	if !path.IsAbs(full) {
		full = s.options.workingDirectory() + "/" + dir
	}
	at := ""
	if r, err := s.view.Resolve(full); err == nil && s.view.IsDir(r.Path) {
		at = r.Path
	}
	s.store.dirs.Store(dir, at)
	return at
}

func (o Options) workingDirectory() string {
	if o.WorkingDirectory == "" {
		return "/"
	}
	return o.WorkingDirectory
}

func (s *System) openResolved(r rootfs.Resolved) (*file, *fault) {
	if r.Real == "" {
		return nil, &fault{verdict: Corrupt, text: "cannot read file data", errno: "Is a directory"}
	}
	fi, err := os.Lstat(r.Real)
	if err != nil {
		return nil, absent(err)
	}
	switch mode := fi.Mode(); {
	case mode.IsDir():
		return nil, &fault{verdict: Corrupt, text: "cannot read file data", errno: "Is a directory"}
	case mode&fs.ModeSocket != 0:
		return nil, absent(syscall.ENXIO)
	case mode&fs.ModeDevice != 0:
		return nil, corrupt("file too short") // /dev/null, which hides files
	case !mode.IsRegular():
		return nil, corrupt("not a regular file: opening it blocks")
	}
	id := identityOf(fi, r.Real)
	slot, _ := s.store.files.LoadOrStore(id, &opening{})
	o := slot.(*opening)
	o.once.Do(func() { o.file, o.fault = s.readFile(r, fi, id) })
	return o.file, o.fault
}

func (s *System) readFile(r rootfs.Resolved, fi fs.FileInfo, id identity) (*file, *fault) {
	h := &handle{handles: &s.store.handles, open: func() (*os.File, error) { return s.openRandom(r) }}
	p := &pages{r: h, size: fi.Size(), budget: &s.store.cached}
	if err := h.try(); err != nil {
		return nil, absent(err)
	}
	w := newWindow(h, fi.Size())
	defer windows.Put(w)
	i, f := readImage(w, fi.Size(), s.habits.machine)
	if f != nil {
		return nil, f
	}
	i.r = h
	return &file{image: i, id: id, real: r.Path, pages: p}, nil
}

func (s *System) openRandom(r rootfs.Resolved) (*os.File, error) {
	f, err := s.view.OpenResolved(r)
	if err == nil {
		adviseRandom(f)
	}
	return f, err
}

// handles closes the oldest files when too many are open.
type handles struct {
	mu   sync.Mutex
	open []*handle
}

func (hs *handles) add(h *handle) {
	hs.mu.Lock()
	hs.open = append(hs.open, h)
	var old *handle
	if len(hs.open) > maxHandles {
		old, hs.open = hs.open[0], hs.open[1:]
	}
	hs.mu.Unlock()
	if old != nil {
		old.close()
	}
}

// A handle is a file that is open while it is used, and opened again when it is needed after it was closed.
type handle struct {
	handles *handles
	open    func() (*os.File, error)
	mu      sync.RWMutex
	f       *os.File
}

func (h *handle) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.f != nil {
		_ = h.f.Close()
		h.f = nil
	}
}

func (h *handle) try() error {
	h.mu.Lock()
	if h.f != nil {
		h.mu.Unlock()
		return nil
	}
	f, err := h.open()
	h.f = f
	h.mu.Unlock()
	if err == nil {
		h.handles.add(h)
	}
	return err
}

func (h *handle) ReadAt(b []byte, offset int64) (int, error) {
	for range 8 {
		h.mu.RLock()
		if h.f != nil {
			n, err := h.f.ReadAt(b, offset)
			h.mu.RUnlock()
			return n, err
		}
		h.mu.RUnlock()
		if err := h.try(); err != nil {
			return 0, err
		}
	}
	return 0, errors.New("the file was closed again and again")
}

// Close closes the files that the System holds open. It may be used again afterwards.
func (s *System) Close() {
	s.store.handles.mu.Lock()
	open := s.store.handles.open
	s.store.handles.open = nil
	s.store.handles.mu.Unlock()
	for _, h := range open {
		h.close()
	}
}

type page [pageSize]byte

type chunk [256]atomic.Pointer[page]

// pages keeps the pages of a file that symbol lookups touch, up to a budget that all files share.
type pages struct {
	r      io.ReaderAt
	size   int64
	budget *atomic.Int64
	once   sync.Once
	chunks []atomic.Pointer[chunk]
}

// read fills b from offset on, with zeros behind the end of the file.
func (p *pages) read(b []byte, offset int64) bool {
	for len(b) > 0 {
		in := int(offset % pageSize)
		n := min(len(b), pageSize-in)
		cached := p.page(offset / pageSize)
		if cached == nil {
			return p.direct(b, offset)
		}
		copy(b[:n], cached[in:])
		b, offset = b[n:], offset+int64(n)
	}
	return true
}

// direct reads what is not kept. It has a buffer of its own, so that the callers' small ones stay on their stacks.
func (p *pages) direct(b []byte, offset int64) bool {
	own := make([]byte, len(b))
	got, err := p.r.ReadAt(own, offset)
	copy(b, own[:got])
	clear(b[got:])
	return err == nil || errors.Is(err, io.EOF)
}

func (p *pages) page(n int64) *page {
	p.once.Do(func() {
		if p.size <= maxCacheable {
			p.chunks = make([]atomic.Pointer[chunk], p.size/(pageSize*256)+1)
		}
	})
	if n/256 >= int64(len(p.chunks)) {
		return nil
	}
	slot := &p.chunks[n/256]
	c := slot.Load()
	if c == nil {
		slot.CompareAndSwap(nil, new(chunk))
		c = slot.Load()
	}
	if known := c[n%256].Load(); known != nil {
		return known
	}
	if p.budget.Add(pageSize) > maxCached {
		p.budget.Add(-pageSize)
		return nil
	}
	fresh := new(page)
	if got, err := p.r.ReadAt(fresh[:], n*pageSize); err != nil && !errors.Is(err, io.EOF) || int64(got) < min(pageSize, p.size-n*pageSize) {
		p.budget.Add(-pageSize)
		return nil // it can't be read, or has become shorter
	}
	c[n%256].Store(fresh)
	return fresh
}

// peek is at for few bytes that are often asked for. False where they can't be had.
func (o *file) peek(b []byte, vaddr uint64) bool {
	for _, s := range o.segments {
		if vaddr < s.vaddr || vaddr-s.vaddr >= s.filesz {
			continue
		}
		skip := vaddr - s.vaddr
		if uint64(len(b)) > s.filesz-skip || s.offset > math.MaxInt64-s.filesz {
			return false
		}
		return o.pages.read(b, int64(s.offset+skip))
	}
	return false
}
