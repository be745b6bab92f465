package ld

// A tlsSpace is the static TLS block of a process: its size without the thread's control block, what is used of it, and
// its alignment, which no later object may exceed.
type tlsSpace struct{ size, used, align uint64 }

// Sizes of glibc: the surplus that later objects share (TLS_STATIC_SURPLUS, elf/dl-tls.c: 64 + 16*100, and the same sum
// from its parts since 2.32), and rseq's area, which is part of the block since 2.41.
const (
	tlsSurplus = 1664
	rseqArea   = 32
	tcbAlign   = 64
	maxTLS     = 1 << 40
)

func roundUp(n, align uint64) uint64 {
	if align < 2 {
		return n
	}
	return (n + align - 1) / align * align
}

// startTLS lays the blocks of the first objects out (_dl_determine_tlsoffset, elf/dl-tls.c, TLS_TCB_AT_TP).
func (s *System) startTLS(objects []*object) tlsSpace {
	largest, offset, top, bottom := uint64(tcbAlign), uint64(0), uint64(0), uint64(0)
	for _, o := range objects {
		size, align := o.tls.memsz, max(o.tlsAlign, 1)
		if size == 0 || size > maxTLS || align > maxTLS {
			continue
		}
		first := (align - o.tls.vaddr%align) % align
		largest = max(largest, align)
		if bottom-top >= size {
			if at := roundUp(top+size-first, align) + first; at <= bottom {
				top = at
				continue
			}
		}
		at := roundUp(offset+size-first, align) + first
		if at > offset+size+(bottom-top) {
			top, bottom = offset, at-size
		}
		offset = at
	}
	if s.habits.minor >= 41 {
		offset = roundUp(offset+rseqArea, rseqArea)
	}
	return tlsSpace{roundUp(offset+tlsSurplus, largest), offset, largest}
}

// staticTLSKinds are the relocations by which an object asks that a variable lies in the static block: R_*_TPOFF, TPREL.
func staticTLSKind(machine uint16, kind uint32) bool {
	switch machine {
	case 62: // x86-64
		return kind == 18
	case 3: // i386
		return kind == 14 || kind == 37
	case 183: // aarch64
		return kind == 1030
	case 40: // arm
		return kind == 19
	case 21: // ppc64
		return kind == 73
	case 22: // s390x
		return kind == 56
	case 243: // riscv
		return kind == 11
	}
	return false
}

// reserveTLS takes room in the static block for o, and for objects whose variables it uses directly.
func (l *loading) reserveTLS(o *object, scope []*object) *failure {
	if l.start || o.dynamic[dtFlags]&dfStaticTLS == 0 {
		return nil
	}
	var owners []*object
	seen := map[uint32]bool{}
	f := o.eachRelocation(eager, func(r relocation) bool {
		if staticTLSKind(o.code, r.kind) && !seen[r.symbol] {
			seen[r.symbol] = true
			owners = append(owners, l.owner(o, r.symbol, scope))
		}
		return len(seen) < maxObjects
	})
	if f != nil {
		return failed(f, o.path, Result{Object: o.path})
	}
	for _, owner := range owners {
		if owner == nil || l.isOld(owner) || !l.tls.take(owner, l.placed) {
			continue
		}
		return failed(&fault{verdict: Gate, text: "cannot allocate memory in static TLS block"}, owner.path, Result{Object: owner.path})
	}
	return nil
}

func (o *file) symbolName(index uint32) string {
	var b [24]byte
	n := o.symbolSize()
	if index == 0 || !o.peek(b[:n], o.dynamic[dtSymtab]+uint64(index)*n) {
		return ""
	}
	name, _ := o.string(uint64(o.symbol(b[:n]).name))
	return name
}

// owner is the object that defines the thread-local variable of a relocation.
func (l *loading) owner(o *object, index uint32, scope []*object) *object {
	var b [24]byte
	n := o.symbolSize()
	if index == 0 || !o.peek(b[:n], o.dynamic[dtSymtab]+uint64(index)*n) {
		return o
	}
	s := o.symbol(b[:n])
	if s.section != shnUndef {
		return o
	}
	name, f := o.string(uint64(s.name))
	if f != nil {
		return o
	}
	bind := &binding{loading: l, object: o, scope: l.scopeOf(scope)}
	return bind.lookup(&search{name: []byte(name), hash: gnuHash([]byte(name))}, nil)
}

// take reserves the block of o, once; true when there is no room (_dl_try_allocate_static_tls, elf/dl-reloc.c).
func (t *tlsSpace) take(o *object, placed map[*object]bool) bool {
	size, align := o.tls.memsz, max(o.tlsAlign, 1)
	if size == 0 || placed[o] {
		return false
	}
	free := t.size - t.used
	first := o.tls.vaddr % align
	if size > maxTLS || align > t.align || size+first > free {
		return true
	}
	placed[o] = true
	blocks := (free - size - first) / align
	t.used += free - blocks*align - first
	return false
}
