package ld

import (
	"fmt"
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
