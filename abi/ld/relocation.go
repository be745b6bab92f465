package ld

// A relocation is one that names a symbol.
type relocation struct {
	symbol, kind uint32
}

// A relocationOrder says which relocations a loader does, and when.
type relocationOrder int

const (
	eager    relocationOrder = iota // glibc with RTLD_NOW (_ELF_DYNAMIC_DO_RELOC, elf/dynamic-link.h)
	lazy                            // without DT_JMPREL
	pltFirst                        // musl: DT_JMPREL before the rest (do_relocs, ldso/dynlink.c)
)

// eachRelocation calls visit with the relocations in the given order, until it returns false. The relative ones at the
// start are passed over.
func (o *file) eachRelocation(order relocationOrder, visit func(relocation) bool) *fault {
	word := uint64(o.wordSize())
	type table struct{ at, size, entry, skip uint64 }
	tables := []table{
		{o.dynamic[dtRela], o.dynamic[dtRelaSz], 3 * word, o.dynamic[dtRelaCount]},
		{o.dynamic[dtRel], o.dynamic[dtRelSz], 2 * word, o.dynamic[dtRelCount]},
	}
	if order != lazy {
		entry := 3 * word
		if o.dynamic[dtPltRel] == dtRel {
			entry = 2 * word
		}
		plt := table{o.dynamic[dtJmpRel], o.dynamic[dtPltRelSz], entry, 0}
		if order == pltFirst {
			tables = append([]table{plt}, tables...)
		} else {
			tables = append(tables, plt)
		}
	}
	for _, t := range tables {
		if t.size == 0 || t.size > maxRelocations {
			continue
		}
		if t.skip > t.size/t.entry {
			continue
		}
		skip := t.skip * t.entry
		more, f := o.relocations(t.at+skip, t.size-skip, t.entry, visit)
		if f != nil || !more {
			return f
		}
	}
	return nil
}

func (o *file) relocations(at, size, entry uint64, visit func(relocation) bool) (bool, *fault) {
	const batch = 4096
	for size >= entry {
		n := min(size/entry, batch) * entry
		b, f := o.at(at, n)
		if f != nil {
			return false, f
		}
		at, size = at+n, size-n
		for ; uint64(len(b)) >= entry; b = b[entry:] {
			if !visit(o.relocation(b)) {
				return false, nil
			}
		}
	}
	return true, nil
}

func (o *file) relocation(b []byte) relocation {
	info := o.word(b[o.wordSize():])
	if o.wide {
		return relocation{uint32(info >> 32), uint32(info)}
	}
	return relocation{uint32(info) >> 8, uint32(info) & 0xff}
}
