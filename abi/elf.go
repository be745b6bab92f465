package abi

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Bounds of what is read of one ELF file. Real interpreters stay far below; a header that asks for more is refused,
// so that a hostile image costs neither memory nor time.
const (
	maxProgramHeaders = 256
	maxDynamicBytes   = 64 << 10
	maxStringTable    = 16 << 20
	maxSymbols        = 1 << 18
	maxVersions       = 4096
	maxScanBytes      = 256 << 20
)

// errNotELF is wrapped by errors about files without ELF's magic number.
var errNotELF = errors.New("not an ELF file")

// elfHeader constants: System V ABI, "Object Files"; values as in elf(5).
const (
	ptLoad    = 1
	ptDynamic = 2
	ptInterp  = 3

	dtNull     = 0
	dtNeeded   = 1
	dtHash     = 4
	dtStrtab   = 5
	dtSymtab   = 6
	dtStrsz    = 10
	dtSoname   = 14
	dtRpath    = 15
	dtRunpath  = 29
	dtGnuHash  = 0x6ffffef5
	dtVerdef   = 0x6ffffffc
	dtVerdefnr = 0x6ffffffd
)

// An object is the part of an ELF file that says what it needs and defines. Section headers are never read: stripped
// and hardened files lack them, and the loader does not use them.
type object struct {
	r        io.ReaderAt
	size     int64
	order    binary.ByteOrder
	wide     bool // ELFCLASS64
	machine  uint16
	little   bool
	interp   string
	segments []segment
	dynamic  map[uint64]uint64 // the first of each tag that is no list
	needed   []string
	soname   string
	rpath    string
	runpath  string
	strings  []byte

	relocations []byte // of DT_RELA, read when first asked for
	piece       []byte // buffer of scan
	scanned     uint64 // bytes
}

// A segment is one PT_LOAD program header.
type segment struct {
	offset, vaddr, filesz uint64
	flags                 uint32
}

// readObject reads header, program headers and the dynamic section of the ELF file r of size bytes.
func readObject(r io.ReaderAt, size int64) (*object, error) {
	o := &object{r: r, size: size, dynamic: map[uint64]uint64{}}
	head, err := o.read(0, 64, 64)
	if err != nil || !bytes.HasPrefix(head, []byte("\x7fELF")) {
		return nil, errNotELF
	}
	o.wide = head[4] == 2
	o.little = head[5] != 2
	o.order = binary.LittleEndian
	if !o.little {
		o.order = binary.BigEndian
	}
	o.machine = o.order.Uint16(head[18:])
	if err := o.readSegments(head); err != nil {
		return nil, err
	}
	return o, nil
}

func (o *object) readSegments(head []byte) error {
	offset, entry, count := uint64(o.order.Uint32(head[28:])), o.order.Uint16(head[42:]), o.order.Uint16(head[44:])
	least := uint16(32)
	if o.wide {
		offset, entry, count, least = o.order.Uint64(head[32:]), o.order.Uint16(head[54:]), o.order.Uint16(head[56:]), 56
	}
	if count == 0 {
		return nil
	}
	if entry < least || count > maxProgramHeaders {
		return fmt.Errorf("program headers: %d of %d bytes are out of bounds", count, entry)
	}
	table, err := o.read(offset, uint64(entry)*uint64(count), maxProgramHeaders*1024)
	if err != nil {
		return fmt.Errorf("program headers: %w", err)
	}
	var dynamic, interp *segment
	for ; len(table) >= int(entry); table = table[entry:] {
		kind, s := o.segment(table)
		switch kind {
		case ptLoad:
			o.segments = append(o.segments, s)
		case ptDynamic:
			dynamic = &s
		case ptInterp:
			interp = &s
		}
	}
	if interp != nil {
		b, err := o.read(interp.offset, interp.filesz, 4096)
		if err != nil {
			return fmt.Errorf("interpreter's path: %w", err)
		}
		o.interp = cString(b)
	}
	if dynamic != nil {
		return o.readDynamic(*dynamic)
	}
	return nil
}

