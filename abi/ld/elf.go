package ld

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
)

// Bounds of what is read of one file. Real objects stay far below; what asks for more is called damaged, so that a
// hostile tree costs neither memory nor time.
const (
	maxDynamicBytes = 256 << 10
	maxNeeded       = 1024
	maxVersions     = 8192
	maxNotes        = 64 << 10
	maxName         = 64 << 10 // C++ symbols grow to tens of KiB
	maxUndefined    = 1 << 19
	maxNameBytes    = 64 << 20 // of all undefined symbols
	maxChainSteps   = 8 << 20  // of the lookups of one object
	maxDirectories  = 1024     // of one search path
	maxHashBytes    = 16 << 20
	maxRelocations  = 1 << 30
)

// Program header types and flags (elf(5)).
const (
	ptLoad        = 1
	ptDynamic     = 2
	ptInterp      = 3
	ptNote        = 4
	ptTLS         = 7
	ptGNUStack    = 0x6474e551
	ptGNUProperty = 0x6474e553

	pfX = 1

	etExec = 2
	etDyn  = 3
)

// Dynamic tags (elf(5), and elf/elf.h of glibc).
const (
	dtNeeded      = 1
	dtPltRelSz    = 2
	dtHash        = 4
	dtStrtab      = 5
	dtSymtab      = 6
	dtRela        = 7
	dtRelaSz      = 8
	dtRelaEnt     = 9
	dtSoname      = 14
	dtRpath       = 15
	dtRel         = 17
	dtRelSz       = 18
	dtRelEnt      = 19
	dtPltRel      = 20
	dtJmpRel      = 23
	dtBindNow     = 24
	dtInitArray   = 25
	dtInitArraySz = 27
	dtRunpath     = 29
	dtFlags       = 30
	dtRelrSz      = 35
	dtRelr        = 36
	dtGNUHash     = 0x6ffffef5
	dtVersym      = 0x6ffffff0
	dtRelaCount   = 0x6ffffff9
	dtRelCount    = 0x6ffffffa
	dtFlags1      = 0x6ffffffb
	dtVerdef      = 0x6ffffffc
	dtVerneed     = 0x6ffffffe
	dtAuxiliary   = 0x7ffffffd
	dtFilter      = 0x7fffffff
	dfBindNow     = 0x8
	dfStaticTLS   = 0x10
	df1Now        = 0x1
	df1NoOpen     = 0x40
	df1NoDefLib   = 0x800
	df1PIE        = 0x08000000
	pageSize      = 4096
	maxAddresses  = 1 << 47 // of a process on the machines that glibc runs on
	maxZeroFill   = 1 << 42 // more than the kernel commits to (Documentation/mm/overcommit-accounting)
)

// A fault is why the loader refuses a file, in its own words: text and, where it adds one, the C library's for errno.
type fault struct {
	verdict Verdict
	text    string
	errno   string // strerror's text; "" for none
	killed  bool   // the process dies instead
	skip    bool   // the file is passed over without a word, as if it were absent
	class   bool   // with skip: for another word size, which the last message says
}

func (f *fault) message(name string) string {
	m := f.text
	if name != "" {
		m = name + ": " + m
	}
	if f.errno != "" {
		m += ": " + f.errno
	}
	return m
}

func corrupt(format string, a ...any) *fault {
	return &fault{verdict: Corrupt, text: fmt.Sprintf(format, a...)}
}

// busError is the death by a page behind the end of a truncated file.
func busError() *fault {
	return &fault{verdict: Corrupt, text: "the file is truncated: the process dies of SIGBUS (Bus error)", killed: true}
}

// crash is the death by tables that point nowhere.
func crash(what string) *fault {
	return &fault{verdict: Corrupt, text: what + ": the process dies of SIGSEGV (Segmentation fault)", killed: true}
}

// A machine is what the loader takes: the files for which it was built.
type machine struct {
	minor int // of glibc's release 2.minor; 0 takes the rules of the newest
	order binary.ByteOrder
	wide  bool // ELFCLASS64
	code  uint16
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
	if m.wide || m.order == nil {
		want = 64
	}
	if len(head) < want {
		return corrupt("file too short")
	}
	if string(head[:4]) != "\x7fELF" {
		return corrupt("invalid ELF header")
	}
	if m.order == nil {
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
	m := machine{order: binary.LittleEndian, wide: head[4] == 2}
	if head[5] == 2 {
		m.order = binary.BigEndian
	}
	m.code = m.order.Uint16(head[18:])
	return m
}

func (m machine) bigEndian() bool { return m.order == binary.BigEndian }

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
		return corrupt("ELF file data encoding not little-endian")
	case head[5] != data:
		return corrupt("ELF file data encoding not big-endian")
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
