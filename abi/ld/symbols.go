package ld

import (
	"cmp"
	"slices"
)

// Symbol bindings, types, visibilities (elf(5)).
const (
	stbLocal     = 0
	stbGlobal    = 1
	stbWeak      = 2
	stbUnique    = 10
	sttTLS       = 6
	sttIfunc     = 10
	allowedTypes = 1<<0 | 1<<1 | 1<<2 | 1<<5 | 1<<6 | 1<<10 // ALLOWED_STT of elf/dl-lookup.c
	shnUndef     = 0
	shnAbs       = 0xfff1
)

type symbol struct {
	name    uint32
	info    byte
	other   byte
	section uint16
	value   uint64
}

func (i *image) symbolSize() uint64 {
	if i.wide {
		return 24
	}
	return 16
}

func (i *image) symbol(b []byte) symbol {
	if i.wide {
		return symbol{i.order.Uint32(b), b[4], b[5], i.order.Uint16(b[6:]), i.order.Uint64(b[8:])}
	}
	return symbol{i.order.Uint32(b), b[12], b[13], i.order.Uint16(b[14:]), uint64(i.order.Uint32(b[4:]))}
}

// bindsLocally is dl_symbol_visibility_binds_local_p: STV_INTERNAL or STV_HIDDEN.
func (s symbol) bindsLocally() bool { v := s.other & 3; return v == 1 || v == 2 }

// A reference is an undefined symbol of an image that is looked up in other objects.
type reference struct {
	index  uint32
	nameAt uint32 // in DT_STRTAB
}

// A hashTable finds symbols by name: DT_GNU_HASH, or DT_HASH where there is no other. It keeps the filter, and the rest
// once the filter has let something through.
type hashTable struct {
	gnu      bool
	buckets  uint64 // address
	nbuckets uint32
	first    uint32 // GNU: the first symbol that is in the table; those before it are undefined
	filter   []byte
	words    uint32
	shift    uint32
	count    uint32 // System V: the number of symbols
	table    []byte // System V: buckets and chains, read at once
	versym   bool
}

func (i *image) readHash() (*hashTable, *fault) {
	h := &hashTable{}
	_, h.versym = i.dynamic[dtVersym]
	if at, ok := i.dynamic[dtGNUHash]; ok {
		return h, i.readGNUHash(h, at)
	}
	if at, ok := i.dynamic[dtHash]; ok {
		return h, i.readSysVHash(h, at)
	}
	return h, nil
}

// readGNUHash reads the head and the Bloom filter (_dl_setup_hash, elf/dl-setup_hash.c).
func (i *image) readGNUHash(h *hashTable, at uint64) *fault {
	b, f := i.at(at, 16)
	if f != nil {
		return f
	}
	h.gnu = true
	h.nbuckets, h.first, h.words, h.shift = i.order.Uint32(b), i.order.Uint32(b[4:]), i.order.Uint32(b[8:]), i.order.Uint32(b[12:])
	if h.nbuckets == 0 {
		return nil
	}
	if h.words == 0 || h.words&(h.words-1) != 0 {
		return &fault{verdict: Corrupt, killed: true,
			text: "Inconsistency detected by ld.so: dl-setup_hash.c: _dl_setup_hash: Assertion `(bitmask_nwords & (bitmask_nwords - 1)) == 0' failed!"}
	}
	size := uint64(h.words) * uint64(i.wordSize())
	if size > maxHashBytes || uint64(h.nbuckets)*4 > maxHashBytes {
		return crash("the hash table of the file is too large")
	}
	h.filter, f = i.at(at+16, size)
	h.buckets = at + 16 + size
	return f
}

// readSysVHash reads all of the table. s390x and alpha have words of 8 bytes there, and always DT_GNU_HASH too.
func (i *image) readSysVHash(h *hashTable, at uint64) *fault {
	b, f := i.at(at, 8)
	if f != nil {
		return f
	}
	h.nbuckets, h.count = i.order.Uint32(b), i.order.Uint32(b[4:])
	size := (uint64(h.nbuckets) + uint64(h.count)) * 4
	if size > maxHashBytes {
		return crash("the hash table of the file is too large")
	}
	h.table, f = i.at(at+8, size)
	return f
}