func (o *object) segment(b []byte) (uint32, segment) {
	kind := o.order.Uint32(b)
	if o.wide {
		return kind, segment{o.order.Uint64(b[8:]), o.order.Uint64(b[16:]), o.order.Uint64(b[32:]), o.order.Uint32(b[4:])}
	}
	return kind, segment{uint64(o.order.Uint32(b[4:])), uint64(o.order.Uint32(b[8:])), uint64(o.order.Uint32(b[16:])), o.order.Uint32(b[24:])}
}

func (o *object) readDynamic(s segment) error {
	b, err := o.read(s.offset, min(s.filesz, maxDynamicBytes), maxDynamicBytes)
	if err != nil {
		return fmt.Errorf("dynamic section: %w", err)
	}
	word := o.wordSize()
	var needed []uint64
	for ; len(b) >= 2*word; b = b[2*word:] {
		tag, value := o.word(b), o.word(b[word:])
		if tag == dtNull {
			break
		}
		if tag == dtNeeded {
			needed = append(needed, value)
		} else if _, dup := o.dynamic[tag]; !dup {
			o.dynamic[tag] = value
		}
	}
	if size, ok := o.dynamic[dtStrsz]; ok {
		if o.strings, err = o.readAddress(o.dynamic[dtStrtab], size, maxStringTable); err != nil {
			return fmt.Errorf("string table: %w", err)
		}
	}
	for _, n := range needed {
		o.needed = append(o.needed, o.str(n))
	}
	o.soname, o.rpath, o.runpath = o.tagString(dtSoname), o.tagString(dtRpath), o.tagString(dtRunpath)
	return nil
}

func (o *object) tagString(tag uint64) string {
	if value, ok := o.dynamic[tag]; ok {
		return o.str(value)
	}
	return ""
}

func (o *object) wordSize() int {
	if o.wide {
		return 8
	}
	return 4
}

func (o *object) word(b []byte) uint64 {
	if o.wide {
		return o.order.Uint64(b)
	}
	return uint64(o.order.Uint32(b))
}

// str returns the string at offset n of the dynamic string table, "" when it lies outside.
func (o *object) str(n uint64) string { return string(o.strBytes(n)) }

func (o *object) strBytes(n uint64) []byte {
	if n >= uint64(len(o.strings)) {
		return nil
	}
	b := o.strings[n:]
	if end := bytes.IndexByte(b, 0); end >= 0 {
		return b[:end]
	}
	return nil
}

// read returns n bytes at offset; more than limit, or more than the file has, is an error.
func (o *object) read(offset, n, limit uint64) ([]byte, error) {
	if n > limit {
		return nil, fmt.Errorf("%d bytes are more than the %d that are read", n, limit)
	}
	if offset > uint64(o.size) || n > uint64(o.size)-offset {
		return nil, fmt.Errorf("%d bytes at %#x lie behind the end of the file (%d bytes)", n, offset, o.size)
	}
	b := make([]byte, n)
	if _, err := o.r.ReadAt(b, int64(offset)); err != nil {
		return nil, err
	}
	return b, nil
}

// readAddress is read at a virtual address.
func (o *object) readAddress(vaddr, n, limit uint64) ([]byte, error) {
	offset, rest, ok := o.offset(vaddr)
	if !ok || n > rest {
		return nil, fmt.Errorf("%d bytes at address %#x are in no segment", n, vaddr)
	}
	return o.read(offset, n, limit)
}

// offset translates a virtual address into one of the file, and tells how many bytes of the segment follow.
func (o *object) offset(vaddr uint64) (offset, rest uint64, ok bool) {
	for _, s := range o.segments {
		if vaddr >= s.vaddr && vaddr-s.vaddr < s.filesz {
			return s.offset + (vaddr - s.vaddr), s.filesz - (vaddr - s.vaddr), true
		}
	}
	return 0, 0, false
}

