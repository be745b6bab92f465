package ld

import (
	"bytes"
	"fmt"
	"slices"
	"sync"
)

// check is what the loader does once all files are mapped: versions, processor level, relocation (dl_open_worker_begin,
// elf/dl-open.c). list is the closure, scope what symbols are looked up in behind the global scope.
func (l *loading) check(list, scope []*object) *failure {
	for _, o := range list {
		if l.isOld(o) {
			continue
		}
		if fail := l.checkVersions(o); fail != nil {
			return fail
		}
	}
	if fail := l.checkLevel(list); fail != nil {
		return fail
	}
	return l.relocate(list, scope)
}

// checkVersions is _dl_check_map_versions (elf/dl-version.c).
func (l *loading) checkVersions(o *object) *failure {
	if f := o.load(); f != nil {
		return failed(f, o.path, Result{Object: o.path})
	}
	relr := false
	for _, need := range o.versions.needs {
		at, ok := l.byName(need.file)
		if !ok {
			f := corrupt("Inconsistency detected by ld.so: dl-version.c: _dl_check_map_versions: Assertion `needed != NULL' failed! (%s asks versions of %s, which it does not need)", o.path, need.file)
			f.killed = true
			return failed(f, "", Result{Object: o.path, Needed: need.file})
		}
		if fail := l.checkNeed(o, need, l.objects[at]); fail != nil {
			return fail
		}
		for _, v := range need.versions {
			relr = relr || v.name == "GLIBC_ABI_DT_RELR"
		}
	}
	if _, has := o.dynamic[dtRelr]; has && !relr && l.system.habits.minor >= 36 && o.needsLibc() {
		return failed(&fault{verdict: Version, text: "DT_RELR without GLIBC_ABI_DT_RELR dependency"}, o.path, Result{Object: o.path, RequiredBy: o.path, Version: "GLIBC_ABI_DT_RELR"})
	}
	return nil
}

func (o *object) needsLibc() bool {
	return slices.ContainsFunc(o.versions.needs, func(n versionNeed) bool {
		return len(n.file) > 8 && n.file[:8] == "libc.so."
	})
}

// checkNeed is match_symbol: a library without any DT_VERDEF has all versions.
func (l *loading) checkNeed(o *object, need versionNeed, from *object) *failure {
	if f := from.load(); f != nil {
		return failed(f, from.path, Result{Object: from.path})
	}
	if !from.versions.defined {
		return nil
	}
	for _, v := range need.versions {
		if v.weak || from.versions.defines(v.name, v.hash) {
			continue
		}
		text := fmt.Sprintf("version `%s' not found (required by %s)", v.name, o.path)
		return failed(&fault{verdict: Version, text: text}, from.path, Result{Object: from.path, RequiredBy: o.path, Version: v.name})
	}
	return nil
}

// checkLevel is dl_isa_level_check (sysdeps/x86/dl-prop.h), known since glibc 2.33.
func (l *loading) checkLevel(list []*object) *failure {
	if l.system.habits.minor < 33 || l.system.options.ISALevel == 0 {
		return nil
	}
	have := uint32(1)<<l.system.habits.level - 1
	for _, o := range list {
		if !l.isOld(o) && o.isa&^have != 0 {
			f := &fault{verdict: Gate, text: "CPU ISA level is lower than required"}
			return failed(f, o.path, Result{Object: o.path})
		}
	}
	return nil
}

// relocate looks the symbols of new objects up, dependencies first.
func (l *loading) relocate(list, scope []*object) *failure {
	order := l.system.sortObjects(list)
	inScope := map[*file]bool{}
	for _, o := range scope {
		inScope[o.file] = true
	}
	for at := len(order) - 1; at >= 0; at-- {
		o := order[at]
		if l.isOld(o) {
			continue
		}
		if fail := l.bind(o, scope, inScope); fail != nil {
			return fail
		}
		if fail := l.reserveTLS(o, scope); fail != nil {
			return fail
		}
	}
	return nil
}

// A proof says that the strong symbols of a file are found in the global scope and in these files.
type proof []*file

// proofs are what is known of one file under one global scope. Who works on it holds the lock, so that others wait for its
// proof instead of finding it too.
type proofs struct {
	mu   sync.Mutex
	list []proof
}

