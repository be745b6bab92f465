package ld

import "sync/atomic"

// maxSymbolsKept bounds the symbols that a process remembers. A site directory of 1200 modules asks for 20,000.
const maxSymbolsKept = 1 << 16

// maxSlot bounds the answers of one slot: names may be made to have equal hashes.
const maxSlot = 64

// A symbolTable remembers where in the global scope symbols were found, and that they were not. Many modules ask for the
// same, side by side: it has no lock, and what is added while somebody looks for it may be found twice.
type symbolTable struct {
	slots [1 << 13]atomic.Pointer[symbolAnswer]
	count atomic.Int64
}

// A symbolAnswer is one of a slot's list.
type symbolAnswer struct {
	next          *symbolAnswer
	depth         int // of the list from here on
	hash          uint32
	hidden, any   bool
	name, version string
	object        *object // nil for not found
}

func (t *symbolTable) slot(q *search) *atomic.Pointer[symbolAnswer] {
	return &t.slots[q.hash%uint32(len(t.slots))]
}

func (t *symbolTable) get(q *search) (*object, bool) {
	for a := t.slot(q).Load(); a != nil; a = a.next {
		if a.hash == q.hash && a.hidden == q.version.hidden && a.any == q.anyVersion && a.name == string(q.name) && a.version == q.version.name {
			return a.object, true
		}
	}
	return nil, false
}

func (t *symbolTable) put(q *search, o *object) {
	if len(q.name) > 256 || t.count.Add(1) > maxSymbolsKept {
		return // what C++ makes of templates is asked for once
	}
	fresh := &symbolAnswer{hash: q.hash, hidden: q.version.hidden, any: q.anyVersion, name: string(q.name), version: q.version.name, object: o}
	for slot := t.slot(q); ; {
		if fresh.next = slot.Load(); fresh.next != nil {
			fresh.depth = fresh.next.depth + 1
		}
		if fresh.depth >= maxSlot || slot.CompareAndSwap(fresh.next, fresh) {
			return
		}
	}
}