// gnuHash is dl_new_hash (sysdeps/generic/dl-new-hash.h).
func gnuHash(name []byte) uint32 {
	h := uint32(5381)
	for _, c := range name {
		h = h*33 + uint32(c)
	}
	return h
}

// sysvHash is _dl_elf_hash (sysdeps/generic/dl-hash.h).
func sysvHash(name []byte) uint32 {
	h := uint32(0)
	for _, c := range name {
		h = h<<4 + uint32(c)
		h = (h ^ (h >> 24 & 0xf0)) & 0x0fffffff
	}
	return h
}

// mayHave asks the Bloom filter.
func (i *image) mayHave(h *hashTable, hash uint32) bool {
	if h.nbuckets == 0 {
		return false
	}
	if !h.gnu {
		return true
	}
	if i.wide {
		at := (hash / 64) & (h.words - 1) * 8
		word := i.order.Uint64(h.filter[at:])
		return word>>(hash%64)&(word>>(hash>>(h.shift&31)%64))&1 == 1
	}
	at := (hash / 32) & (h.words - 1) * 4
	word := i.order.Uint32(h.filter[at:])
	return word>>(hash%32)&(word>>(hash>>(h.shift&31)%32))&1 == 1
}

// A search is one lookup of a symbol in an image: do_lookup_x and check_match of elf/dl-lookup.c.
type search struct {
	name       []byte
	hash       uint32
	version    symbolVersion // hash 0: none asked for
	versioned  int           // default versions seen while none is asked for
	limit      int           // of the chain that is followed
	steps      *int          // of all chains; nil for no bound
	anyVersion bool          // musl's way
}

// find reports whether i defines what the search asks for.
func (o *file) find(q *search) bool {
	h, tables := o.hash, o.versions
	if h == nil || tables == nil || !o.mayHave(h, q.hash) {
		return false
	}
	q.versioned, q.limit = 0, maxVersions
	found := false
	o.chain(h, q, func(index uint32) bool {
		found = o.matches(h, tables, q, index)
		return !found
	})
	if q.steps != nil {
		*q.steps -= maxVersions - q.limit
	}
	return found || q.versioned == 1
}

// chain calls visit with the symbols whose hash fits, until it returns false.
func (o *file) chain(h *hashTable, q *search, visit func(uint32) bool) {
	if !h.gnu {
		o.sysvChain(h, q, visit)
		return
	}
	bucket := o.word32(h.buckets + uint64(q.hash%h.nbuckets)*4)
	if bucket < h.first || bucket == 0 {
		return
	}
	chains := h.buckets + uint64(h.nbuckets)*4
	for index := bucket; q.limit > 0; index++ {
		q.limit--
		c := o.word32(chains + uint64(index-h.first)*4)
		if (c^q.hash)>>1 == 0 && !visit(index) {
			return
		}
		if c&1 == 1 {
			return
		}
	}
}

func (o *file) sysvChain(h *hashTable, q *search, visit func(uint32) bool) {
	word := func(n uint32) uint32 {
		if at := uint64(n) * 4; at+4 <= uint64(len(h.table)) {
			return o.order.Uint32(h.table[at:])
		}
		return 0
	}
	for index := word(sysvHash(q.name) % h.nbuckets); index != 0 && index < h.count && q.limit > 0; index = word(h.nbuckets + index) {
		q.limit--
		if !visit(index) {
			return
		}
	}
}

func (o *file) word32(at uint64) uint32 {
	var b [4]byte
	if !o.peek(b[:], at) {
		return 1 // ends a chain
	}
	return o.order.Uint32(b[:])
}

