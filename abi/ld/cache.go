package ld

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"

	"hostrun.dev/hostrun/rootfs"
)

// CachePath is where the loader looks for its cache (LD_SO_CACHE).
const CachePath = "/etc/ld.so.cache"

// maxCacheBytes bounds ld.so.cache. One with 30,000 libraries has 3 MiB.
const maxCacheBytes = 64 << 20

// Layout of ld.so.cache (sysdeps/generic/dl-cache.h of glibc).
const (
	oldMagic        = "ld.so-1.7.0\x00"
	newMagic        = "glibc-ld.so.cache1.1"
	newHeader       = 48
	newEntry        = 24
	oldHeader       = 16
	oldEntry        = 12
	extensionMagic  = 0xeaa42174
	sectionGenerate = 0
	sectionHWCaps   = 1
	maxSections     = 64
	hwcapExtension  = 1 << 62
	hwcapLevelMask  = uint64(1<<10-1) << 32
)

// A CacheEntry is one line of ld.so.cache: the library name and the path at which it is found.
type CacheEntry struct {
	Name, Path string
	Flags      uint32 // FLAG_ELF_LIBC6 and the machine, as `ldconfig -p` shows them: 0x303 is x86-64
	HWCap      uint64 // of the legacy subdirectory, or of the glibc-hwcaps one without its index; 0 for none
	Subdir     string // of glibc-hwcaps, "" for none
}

// A Cache is a parsed ld.so.cache.
type Cache struct {
	Entries []CacheEntry // in the file's order
}

var errCache = errors.New("damaged ld.so.cache")

// ReadCache reads the ld.so.cache of the tree; an absent one is empty.
func ReadCache(view *rootfs.View) (*Cache, error) {
	b, err := view.ReadFile(CachePath, maxCacheBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return &Cache{}, nil
	}
	if err != nil {
		return nil, err
	}
	return ParseCache(b)
}

// ParseCache reads an ld.so.cache in its old or new format, of either byte order. Where both are in one file the new one
// counts, as for the loader.
func ParseCache(b []byte) (*Cache, error) {
	if body, ok := newFormat(b); ok {
		return parseNew(body, b)
	}
	if bytes.HasPrefix(b, []byte(oldMagic)) {
		return parseOld(b)
	}
	return nil, fmt.Errorf("%w: it begins with neither of the formats' marks", errCache)
}

// newFormat returns the part of the file from which the new format counts its offsets.
func newFormat(b []byte) ([]byte, bool) {
	if bytes.HasPrefix(b, []byte(newMagic)) {
		return b, true
	}
	if !bytes.HasPrefix(b, []byte(oldMagic)) || len(b) < oldHeader {
		return nil, false
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		at := (oldHeader + uint64(order.Uint32(b[12:]))*oldEntry + 7) &^ 7
		if at < uint64(len(b)) && bytes.HasPrefix(b[at:], []byte(newMagic)) {
			return b[at:], true
		}
	}
	return nil, false
}

// cacheOrder tells the byte order: by the mark that is there since glibc 2.33, else by what makes sense.
func cacheOrder(b []byte) binary.ByteOrder {
	switch b[28] & 3 {
	case 2:
		return binary.LittleEndian
	case 3:
		return binary.BigEndian
	}
	if uint64(binary.LittleEndian.Uint32(b[20:]))*newEntry <= uint64(len(b)) {
		return binary.LittleEndian
	}
	return binary.BigEndian
}