// A defined symbol of the dynamic symbol table.
type symbol struct{ value uint64 }

// eachSymbol calls visit with the name of every defined dynamic symbol. The name is valid during the call only.
func (o *object) eachSymbol(visit func(name []byte, s symbol)) error {
	count, err := o.countSymbols()
	if err != nil || count == 0 {
		return err
	}
	entry := uint64(16)
	if o.wide {
		entry = 24
	}
	table, err := o.readAddress(o.dynamic[dtSymtab], count*entry, maxSymbols*24)
	if err != nil {
		return fmt.Errorf("symbol table: %w", err)
	}
	for ; uint64(len(table)) >= entry; table = table[entry:] {
		name, section, value := uint64(o.order.Uint32(table)), uint16(0), uint64(0)
		if o.wide {
			section, value = o.order.Uint16(table[6:]), o.order.Uint64(table[8:])
		} else {
			section, value = o.order.Uint16(table[14:]), uint64(o.order.Uint32(table[4:]))
		}
		if section != 0 {
			visit(o.strBytes(name), symbol{value})
		}
	}
	return nil
}

// countSymbols gives the length of the dynamic symbol table, which only its hash tables know: DT_HASH holds it,
// DT_GNU_HASH ends with the chain of the highest bucket.
func (o *object) countSymbols() (uint64, error) {
	if at, ok := o.dynamic[dtHash]; ok && o.machine != 22 { // s390x has 8-byte words there
		if b, err := o.readAddress(at, 8, 8); err == nil {
			return min(uint64(o.order.Uint32(b[4:])), maxSymbols), nil
		}
	}
	at, ok := o.dynamic[dtGnuHash]
	if !ok {
		return 0, nil
	}
	head, err := o.readAddress(at, 16, 16)
	if err != nil {
		return 0, fmt.Errorf("symbol hash table: %w", err)
	}
	buckets, first, bloom := uint64(o.order.Uint32(head)), uint64(o.order.Uint32(head[4:])), uint64(o.order.Uint32(head[8:]))
	table := at + 16 + bloom*uint64(o.wordSize())
	b, err := o.readAddress(table, buckets*4, maxSymbols*4)
	if err != nil {
		return 0, fmt.Errorf("symbol hash table: %w", err)
	}
	last := uint64(0)
	for ; len(b) >= 4; b = b[4:] {
		last = max(last, uint64(o.order.Uint32(b)))
	}
	if last < first {
		return first, nil
	}
	return o.chainEnd(table+buckets*4+(last-first)*4, last)
}

// chainEnd follows the hash chain at address from symbol last on to its end, marked by the lowest bit.
func (o *object) chainEnd(address, last uint64) (uint64, error) {
	_, rest, ok := o.offset(address)
	if !ok {
		return 0, fmt.Errorf("symbol hash table: chain at %#x is in no segment", address)
	}
	b, err := o.readAddress(address, min(rest, 4096)&^3, 4096)
	if err != nil {
		return 0, err
	}
	for ; len(b) >= 4 && last < maxSymbols; b = b[4:] {
		last++
		if o.order.Uint32(b)&1 == 1 {
			return last, nil
		}
	}
	return last, nil
}

// versions returns the names of the symbol versions that o defines (DT_VERDEF), its own name among them.
func (o *object) versions() []string {
	at, count := o.dynamic[dtVerdef], min(o.dynamic[dtVerdefnr], maxVersions)
	var names []string
	for ; count > 0; count-- {
		def, err := o.readAddress(at, 20, 20)
		if err != nil {
			break
		}
		if aux, err := o.readAddress(at+uint64(o.order.Uint32(def[12:])), 8, 8); err == nil {
			names = append(names, o.str(uint64(o.order.Uint32(aux))))
		}
		next := o.order.Uint32(def[16:])
		if next == 0 {
			break
		}
		at += uint64(next)
	}
	return names
}

func cString(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}