// matches is check_match: is the symbol at index what the search asks for?
func (o *file) matches(h *hashTable, tables *versionTables, q *search, index uint32) bool {
	var b [24]byte
	n := o.symbolSize()
	if !o.peek(b[:n], o.dynamic[dtSymtab]+uint64(index)*n) {
		return false
	}
	s := o.symbol(b[:n])
	kind, bind := s.info&0xf, s.info>>4
	switch {
	case s.section == shnUndef, s.value == 0 && s.section != shnAbs && kind != sttTLS, 1<<kind&allowedTypes == 0, q.anyVersion && kind == sttIfunc:
		return false
	case bind != stbGlobal && bind != stbWeak && bind != stbUnique, s.bindsLocally():
		return false
	}
	return o.named(s.name, q.name) && o.versionMatches(h, tables, q, index)
}

// named compares a symbol's name in the file.
func (o *file) named(at uint32, name []byte) bool {
	var buf [256]byte
	b := buf[:]
	if len(name)+1 > len(b) {
		b = make([]byte, len(name)+1)
	}
	b = b[:len(name)+1]
	return o.peek(b, o.dynamic[dtStrtab]+uint64(at)) && b[len(name)] == 0 && string(b[:len(name)]) == string(name)
}

func (o *file) versionMatches(h *hashTable, tables *versionTables, q *search, index uint32) bool {
	if !h.versym || q.anyVersion {
		return true
	}
	var b [2]byte
	if !o.peek(b[:], o.dynamic[dtVersym]+uint64(index)*2) {
		return false
	}
	word := o.order.Uint16(b[:])
	if q.version.hash == 0 {
		if word&versionIndex < 3 {
			return true
		}
		if word&versionHide == 0 {
			q.versioned++
		}
		return false
	}
	have := tables.at(word & versionIndex)
	if have.hash == q.version.hash && have.name == q.version.name {
		return true
	}
	return !q.version.hidden && have.hash == 0 && word&versionHide == 0
}

// countUndefined returns how many symbols at the start of the table hold all undefined ones. A hash table of nothing
// does not know it (bfd then begins it with symbol 1), so the relocations are asked.
func (o *file) countUndefined() (uint64, *fault) {
	h := o.hash
	if !h.gnu {
		return uint64(h.count), nil
	}
	if h.first > 1 || h.nbuckets > 1 || h.nbuckets == 1 && o.word32(h.buckets) != 0 {
		return uint64(h.first), nil
	}
	count := uint64(0)
	f := o.eachRelocation(eager, func(r relocation) bool {
		count = max(count, uint64(r.symbol)+1)
		return true
	})
	return count, f
}

// references returns the undefined strong symbols of the image in the order of their names in the file, so that these can
// be read in one sweep, and their versions. Both stand in w.
func (o *file) references(w *workspace) ([]reference, []byte, *fault) {
	h := o.hash
	count, f := o.countUndefined()
	if f != nil {
		return nil, nil, f
	}
	if count > maxUndefined {
		return nil, nil, crash("the symbol table of the file is too large")
	}
	if count < 2 {
		return nil, nil, nil
	}
	n := o.symbolSize()
	b, f := o.into(w.symbols, o.dynamic[dtSymtab], count*n)
	if f != nil {
		return nil, nil, f
	}
	w.symbols = b
	if s := o.symbol(b); s != (symbol{}) {
		return nil, nil, corrupt("undefined symbol: (the symbol table begins with no empty symbol)")
	}
	versym := []byte(nil)
	if h.versym {
		if versym, f = o.into(w.versions, o.dynamic[dtVersym], count*2); f != nil {
			return nil, nil, f
		}
		w.versions = versym
	}
	refs := w.references[:0]
	for index := uint64(1); index < count; index++ {
		s := o.symbol(b[index*n:])
		if bind := s.info >> 4; s.section == shnUndef && bind != stbLocal && bind != stbWeak && !s.bindsLocally() {
			refs = append(refs, reference{index: uint32(index), nameAt: s.name})
		}
	}
	slices.SortFunc(refs, func(a, b reference) int { return cmp.Compare(a.nameAt, b.nameAt) })
	w.references = refs
	return refs, versym, nil
}