// bind proves the symbols of o, from what other loadings into the same process have proved if possible.
func (l *loading) bind(o *object, scope []*object, inScope map[*file]bool) *failure {
	b := &binding{loading: l, object: o, scope: l.scopeOf(scope), general: true}
	if l.parent == nil {
		return b.run()
	}
	slot, _ := l.parent.proofs.LoadOrStore(o.file, &proofs{})
	known := slot.(*proofs)
	known.mu.Lock()
	defer known.mu.Unlock()
	if slices.ContainsFunc(known.list, func(p proof) bool { return p.holds(inScope) }) {
		return nil
	}
	fail := b.run()
	if fail == nil && b.general {
		known.list = append(known.list, b.providers)
	}
	return fail
}

func (p proof) holds(inScope map[*file]bool) bool {
	for _, f := range p {
		if !inScope[f] {
			return false
		}
	}
	return true
}

// scopeOf puts the global scope before the local one.
func (l *loading) scopeOf(local []*object) []*object {
	if l.parent == nil {
		return local
	}
	return append(slices.Clone(l.parent.scope), local...)
}

// A binding is the lookup of all symbols of one object.
type binding struct {
	loading   *loading
	object    *object
	scope     []*object
	providers proof
	general   bool              // the proof holds wherever its files are in scope
	named     []*object         // by index of a version: the object that it names
	names     map[uint32]string // of symbols that were not found, by index
	versions  map[uint32]symbolVersion

	strict    bool // a versioned symbol must be in the library that its version names
	steps     *int
	assertion *object // names a version and has none at all

	unversioned bool // versions are not looked at, as in musl
}

func (b *binding) run() *failure {
	o := b.object
	w := workspaces.Get().(*workspace)
	defer workspaces.Put(w)
	refs, versym, f := o.references(w)
	if f != nil {
		return failed(f, o.path, Result{Object: o.path})
	}
	b.strict = b.loading.system.habits.before(30) && !b.unversioned
	b.named = make([]*object, len(o.versions.index))
	for i, v := range o.versions.index {
		if at, ok := b.loading.byName(v.file); ok && v.file != "" {
			b.named[i] = b.loading.objects[at]
		}
	}
	for _, other := range b.scope {
		if f := other.load(); f != nil {
			return failed(f, other.path, Result{Object: other.path})
		}
	}
	names := &sweep{file: o.file, base: o.dynamic[dtStrtab], buffer: w.names}
	defer func() { w.names = names.buffer }()
	if len(refs) > 0 {
		names.last = names.base + uint64(refs[len(refs)-1].nameAt)
	}
	bytes, steps := 0, maxChainSteps
	b.steps = &steps
	for _, ref := range refs {
		name, f := names.at(ref.nameAt)
		if bytes += len(name); f == nil && (bytes > maxNameBytes || steps < 0) {
			f = crash("the symbols of the file can't be looked up in sensible time")
		}
		if f != nil {
			return failed(f, o.path, Result{Object: o.path})
		}
		b.resolve(ref, name, versym)
	}
	return b.verdict()
}

// resolve looks one symbol up.
func (b *binding) resolve(ref reference, name []byte, versym []byte) {
	q := &search{name: name, hash: gnuHash(name), anyVersion: b.unversioned, steps: b.steps}
	var file *object
	if versym != nil && !b.unversioned {
		index := b.object.order.Uint16(versym[ref.index*2:]) & versionIndex
		q.version = b.object.versions.at(index)
		if int(index) < len(b.named) {
			file = b.named[index]
		}
	}
	provider := b.lookup(q, file)
	if provider == nil {
		if b.names == nil {
			b.names, b.versions = map[uint32]string{}, map[uint32]symbolVersion{}
		}
		if len(b.names) < 1<<16 {
			b.names[ref.index], b.versions[ref.index] = string(name), q.version
		}
		return
	}
	if provider.global {
		return
	}
	if b.strict && file != nil && provider != file {
		b.general = false // another scope could hold the named library before this one
	}
	if !slices.Contains(b.providers, provider.file) {
		b.providers = append(b.providers, provider.file)
	}
}

