package imports

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"hostrun.dev/hostrun/rootfs"
)

// A loader reads and parses the files of modules, each once. What a file imports is read ahead side by side, so that the
// walk in the order of execution finds it done.
type loader struct {
	ctx       context.Context
	finder    *finder
	facts     facts
	units     table[string, *source] // by file
	places    table[string, *spec]   // name -> what locate returned
	search    []string               // of top-level names, for reading ahead
	queue     queue
	parses    chan struct{}                // held while a file is parsed ahead of who walks
	broken    map[string]string            // see Request.Broken
	native    func(string)                 // see Request.Native
	known     *Known                       // see Request.Known
	kind      string                       // of the interpreter, for known
	again     bool                         // something is known
	functions table[place, calledFunction] // of files
	looks     atomic.Int64                 // for those
	files     atomic.Int64
	bytes     atomic.Int64
	read      table[string, string] // file -> its place on this machine, "" where that is not known
}

// readAheads are files read side by side, as on a cold disk most of the time is spent waiting. Parsing is for as many as there
// are processors, less the one that walks.
const readAheads = 16

func newLoader(ctx context.Context, f *finder, known facts, search []string, native func(string)) *loader {
	l := &loader{ctx: ctx, finder: f, facts: known, search: search, native: native, parses: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1))}
	l.queue.start(readAheads, l.readAhead)
	return l
}

// remember takes what scans before have read.
func (l *loader) remember(r Request) {
	if l.known = r.Known; l.known != nil {
		l.kind, l.again = kindOf(r.Python), !l.known.units.empty()
	}
}

// readAhead reads what a statement may load: a module, and of a package the modules in it that a from list names.
func (l *loader) readAhead(w wish) {
	s := l.locate(w.name)
	switch {
	case s == nil || l.ctx.Err() != nil:
		return
	case s.kind != Extension:
		l.unitAhead(s)
	case l.native != nil:
		l.native(s.file)
	}
	if s.isPkg {
		l.wishParts(w)
	}
}

func (l *loader) wishParts(w wish) {
	for _, part := range w.parts {
		if part != "*" {
			l.queue.add(wish{name: w.name + "." + part})
		}
	}
}

// close ends the reading ahead.
func (l *loader) close() { l.queue.close() }

// A wish is a module to be read, and what an import statement takes from it.
type wish struct {
	name  string
	parts []string
}

// A queue hands wishes to workers, each name once, first come first served.
type queue struct {
	mu      sync.Mutex
	more    *sync.Cond
	wishes  []wish
	seen    map[string]bool
	closed  bool
	workers sync.WaitGroup
}

func (q *queue) start(workers int, work func(wish)) {
	q.more, q.seen = sync.NewCond(&q.mu), map[string]bool{}
	for range workers {
		q.workers.Go(func() {
			for w, ok := q.next(); ok; w, ok = q.next() {
				work(w)
			}
		})
	}
}

func (q *queue) next() (wish, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.wishes) == 0 && !q.closed {
		q.more.Wait()
	}
	if q.closed {
		return wish{}, false
	}
	w := q.wishes[0]
	q.wishes = q.wishes[1:]
	return w, true
}

// add is false for a name that was added before.
func (q *queue) add(w wish) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.seen[w.name] {
		return false
	}
	q.seen[w.name] = true
	q.wishes = append(q.wishes, w)
	q.more.Signal()
	return true
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.more.Broadcast()
	q.workers.Wait()
}

// A source is the file of a module: its text is read by whoever comes first, and parsed by whoever has a processor first.
type source struct {
	read, parse sync.Once
	followed    atomic.Bool // what it imports is read ahead
	text        *[]byte     // of sources, between the two
	stamp       rootfs.Stamp
	at          time.Time // it was read
	unit        *unit
}

// source is nil for what has no source.
func (l *loader) source(s *spec) *source {
	if s.file == "" || s.kind == Extension || s.kind == Bytecode || s.kind == Zip && !strings.HasSuffix(s.file, ".py") {
		return nil
	}
	if known, ok := l.units.load(s.file); ok {
		return known
	}
	return l.units.add(s.file, &source{})
}

// unit returns what a module's file says; nil for what has no source.
func (l *loader) unit(s *spec) *unit {
	from := l.source(s)
	if from == nil {
		return nil
	}
	from.read.Do(func() { l.readSource(from, s) })
	from.parse.Do(func() { l.parseSource(from, s) })
	return from.unit
}

// unitAhead is unit that leaves a processor to who walks, and begins to read what the file imports.
func (l *loader) unitAhead(s *spec) {
	from := l.source(s)
	if from == nil {
		return
	}
	from.read.Do(func() { l.readSource(from, s) })
	l.parses <- struct{}{}
	from.parse.Do(func() { l.parseSource(from, s) })
	<-l.parses
	l.follow(s)
}

// follow begins to read what the file of a module imports when it is loaded.
func (l *loader) follow(s *spec) {
	if from := l.source(s); from != nil && l.ctx.Err() == nil && from.followed.CompareAndSwap(false, true) {
		l.ahead(l.unit(s).body, s)
	}
}

func (l *loader) readSource(from *source, s *spec) {
	if l.again && s.real != "" {
		if u, size := l.known.unit(s.real, l.kind, selfOf(s)); u != nil {
			l.read.add(s.file, s.real)
			l.files.Add(1)
			l.bytes.Add(size)
			from.unit = u
			return
		}
	}
	buf := sources.Get().(*[]byte)
	from.at = time.Now()
	text, stamp, err := l.text(s, *buf)
	if err != nil {
		sources.Put(buf)
		from.unit = &unit{problem: reason(err)}
		return
	}
	*buf, from.text, from.stamp = text, buf, stamp
	l.files.Add(1)
	l.bytes.Add(int64(len(text)))
}