// parseNew reads the part b of the file whole. Offsets count from the part, but those of
// extensions and their sections from the start of the file.
func parseNew(b, whole []byte) (*Cache, error) {
	if len(b) < newHeader {
		return nil, fmt.Errorf("%w: %d bytes are too short", errCache, len(b))
	}
	order := cacheOrder(b)
	count := uint64(order.Uint32(b[20:]))
	if count*newEntry > uint64(len(b)-newHeader) {
		return nil, fmt.Errorf("%w: %d libraries do not fit into %d bytes", errCache, count, len(b))
	}
	subdirs := cacheSubdirs(whole, b, order)
	c := &Cache{Entries: make([]CacheEntry, 0, count)}
	budget := textBudget(b)
	for i := range count {
		e := b[newHeader+i*newEntry:]
		name, ok1 := textAt(b, order.Uint32(e[4:]))
		value, ok2 := textAt(b, order.Uint32(e[8:]))
		if budget -= len(name) + len(value); !ok1 || !ok2 || budget < 0 {
			return nil, fmt.Errorf("%w: the name of library %d lies outside, or is too long", errCache, i)
		}
		entry := CacheEntry{Name: name, Path: value, Flags: order.Uint32(e), HWCap: order.Uint64(e[16:])}
		if entry.HWCap&^hwcapLevelMask>>32 == hwcapExtension>>32 {
			index := uint32(entry.HWCap)
			if uint64(index) >= uint64(len(subdirs)) || subdirs[index] == "" {
				continue // the loader never takes it: no priority is known
			}
			entry.Subdir, entry.HWCap = subdirs[index], entry.HWCap&^(1<<32-1)
		}
		c.Entries = append(c.Entries, entry)
	}
	return c, nil
}

func parseOld(b []byte) (*Cache, error) {
	if len(b) < oldHeader {
		return nil, fmt.Errorf("%w: %d bytes are too short", errCache, len(b))
	}
	var order binary.ByteOrder = binary.LittleEndian
	count := uint64(order.Uint32(b[12:]))
	if count*oldEntry > uint64(len(b)-oldHeader) {
		order = binary.BigEndian
		count = uint64(order.Uint32(b[12:]))
	}
	if count*oldEntry > uint64(len(b)-oldHeader) {
		return nil, fmt.Errorf("%w: %d libraries do not fit into %d bytes", errCache, count, len(b))
	}
	strings := b[oldHeader+count*oldEntry:]
	c, budget := &Cache{}, textBudget(b)
	for i := range count {
		e := b[oldHeader+i*oldEntry:]
		name, ok1 := textAt(strings, order.Uint32(e[4:]))
		value, ok2 := textAt(strings, order.Uint32(e[8:]))
		if budget -= len(name) + len(value); !ok1 || !ok2 || budget < 0 {
			return nil, fmt.Errorf("%w: the name of library %d lies outside, or is too long", errCache, i)
		}
		c.Entries = append(c.Entries, CacheEntry{Name: name, Path: value, Flags: order.Uint32(e)})
	}
	return c, nil
}

// cacheText bounds a name or path of the cache: PATH_MAX.
const cacheText = 4096

// textBudget bounds all texts of a cache together: in a damaged one each entry could have the same long one.
func textBudget(b []byte) int { return 16*len(b) + cacheText }

// maxSubdirs bounds the glibc-hwcaps subdirectories. Real caches have four.
const maxSubdirs = 256

func textAt(b []byte, at uint32) (string, bool) {
	if uint64(at) >= uint64(len(b)) {
		return "", false
	}
	rest := b[at:]
	end := bytes.IndexByte(rest[:min(len(rest), cacheText)], 0)
	if end < 0 {
		return "", false
	}
	return string(rest[:end]), true
}

// cacheSubdirs reads the names of the glibc-hwcaps subdirectories from the extensions (cache_extension_tag_glibc_hwcaps).
func cacheSubdirs(b, part []byte, order binary.ByteOrder) []string {
	at := uint64(order.Uint32(part[32:]))
	if at == 0 || at%4 != 0 || at+8 > uint64(len(b)) || order.Uint32(b[at:]) != extensionMagic {
		return nil
	}
	var names []string
	for i := range min(uint64(order.Uint32(b[at+4:])), maxSections) {
		section := at + 8 + i*16
		if section+16 > uint64(len(b)) {
			return names
		}
		offset, size := uint64(order.Uint32(b[section+8:])), uint64(order.Uint32(b[section+12:]))
		if order.Uint32(b[section:]) != sectionHWCaps || offset+size > uint64(len(b)) {
			continue
		}
		for ; size >= 4 && len(names) < maxSubdirs; offset, size = offset+4, size-4 {
			name, _ := textAt(part, order.Uint32(b[offset:]))
			names = append(names, name)
		}
	}
	return names
}

