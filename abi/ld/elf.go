package ld

import (
	"encoding/binary"
	"io"
	"math"
	"strings"
)

// A machine is what the loader takes: the files for which it was built.
type machine struct {
	minor int // of glibc's release 2.minor; 0 takes the rules of the newest
	order byteOrder
	wide  bool // ELFCLASS64
	code  uint16
}

// A byteOrder is that of a machine. It is no binary.ByteOrder, as what is handed to an interface must be allocated, and
// symbols are looked up by the hundred thousand.
type byteOrder uint8

const (
	anyOrder byteOrder = iota
	littleEndian
	bigEndian
)

func (o byteOrder) Uint16(b []byte) uint16 {
	if o == bigEndian {
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

func (o byteOrder) Uint32(b []byte) uint32 {
	if o == bigEndian {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (o byteOrder) Uint64(b []byte) uint64 {
	if o == bigEndian {
		return binary.BigEndian.Uint64(b)
	}
	return binary.LittleEndian.Uint64(b)
}

// A segment is one PT_LOAD program header.
type segment struct{ offset, vaddr, filesz, memsz uint64 }

// An image is one ELF file as the loader sees it. Section headers are never read: the loader does not use them.
type image struct {
	machine
	r        io.ReaderAt
	size     int64
	kind     uint16 // e_type
	interp   string
	segments []segment
	tls      segment
	tlsAlign uint64
	stack    uint32 // flags of PT_GNU_STACK
	hasStack bool
	isa      uint32 // GNU_PROPERTY_X86_ISA_1_NEEDED

	dynamic   map[uint64]uint64 // the last of each tag that is no list, as elf_get_dynamic_info takes them
	needed    []dependency
	soname    string
	rpath     string
	runpath   string
	truncated bool // pages of a segment lie behind the end of the file
}

// A dependency is one DT_NEEDED, DT_AUXILIARY or DT_FILTER.
type dependency struct {
	tag  uint64
	name string
}

// readImage reads header, program headers and dynamic section of the file r, with the checks of open_verify and
// _dl_map_object_from_fd (elf/dl-load.c) in their order. The zero machine takes any.
func readImage(r io.ReaderAt, size int64, m machine) (*image, *fault) {
	i := &image{r: r, size: size, dynamic: map[uint64]uint64{}}
	head := make([]byte, 64)
	n, err := r.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, &fault{verdict: Corrupt, text: "cannot read file data", errno: errnoText(err)}
	}
	head = head[:n]
	if f := i.readHeader(head, m); f != nil {
		return nil, f
	}
	if f := i.readProgramHeaders(head); f != nil {
		return nil, f
	}
	return i, nil
}

// readHeader is the first half of open_verify.
func (i *image) readHeader(head []byte, m machine) *fault {
	want := 52
	if m.wide || m.order == anyOrder {
		want = 64
	}
	if len(head) < want {
		return corrupt("file too short")
	}
	if string(head[:4]) != "\x7fELF" {
		return corrupt("invalid ELF header")
	}
	if m.order == anyOrder {
		m = machineOf(head)
	}
	i.machine = m
	if f := i.checkIdent(head); f != nil {
		return f
	}
	if m.order.Uint32(head[20:]) != 1 {
		return corrupt("ELF file version does not match current one")
	}
	if m.order.Uint16(head[18:]) != m.code {
		return &fault{verdict: Arch, skip: true}
	}
	i.kind = m.order.Uint16(head[16:])
	if i.kind != etDyn && i.kind != etExec {
		return corrupt("only ET_DYN and ET_EXEC can be loaded")
	}
	return nil
}

func machineOf(head []byte) machine {
	m := machine{order: littleEndian, wide: head[4] == 2}
	if head[5] == 2 {
		m.order = bigEndian
	}
	m.code = m.order.Uint16(head[18:])
	return m
}

func (m machine) bigEndian() bool { return m.order == bigEndian }

// checkIdent checks e_ident. OS ABIs are System V's and GNU's (VALID_ELF_HEADER, sysdeps/unix/sysv/linux/ldsodefs.h).
func (i *image) checkIdent(head []byte) *fault {
	class, data := byte(1), byte(1)
	if i.wide {
		class = 2
	}
	if i.bigEndian() {
		data = 2
	}
	osabi, version := head[7], head[8]
	switch {
	case head[4] != class:
		return &fault{verdict: Arch, skip: true, class: true}
	case head[5] != data && data == 1:
		return &fault{verdict: Arch, text: "ELF file data encoding not little-endian"}
	case head[5] != data:
		return &fault{verdict: Arch, text: "ELF file data encoding not big-endian"}
	case head[6] != 1:
		return corrupt("ELF file version ident does not match current one")
	case osabi != 0 && osabi != 3:
		return corrupt("ELF file OS ABI invalid")
	case version != 0 && (osabi != 3 || version > 4): // LIBC_ABI_MAX of glibc 2.36
		return corrupt("ELF file ABI version invalid")
	case strings.Trim(string(head[9:16]), "\x00") != "":
		return corrupt("nonzero padding in e_ident")
	}
	return nil
}

// readProgramHeaders is the second half of open_verify, and the scan of _dl_map_object_from_fd.
func (i *image) readProgramHeaders(head []byte) *fault {
	offset, entry, count, want := uint64(i.order.Uint32(head[28:])), i.order.Uint16(head[42:]), i.order.Uint16(head[44:]), uint16(32)
	if i.wide {
		offset, entry, count, want = i.order.Uint64(head[32:]), i.order.Uint16(head[54:]), i.order.Uint16(head[56:]), 56
	}
	if entry != want {
		return corrupt("ELF file's phentsize not the expected size")
	}
	table := make([]byte, int(entry)*int(count))
	if offset > math.MaxInt64-uint64(len(table)) {
		return &fault{verdict: Corrupt, text: "cannot read file data", errno: "Invalid argument"}
	}
	if n, err := i.r.ReadAt(table, int64(offset)); n < len(table) {
		return &fault{verdict: Corrupt, text: "cannot read file data", errno: errnoText(err)}
	}
	return i.scan(table, int(entry))
}

// A header is one program header.
type header struct {
	kind, flags          uint32
	offset, vaddr        uint64
	filesz, memsz, align uint64
}

func (i *image) header(b []byte) header {
	if i.wide {
		w := func(at int) uint64 { return i.order.Uint64(b[at:]) }
		return header{i.order.Uint32(b), i.order.Uint32(b[4:]), w(8), w(16), w(32), w(40), w(48)}
	}
	w := func(at int) uint64 { return uint64(i.order.Uint32(b[at:])) }
	return header{i.order.Uint32(b), i.order.Uint32(b[24:]), w(4), w(8), w(16), w(20), w(28)}
}

func (i *image) scan(table []byte, entry int) *fault {
	var dynamic, interp header
	var notes []header
	for ; len(table) >= entry; table = table[entry:] {
		h := i.header(table)
		switch h.kind {
		case ptLoad:
			if f := i.checkAlignment(h); f != nil {
				return f
			}
			i.segments = append(i.segments, segment{h.offset, h.vaddr, h.filesz, max(h.memsz, h.filesz)})
		case ptDynamic:
			dynamic = h
		case ptInterp:
			interp = h
		case ptTLS:
			i.tls, i.tlsAlign = segment{h.offset, h.vaddr, h.filesz, h.memsz}, h.align
		case ptGNUStack:
			i.stack, i.hasStack = h.flags, true
		case ptGNUProperty, ptNote:
			notes = append(notes, h)
		}
	}
	if f := i.checkNotes(notes); f != nil {
		return f
	}
	if f := i.checkSegments(); f != nil {
		return f
	}
	if interp.kind != 0 && interp.filesz <= pageSize {
		i.interp = i.text(interp)
	}
	if dynamic.filesz == 0 || dynamic.vaddr == 0 {
		if i.kind == etDyn {
			return corrupt("object file has no dynamic section")
		}
		return nil
	}
	i.readNotes(notes)
	return i.readDynamic(dynamic)
}

// before reports whether the loader is of a glibc older than 2.minor.
func (m machine) before(minor int) bool { return m.minor != 0 && m.minor < minor }

// checkAlignment has other rules and words before glibc 2.35.
func (i *image) checkAlignment(h header) *fault {
	switch {
	case !i.before(35) && (h.vaddr-h.offset)%pageSize != 0:
		return corrupt("ELF load command address/offset not page-aligned")
	case !i.before(35):
		return nil
	case h.align%pageSize != 0:
		return corrupt("ELF load command alignment not page-aligned")
	case (h.vaddr-h.offset)&(h.align-1) != 0:
		return corrupt("ELF load command address/offset not properly aligned")
	}
	return nil
}

// checkNotes is the search for .note.ABI-tag that glibc gave up with 2.36: it reads each note.
func (i *image) checkNotes(notes []header) *fault {
	for _, h := range notes {
		if h.kind == ptNote && i.before(36) && h.filesz >= 32 && (h.align == 4 || h.align == 8) && (h.offset > uint64(i.size) || h.filesz > uint64(i.size)-h.offset) {
			return corrupt("cannot read file data")
		}
	}
	return nil
}

func (i *image) text(h header) string {
	b := make([]byte, h.filesz)
	if n, _ := i.r.ReadAt(b, int64(h.offset&math.MaxInt64)); n < len(b) {
		return ""
	}
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

func (i *image) checkSegments() *fault {
	if len(i.segments) == 0 {
		return corrupt("object file has no loadable segments")
	}
	first, last := i.segments[0], i.segments[len(i.segments)-1]
	if last.vaddr < first.vaddr || last.vaddr > maxAddresses || last.memsz > maxAddresses || last.vaddr+last.memsz-first.vaddr > maxAddresses {
		return &fault{verdict: Corrupt, text: "failed to map segment from shared object", errno: "Cannot allocate memory"}
	}
	for _, s := range i.segments {
		if s.filesz == 0 {
			continue
		}
		end := s.offset + s.filesz
		if end < s.offset {
			return crash("the segments of the file are nonsense")
		}
		if s.memsz-s.filesz > maxZeroFill {
			return corrupt("cannot map zero-fill pages")
		}
		if (end-1)/pageSize*pageSize >= uint64(i.size) { // a page that is cut in two reads as zeros (mmap(2))
			i.truncated = true
		}
	}
	return nil
}
