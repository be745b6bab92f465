package abi

import (
	"bytes"
	"slices"
)

// Segments are read in pieces that overlap, so that a constant is whole in one of them.
const (
	pieceBytes   = 512 << 10
	pieceOverlap = 256
)

// Permissions of a segment (p_flags of elf(5)).
const (
	segmentExecutable = 1
	segmentWritable   = 2
)

// constantSegments returns the segments in the order in which constants are looked for: read-only data first, then
// what is writable, then code (old linkers put it into one segment with constants).
func (o *object) constantSegments() []segment {
	ordered := slices.Clone(o.segments)
	rank := func(s segment) int { // executable counts most
		return int(s.flags&segmentWritable | s.flags&segmentExecutable<<2)
	}
	slices.SortStableFunc(ordered, func(a, b segment) int { return rank(a) - rank(b) })
	return ordered
}

// scan calls visit with the bytes of a segment, piece by piece, and the address of each, until visit returns false.
// The bytes are valid during the call only. An object is scanned for maxScanBytes at most.
func (o *object) scan(s segment, visit func(b []byte, vaddr uint64) bool) {
	if s.offset > uint64(o.size) {
		return
	}
	if o.piece == nil {
		o.piece = make([]byte, pieceBytes)
	}
	rest := min(s.filesz, uint64(o.size)-s.offset)
	for at := uint64(0); at < rest && o.scanned < maxScanBytes; at += pieceBytes - pieceOverlap {
		b := o.piece[:min(rest-at, pieceBytes)]
		if _, err := o.r.ReadAt(b, int64(s.offset+at)); err != nil {
			return
		}
		o.scanned += uint64(len(b))
		if !visit(b, s.vaddr+at) {
			return
		}
	}
}

// each calls visit with each place of s in b, until it returns false.
func each(b []byte, s string, visit func(at int) bool) {
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], []byte(s))
		if i < 0 {
			return
		}
		at += i
		if !visit(at) {
			return
		}
	}
}

// hasConstant reports whether the string s stands, ended by NUL on both sides, in a segment.
func (o *object) hasConstant(s string) bool {
	found := false
	for _, segment := range o.constantSegments() {
		o.scan(segment, func(b []byte, _ uint64) bool {
			found = found || bytes.Contains(b, []byte("\x00"+s+"\x00"))
			return !found
		})
	}
	return found
}
