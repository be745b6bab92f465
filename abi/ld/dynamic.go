package ld

import (
	"math"
)

// readNotes looks for the x86 levels that the object needs (GNU property note; x86-64 psABI, "Program Property").
func (i *image) readNotes(notes []header) {
	if i.code != 62 {
		return
	}
	for _, h := range notes {
		b := make([]byte, min(h.filesz, maxNotes))
		if n, _ := i.r.ReadAt(b, int64(h.offset&math.MaxInt64)); n < len(b) {
			continue
		}
		step := 4
		if h.align == 8 {
			step = 8
		}
		i.readNote(b, step)
	}
}

func (i *image) readNote(b []byte, align int) {
	for len(b) >= 16 {
		names, length, kind := int(i.order.Uint32(b)), int(i.order.Uint32(b[4:])), i.order.Uint32(b[8:])
		if names > len(b) || length > len(b) {
			return
		}
		at := 12 + (names+3)&^3
		if at+length > len(b) {
			return
		}
		if kind == 5 && string(b[12:16]) == "GNU\x00" {
			i.readProperties(b[at : at+length])
		}
		next := (at + length + align - 1) &^ (align - 1)
		if next >= len(b) {
			return
		}
		b = b[next:]
	}
}

func (i *image) readProperties(b []byte) {
	for len(b) >= 8 {
		kind, length := i.order.Uint32(b), int(i.order.Uint32(b[4:]))
		if length > len(b)-8 {
			return
		}
		if kind == 0xc0008002 && length >= 4 {
			i.isa |= i.order.Uint32(b[8:])
		}
		next := 8 + (length+7)&^7
		if next >= len(b) {
			return
		}
		b = b[next:]
	}
}

func (i *image) wordSize() int {
	if i.wide {
		return 8
	}
	return 4
}

func (i *image) word(b []byte) uint64 {
	if i.wide {
		return i.order.Uint64(b)
	}
	return uint64(i.order.Uint32(b))
}

func (i *image) readDynamic(h header) *fault {
	b, f := i.at(h.vaddr, min(h.memsz, maxDynamicBytes))
	if f != nil {
		if i.truncated {
			return nil // the caller reports the truncation
		}
		return f
	}
	type entry struct{ tag, value uint64 }
	if word := i.wordSize(); len(b) < word || i.word(b) == 0 {
		return crash("the dynamic section of the file is empty")
	}
	var lists []entry
	word := i.wordSize()
	for ; len(b) >= 2*word; b = b[2*word:] {
		tag, value := i.word(b), i.word(b[word:])
		if tag == 0 {
			break
		}
		switch tag {
		case dtNeeded, dtAuxiliary, dtFilter:
			lists = append(lists, entry{tag, value})
		default:
			i.dynamic[tag] = value
		}
	}
	if f := i.checkEntrySizes(); f != nil {
		return f
	}
	if len(lists) > maxNeeded {
		return corrupt("%d dependencies are more than the %d that are read", len(lists), maxNeeded)
	}
	for _, e := range lists {
		name, f := i.string(e.value)
		if f != nil {
			return f
		}
		i.needed = append(i.needed, dependency{e.tag, name})
	}
	return i.readNames()
}

// checkEntrySizes holds the assertions of elf_get_dynamic_info (elf/get-dynamic-info.h).
func (i *image) checkEntrySizes() *fault {
	word := uint64(i.wordSize())
	for _, a := range []struct {
		tag, want uint64
		name      string
	}{{dtRelaEnt, 3 * word, "RELA"}, {dtRelEnt, 2 * word, "REL"}} {
		if got, ok := i.dynamic[a.tag]; ok && got != a.want {
			f := corrupt("Inconsistency detected by ld.so: get-dynamic-info.h: elf_get_dynamic_info: Assertion `info[DT_%sENT]' failed!", a.name)
			f.killed = true
			return f
		}
	}
	return nil
}

func (i *image) readNames() *fault {
	for tag, to := range map[uint64]*string{dtSoname: &i.soname, dtRpath: &i.rpath, dtRunpath: &i.runpath} {
		if value, ok := i.dynamic[tag]; ok {
			s, f := i.string(value)
			if f != nil {
				return f
			}
			*to = s
		}
	}
	if _, ok := i.dynamic[dtRunpath]; ok {
		i.rpath = "" // elf_get_dynamic_info: "If both RUNPATH and RPATH are given, the latter is ignored"
	}
	return nil
}

// flags1 returns DT_FLAGS_1.
func (i *image) flags1() uint64 { return i.dynamic[dtFlags1] }

// bindsNow reports whether even lazy binding resolves all symbols at once.
func (i *image) bindsNow() bool {
	_, now := i.dynamic[dtBindNow]
	return now || i.dynamic[dtFlags]&dfBindNow != 0 || i.flags1()&df1Now != 0
}

// executableStack reports whether the object asks for one. Without PT_GNU_STACK the machine decides
// (DEFAULT_STACK_PERMS, sysdeps/*/stackinfo.h).
func (i *image) executableStack() bool {
	if i.hasStack {
		return i.stack&pfX != 0
	}
	switch i.code {
	case 183, 243, 258, 21: // aarch64, riscv, loongarch, ppc64
		return false
	}
	return true
}
