package abi

import "bytes"

// Relocations with the addend beside them (System V ABI, "Dynamic Section").
const (
	dtRela   = 7
	dtRelasz = 8
)

// maxRelocations bounds the table of relocations that is searched, in bytes.
const maxRelocations = 4 << 20

// pointersTo returns the addresses of words that hold vaddr after relocation: those of relocations with that addend,
// and those that hold it in the file (fixed addresses, and relocations without addend).
func (o *object) pointersTo(vaddr uint64) []uint64 {
	var slots []uint64
	o.eachRelocation(func(slot, addend uint64) bool {
		if addend == vaddr {
			slots = append(slots, slot)
		}
		return len(slots) < maxSuffixes
	})
	if len(slots) > 0 {
		return slots
	}
	word := make([]byte, o.wordSize())
	if o.wide {
		o.order.PutUint64(word, vaddr)
	} else {
		o.order.PutUint32(word, uint32(vaddr))
	}
	for _, s := range o.constantSegments() {
		if s.flags&segmentExecutable != 0 && len(slots) > 0 {
			continue // data of a program at a fixed address lies with its code only after old linkers
		}
		o.scan(s, func(b []byte, base uint64) bool {
			each(b, string(word), func(at int) bool {
				slots = append(slots, base+uint64(at))
				return len(slots) < maxSuffixes
			})
			return len(slots) < maxSuffixes
		})
	}
	return slots
}

// eachRelocation calls visit with place and addend of each entry of DT_RELA, until it returns false.
func (o *object) eachRelocation(visit func(slot, addend uint64) bool) {
	if o.relocations == nil {
		b, err := o.readAddress(o.dynamic[dtRela], o.dynamic[dtRelasz], maxRelocations)
		if err != nil {
			b = []byte{}
		}
		o.relocations = b
	}
	word := o.wordSize()
	for b := o.relocations; len(b) >= 3*word; b = b[3*word:] {
		if !visit(o.word(b), o.word(b[2*word:])) {
			return
		}
	}
}

// pointers returns the count words from slot on as they are after relocation, relative to the load address; those
// that lie outside of the file's segments are 0.
func (o *object) pointers(slot uint64, count int) []uint64 {
	word := uint64(o.wordSize())
	words := make([]uint64, count)
	if _, rest, ok := o.offset(slot); ok {
		b, _ := o.readAddress(slot, min(rest, uint64(count)*word), uint64(count)*word)
		for i := 0; uint64(len(b)) >= word; i, b = i+1, b[word:] {
			words[i] = o.word(b)
		}
	}
	o.eachRelocation(func(at, addend uint64) bool {
		if i := (at - slot) / word; at >= slot && i < uint64(count) && addend != 0 {
			words[i] = addend
		}
		return true
	})
	return words
}

// stringAt returns the text at an address, "" when there is none or it is longer than a name.
func (o *object) stringAt(vaddr uint64) string {
	offset, rest, ok := o.offset(vaddr)
	if !ok {
		return ""
	}
	b, err := o.read(offset, min(rest, 128), 128)
	if err != nil || bytes.IndexByte(b, 0) < 0 {
		return ""
	}
	return cString(b)
}