// lookup is _dl_lookup_symbol_x (elf/dl-lookup.c).
func (b *binding) lookup(q *search, named *object) *object {
	o := b.first(q, named)
	if o != nil && o == named && !o.hash.versym && !b.unversioned && b.loading.system.habits.before(41) {
		b.assertion = o
	}
	return o
}

// first finds the first object that defines the symbol. What the global scope says is the same for all modules.
func (b *binding) first(q *search, named *object) *object {
	p := b.loading.parent
	if p == nil || b.strict {
		return b.search(b.scope, q, named)
	}
	o, known := p.symbols.get(q)
	if !known {
		o = b.search(p.scope, q, named)
		p.symbols.put(q, o)
	}
	if o != nil {
		return o
	}
	return b.search(b.scope[len(p.scope):], q, named)
}

// search looks through a scope. Before glibc 2.30 it ends at the library that the version names.
func (b *binding) search(scope []*object, q *search, named *object) *object {
	for _, o := range scope {
		if o.find(q) {
			return o
		}
		if b.strict && q.version.hash != 0 && o == named && o.hash.nbuckets != 0 {
			return nil
		}
	}
	return nil
}

// asserted is the death in check_match, which glibc 2.41 no longer has.
func (b *binding) asserted() *failure {
	f := corrupt("Inconsistency detected by ld.so: dl-lookup.c: check_match: Assertion `version->filename == NULL || ! _dl_name_match_p (version->filename, map)' failed! (%s has no versions, and %s asks for one)", b.assertion.path, b.object.path)
	f.killed = true
	return failed(f, "", Result{Object: b.assertion.path, RequiredBy: b.object.path})
}

// verdict asks the relocations which of the lost symbols is needed first: a symbol that none refers to is not looked up.
func (b *binding) verdict() *failure {
	if b.assertion != nil {
		return b.asserted()
	}
	if len(b.names) == 0 {
		return nil
	}
	o := b.object
	order := eager
	switch {
	case b.unversioned:
		order = pltFirst
	case b.loading.start && !o.bindsNow():
		order = lazy
	}
	var lost uint32
	f := o.eachRelocation(order, func(r relocation) bool {
		if _, ok := b.names[r.symbol]; ok {
			lost = r.symbol
		}
		return lost == 0
	})
	if f != nil {
		return failed(f, o.path, Result{Object: o.path})
	}
	if lost == 0 {
		return nil
	}
	name, version := b.names[lost], b.versions[lost].name
	text := "undefined symbol: " + name
	if file := b.versions[lost].file; b.strict && file != "" {
		text = "symbol " + name + " version " + version + " not defined in file " + file + " with link time reference"
	} else if version != "" {
		text += ", version " + version
	}
	return failed(&fault{verdict: Undefined, text: text}, o.path, Result{Object: o.path, Symbol: name, Version: version})
}

// sweepWindow is how much of a string table is read at a time, in bytes.
const sweepWindow = 256 << 10

// A sweep reads names of a string table in rising order.
type sweep struct {
	file   *file
	base   uint64
	last   uint64 // where the last name begins
	buffer []byte
	window []byte // part of buffer
	start  uint64
}

// A workspace is what the lookup of a file's symbols needs of memory.
type workspace struct {
	symbols, versions, names []byte
	references               []reference
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// usualName is what is read of the last name at first, in bytes.
const usualName = 512

// at returns the name at an offset. It is valid until the next call.
func (s *sweep) at(offset uint32) ([]byte, *fault) {
	want := s.base + uint64(offset)
	for _, size := range []uint64{min(sweepWindow, max(s.last, want)-want+usualName), maxName * 16} {
		if want >= s.start && want < s.start+uint64(len(s.window)) {
			rest := s.window[want-s.start:]
			if end := bytes.IndexByte(rest, 0); end >= 0 {
				return rest[:end], nil
			}
		}
		size = min(size, s.file.readable(want))
		if size > uint64(len(s.buffer)) {
			s.buffer = slices.Grow(s.buffer[:0], int(size))[:size]
		}
		s.window, s.start = s.buffer[:size], want
		if f := s.file.read(s.window, want); f != nil {
			return nil, f
		}
	}
	if end := bytes.IndexByte(s.window, 0); end >= 0 {
		return s.window[:end], nil
	}
	return nil, crash("a symbol's name has no end")
}
