package frameworks

import (
	"debug/elf"
	"encoding/binary"
	"fmt"
	"io"
)

// GPU code in an ELF file of the host (section .nv_fatbin) is a row of bundles, one a source file, each with an object
// for each architecture. The format is documented nowhere; CUDA's fatbinary.h has the bundle's header, and what follows
// was read off wheels of CUDA 11 to 13 with cuobjdump beside it:
//
//	bundle   u32 magic, u16 version, u16 size of this header, u64 size of the objects behind it
//	object   u16 kind (1 PTX, 2 machine code), u16 version, u32 size of this header, u64 size of the code,
//	         12 bytes, u32 architecture (90: sm_90), 8 bytes, u64 flags (bit 20: suffix a, bit 21: suffix f)
const (
	bundleMagic = 0xba55ed50
	bundleHead  = 16
	objectHead  = 64

	kindPTX  = 1
	kindSASS = 2

	flagExact  = 1 << 20
	flagFamily = 1 << 21
)

// codeArchs returns the architectures that at least half of the file's first bundles have code for: a few source files
// are compiled for more than the rest, and do not make a GPU usable.
func (n *native) codeArchs() []string {
	s := n.elf.Section(".nv_fatbin")
	if s == nil || s.Type == elf.SHT_NOBITS {
		return nil
	}
	return bundleArchs(s, n.elf.ByteOrder, int64(s.FileSize))
}

func bundleArchs(r io.ReaderAt, order binary.ByteOrder, size int64) []string {
	counts := map[string]int{}
	bundles, objects := 0, 0
	for at := int64(0); at+bundleHead <= size && bundles < maxBundles && objects < maxObjects; {
		var head [bundleHead]byte
		if _, err := r.ReadAt(head[:], at); err != nil {
			break
		}
		if order.Uint32(head[:]) == 0 { // bundles are aligned
			at += 8
			objects++
			continue
		}
		length, header := order.Uint64(head[8:]), int64(order.Uint16(head[6:]))
		if order.Uint32(head[:]) != bundleMagic || header < bundleHead || length > uint64(size-at) {
			break
		}
		at += header
		seen := map[string]bool{}
		objects += eachObject(io.NewSectionReader(r, at, int64(length)), order, maxObjects-objects, func(arch string) { seen[arch] = true })
		for arch := range seen {
			counts[arch]++
		}
		at += int64(length)
		bundles++
	}
	var archs []string
	for arch, count := range counts {
		if 2*count >= bundles {
			archs = append(archs, arch)
		}
	}
	return archs
}

// eachObject calls visit with the architecture of each object of a bundle, and returns how many there are.
func eachObject(r *io.SectionReader, order binary.ByteOrder, limit int, visit func(arch string)) int {
	count := 0
	for at := int64(0); at+objectHead <= r.Size() && count < limit; count++ {
		var head [objectHead]byte
		if _, err := r.ReadAt(head[:], at); err != nil {
			break
		}
		header, length := int64(order.Uint32(head[4:])), order.Uint64(head[8:])
		if header < objectHead || length > uint64(r.Size()) {
			break
		}
		if name := archName(order.Uint16(head[:]), order.Uint32(head[28:]), order.Uint64(head[40:])); name != "" {
			visit(name)
		}
		at += header + int64(length)
	}
	return count
}

func archName(kind uint16, number uint32, flags uint64) string {
	prefix, suffix := map[uint16]string{kindPTX: "compute_", kindSASS: "sm_"}[kind], ""
	switch {
	case flags&flagFamily != 0:
		suffix = "f"
	case flags&flagExact != 0:
		suffix = "a"
	}
	if prefix == "" || number < 10 || number > 9999 {
		return ""
	}
	return fmt.Sprintf("%s%d%s", prefix, number, suffix)
}
