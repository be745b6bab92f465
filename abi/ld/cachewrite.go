package ld

import (
	"encoding/binary"
	"slices"
	"strings"
)

// Merge returns c with the entries of more whose names c lacks (for the same flags): what the image has is never shadowed.
func (c *Cache) Merge(more []CacheEntry) *Cache {
	type key struct {
		name  string
		flags uint32
	}
	has := map[key]bool{}
	for _, e := range c.Entries {
		has[key{e.Name, e.Flags}] = true
	}
	merged := &Cache{Entries: slices.Clone(c.Entries)}
	for _, e := range more {
		if k := (key{e.Name, e.Flags}); !has[k] {
			has[k] = true
			merged.Entries = append(merged.Entries, e)
		}
	}
	return merged
}

// sorted orders entries as ldconfig does (compare, elf/cache.c): names falling, then flags, then subdirectories of
// glibc-hwcaps before the rest.
func (c *Cache) sorted() []CacheEntry {
	entries := slices.Clone(c.Entries)
	slices.SortStableFunc(entries, func(a, b CacheEntry) int {
		if r := compareNames(b.Name, a.Name); r != 0 {
			return r
		}
		if a.Flags != b.Flags {
			return int(int64(b.Flags) - int64(a.Flags))
		}
		switch {
		case a.Subdir != "" && b.Subdir == "":
			return -1
		case a.Subdir == "" && b.Subdir != "":
			return 1
		case a.Subdir != b.Subdir:
			return strings.Compare(a.Subdir, b.Subdir)
		case a.HWCap > b.HWCap:
			return -1
		case a.HWCap < b.HWCap:
			return 1
		}
		return 0
	})
	return entries
}

// Bytes returns the cache in the new format, sorted as ldconfig does, for machines of the given byte order. Its mark of
// the byte order is understood since glibc 2.33 and passed over by older ones.
func (c *Cache) Bytes(bigEndian bool) []byte {
	w := &cacheWriter{order: binary.LittleEndian, offsets: map[string]uint32{}}
	mark := byte(2)
	if bigEndian {
		w.order, mark = binary.BigEndian, 3
	}
	entries := c.sorted()
	subdirs := subdirsOf(entries)
	w.base = uint32(newHeader + len(entries)*newEntry)
	b := append([]byte(newMagic), make([]byte, newHeader-len(newMagic))...)
	w.order.PutUint32(b[20:], uint32(len(entries)))
	b[28] = mark
	for _, e := range entries {
		b = w.entry(b, e, subdirs)
	}
	names := make([]uint32, len(subdirs))
	for i, s := range subdirs {
		names[i] = w.text(s)
	}
	w.order.PutUint32(b[24:], uint32(len(w.strings)))
	b = append(b, w.strings...)
	if len(names) > 0 {
		for len(b)%4 != 0 {
			b = append(b, 0)
		}
		w.order.PutUint32(b[32:], uint32(len(b)))
		b = w.extension(b, names)
	}
	return b
}

func subdirsOf(entries []CacheEntry) []string {
	var names []string
	for _, e := range entries {
		if e.Subdir != "" && !slices.Contains(names, e.Subdir) {
			names = append(names, e.Subdir)
		}
	}
	slices.Sort(names)
	return names
}

type cacheWriter struct {
	order   binary.ByteOrder
	base    uint32
	strings []byte
	offsets map[string]uint32
}

func (w *cacheWriter) text(s string) uint32 {
	if at, ok := w.offsets[s]; ok {
		return at
	}
	at := w.base + uint32(len(w.strings))
	w.strings = append(append(w.strings, s...), 0)
	w.offsets[s] = at
	return at
}

func (w *cacheWriter) entry(b []byte, e CacheEntry, subdirs []string) []byte {
	var out [newEntry]byte
	w.order.PutUint32(out[0:], e.Flags)
	w.order.PutUint32(out[4:], w.text(e.Name))
	w.order.PutUint32(out[8:], w.text(e.Path))
	hwcap := e.HWCap
	if e.Subdir != "" {
		hwcap = hwcap&hwcapLevelMask | hwcapExtension | uint64(slices.Index(subdirs, e.Subdir))
	}
	w.order.PutUint64(out[16:], hwcap)
	return append(b, out[:]...)
}

// extension writes the one section that the loader reads (struct cache_extension, cache_extension_section).
func (w *cacheWriter) extension(b []byte, names []uint32) []byte {
	b = w.word(b, extensionMagic)
	b = w.word(b, 1)
	at := uint32(len(b) + 16)
	for _, n := range []uint32{sectionHWCaps, 0, at, uint32(len(names) * 4)} {
		b = w.word(b, n)
	}
	for _, n := range names {
		b = w.word(b, n)
	}
	return b
}

func (w *cacheWriter) word(b []byte, n uint32) []byte {
	var out [4]byte
	w.order.PutUint32(out[:], n)
	return append(b, out[:]...)
}