func (l *loader) parseSource(from *source, s *spec) {
	if from.text == nil {
		return
	}
	from.unit = parseBytes(*from.text, l.facts, selfOf(s))
	sources.Put(from.text)
	from.text = nil
	if l.known != nil {
		l.known.keep(from.unit, from.stamp, from.at, l.kind, selfOf(s))
	}
}

// selfOf is the name of a package, whose file says of which names it is made.
func selfOf(s *spec) string {
	if s.isPkg && s.name != "__main__" {
		return s.name
	}
	return ""
}

// reading reads and parses the file of a module with the facts of its process.
func (l *loader) reading(s *spec, known facts) *unit {
	buf := sources.Get().(*[]byte)
	defer sources.Put(buf)
	text, _, err := l.text(s, *buf)
	if err != nil {
		return &unit{problem: reason(err)}
	}
	*buf = text
	l.files.Add(1)
	l.bytes.Add(int64(len(text)))
	return parseBytes(text, known, selfOf(s))
}

// sources are buffers for texts. Most fit into a new one.
var sources = sync.Pool{New: func() any { b := make([]byte, 0, 64<<10); return &b }}

// text reads a module's file, into buf or elsewhere. The stamp is zero where none is known.
func (l *loader) text(s *spec, buf []byte) ([]byte, rootfs.Stamp, error) {
	if s.kind == Zip { // the archive is among the finder's entries
		if text, ok := l.finder.list(s.entry).archive.read(strings.TrimPrefix(s.file, s.entry+"/")); ok {
			return []byte(text), rootfs.Stamp{}, nil
		}
		return nil, rootfs.Stamp{}, errors.New("the archive's file can't be read")
	}
	l.read.add(s.file, s.real)
	if s.real != "" {
		if b, stamp, err := rootfs.ReadRegular(s.real, maxSource, buf); err == nil {
			return b, stamp, nil
		}
	}
	b, err := l.finder.view.ReadFile(s.file, maxSource)
	return b, rootfs.Stamp{}, err
}

func reason(err error) string {
	var pe *fs.PathError
	switch {
	case errors.Is(err, rootfs.ErrTooLarge):
		return "it is larger than what is read of a source file"
	case errors.As(err, &pe):
		return "it can't be read: " + pe.Err.Error()
	}
	return "it can't be read: " + err.Error()
}

// ahead starts to read what the statements import when a module is loaded.
func (l *loader) ahead(body []statement, s *spec) {
	for i := range body {
		switch st := &body[i]; st.action {
		case doImport, doFrom:
			l.wish(st, packageOf(s))
		case doIf:
			for _, a := range st.arms {
				if a.when != no {
					l.ahead(a.body, s)
				}
			}
		case doTry:
			for _, a := range st.arms {
				l.ahead(a.body, s)
			}
		case doMaybe:
			l.ahead(st.arms[0].body, s)
		}
	}
}

// wish starts to read what a statement may load: the module, and what of a from list may be one.
func (l *loader) wish(st *statement, pkg string) {
	name, ok := absoluteName(st, pkg)
	if !ok {
		return
	}
	w := wish{name, st.names}
	if l.queue.add(w) || len(w.parts) == 0 {
		return
	}
	if s, ok := l.places.load(name); ok { // else it waits for its turn, and what is taken from it is read by who walks
		if s != nil && s.isPkg {
			l.wishParts(w)
		}
	}
}

// packageOf is the __package__ of a module.
func packageOf(s *spec) string {
	if s.isPkg {
		return s.name
	}
	i := strings.LastIndexByte(s.name, '.')
	if i < 0 {
		return ""
	}
	return s.name[:i]
}

// absoluteName is importlib._bootstrap._resolve_name; ok is false beyond the top-level package.
func absoluteName(st *statement, pkg string) (string, bool) {
	if st.level == 0 {
		return st.name, true
	}
	for range st.level - 1 {
		i := strings.LastIndexByte(pkg, '.')
		if i < 0 {
			return "", false
		}
		pkg = pkg[:i]
	}
	if pkg == "" {
		return "", false
	}
	if st.name == "" {
		return pkg, true
	}
	return pkg + "." + st.name, true
}

// locate guesses where a module lies, as if nothing but files decided about it.
func (l *loader) locate(name string) *spec {
	if known, ok := l.places.load(name); ok {
		return known
	}
	search := l.search
	if parent := parentName(name); parent != "" {
		in := l.locate(parent)
		if in == nil {
			return nil
		}
		search = in.path
	}
	s := l.finder.find(name, search)
	if s != nil && s.kind == Builtin {
		s = nil
	}
	return l.places.add(name, s)
}

// archiveBelow lets a directory inside of a zip file be an entry of a search path.
func archiveBelow(f *finder, dir string) *archive {
	for at := path.Dir(dir); at != "/" && at != "."; at = path.Dir(at) {
		if fi, err := f.view.Stat(at); err == nil {
			if !fi.Mode().IsRegular() {
				return nil
			}
			if a := f.list(at).archive; a != nil {
				return a.below(strings.TrimPrefix(dir, at+"/"))
			}
			return nil
		}
	}
	return nil
}