// compareNames is _dl_cache_libcmp (elf/dl-cache.c): numbers count as numbers.
func compareNames(a, b string) int {
	at := func(s string, i int) byte {
		if i < len(s) {
			return s[i]
		}
		return 0
	}
	i, j := 0, 0
	for i < len(a) {
		x, y := at(a, i), at(b, j)
		switch {
		case digit(x) && digit(y):
			var m, n int32 // they wrap, as the loader's do
			for ; digit(at(a, i)); i++ {
				m = m*10 + int32(a[i]-'0')
			}
			for ; digit(at(b, j)); j++ {
				n = n*10 + int32(b[j]-'0')
			}
			if m != n {
				return int(m) - int(n)
			}
		case digit(x):
			return 1
		case digit(y):
			return -1
		case x != y:
			return int(int8(x)) - int(int8(y))
		default:
			i, j = i+1, j+1
		}
	}
	return -int(int8(at(b, j)))
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// CacheFlags returns the flags of libraries for the machine of s, as ldconfig writes them (FLAG_* of
// sysdeps/generic/ldconfig.h), and false for one whose flags are not known.
func (s *System) CacheFlags() (uint32, bool) { return cacheFlags(s.habits.machine) }

// BigEndian tells the byte order of the machine.
func (s *System) BigEndian() bool { return s.habits.bigEndian() }

func cacheFlags(m machine) (uint32, bool) {
	type kind struct {
		code uint16
		wide bool
	}
	flags := map[kind]uint32{
		{62, true}: 0x0303, {62, false}: 0x0803, {3, false}: 0x0003, {183, true}: 0x0a03, {40, false}: 0x0903,
		{21, true}: 0x0503, {20, false}: 0x0003, {22, true}: 0x0403, {22, false}: 0x0003, {243, true}: 0x1003,
		{258, true}: 0x1203, {43, true}: 0x0103,
	}
	f, ok := flags[kind{m.code, m.wide}]
	return f, ok
}

// A cacheIndex answers lookups as _dl_load_cache_lookup does.
type cacheIndex map[string]string

// readCache reads the cache of the tree or of the options. A damaged one is as good as none, as for the loader.
func (s *System) readCache() error {
	var c *Cache
	var err error
	if s.options.LoaderCache != nil {
		c, err = ParseCache(s.options.LoaderCache)
	} else {
		c, err = ReadCache(s.view)
	}
	if err != nil {
		return nil //nolint:nilerr // the loader goes on without
	}
	flags, known := cacheFlags(s.habits.machine)
	best := map[string]int{}
	s.habits.cache = cacheIndex{}
	for _, e := range c.Entries {
		if known && e.Flags != flags || !known && e.Flags&0xff != 3 {
			continue
		}
		rank := s.rank(e)
		if old, taken := best[e.Name]; rank > 0 && (!taken || rank < old) {
			best[e.Name], s.habits.cache[e.Name] = rank, e.Path
		}
	}
	return nil
}

// rank orders entries of one name, the best lowest; 0 is for those that this processor can't use.
func (s *System) rank(e CacheEntry) int {
	if e.Subdir != "" {
		if at := slices.Index(s.habits.hwcaps, e.Subdir); at >= 0 && s.levelFits(e.HWCap) {
			return at + 1
		}
		return 0
	}
	if e.HWCap != 0 {
		if dir := path.Base(path.Dir(e.Path)); s.habits.minor < 37 && (dir == s.habits.platform || dir == "tls" || dir == "x86_64") {
			return 1000
		}
		return 0
	}
	return 2000
}

// levelFits is dl_cache_hwcap_isa_level_compatible (sysdeps/x86/dl-isa-level.h); on others there are no levels.
func (s *System) levelFits(hwcap uint64) bool {
	level := hwcap & hwcapLevelMask >> 32
	return s.habits.code != 62 || level == 0 || int(level) <= s.habits.level
}

func (s *System) cached(name string) string { return s.habits.cache[name] }

// String shows an entry as `ldconfig -p` does, without the words for its flags.
func (e CacheEntry) String() string {
	return e.Name + " (" + "0x" + strconv.FormatUint(uint64(e.Flags), 16) + ") => " + e.Path
}
