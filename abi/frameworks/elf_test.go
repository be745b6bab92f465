package frameworks

import (
	"bytes"
	"encoding/binary"
	"strings"
)

// elfParts are what a made ELF file shall have.
type elfParts struct {
	needed, symbols []string
	rodata          string
	fatbin          []byte
}

// makeELF makes a shared object of 64 bits with sections, as a linker would, and no code.
func makeELF(p elfParts) []byte {
	names := "\x00" + strings.Join(append(append([]string{}, p.needed...), p.symbols...), "\x00") + "\x00"
	var dynamic bytes.Buffer
	at := 1
	for _, name := range p.needed {
		_ = binary.Write(&dynamic, binary.LittleEndian, []uint64{1, uint64(at)})
		at += len(name) + 1
	}
	_ = binary.Write(&dynamic, binary.LittleEndian, []uint64{0, 0})
	sections := []struct {
		name string
		kind uint32
		link uint32
		body []byte
	}{
		{"", 0, 0, nil}, {".dynstr", 3, 0, []byte(names)}, {".dynamic", 6, 1, dynamic.Bytes()},
		{".rodata", 1, 0, []byte(p.rodata)}, {".nv_fatbin", 1, 0, p.fatbin}, {".shstrtab", 3, 0, []byte("\x00.dynstr\x00.dynamic\x00.rodata\x00.nv_fatbin\x00.shstrtab\x00")},
	}
	var body, headers bytes.Buffer
	body.Write(make([]byte, 64))
	for _, s := range sections {
		name := bytes.Index(sections[5].body, []byte(s.name+"\x00"))
		_ = binary.Write(&headers, binary.LittleEndian, []uint32{uint32(max(name, 0)), s.kind})
		_ = binary.Write(&headers, binary.LittleEndian, []uint64{0, 0, uint64(body.Len()), uint64(len(s.body))})
		_ = binary.Write(&headers, binary.LittleEndian, []uint32{s.link, 0})
		_ = binary.Write(&headers, binary.LittleEndian, []uint64{1, 0})
		body.Write(s.body)
	}
	head := append([]byte("\x7fELF\x02\x01\x01"), make([]byte, 9)...)
	head = binary.LittleEndian.AppendUint16(head, 3)  // ET_DYN
	head = binary.LittleEndian.AppendUint16(head, 62) // EM_X86_64
	head = binary.LittleEndian.AppendUint32(head, 1)
	head = binary.LittleEndian.AppendUint64(head, 0)
	head = binary.LittleEndian.AppendUint64(head, 0)
	head = binary.LittleEndian.AppendUint64(head, uint64(body.Len()))
	head = binary.LittleEndian.AppendUint32(head, 0)
	for _, n := range []uint16{64, 56, 0, 64, uint16(len(sections)), 5} {
		head = binary.LittleEndian.AppendUint16(head, n)
	}
	file := append(body.Bytes(), headers.Bytes()...)
	copy(file, head)
	return file
}

// An object of GPU code.
type object struct {
	kind  uint16
	arch  uint32
	flags uint64
}

// fatbin makes bundles, one for each source file.
func fatbin(bundles [][]object) []byte {
	var out []byte
	for _, objects := range bundles {
		var body []byte
		for _, o := range objects {
			head := make([]byte, objectHead)
			binary.LittleEndian.PutUint16(head, o.kind)
			binary.LittleEndian.PutUint32(head[4:], objectHead)
			binary.LittleEndian.PutUint64(head[8:], 24)
			binary.LittleEndian.PutUint32(head[28:], o.arch)
			binary.LittleEndian.PutUint64(head[40:], o.flags)
			body = append(append(body, head...), make([]byte, 24)...)
		}
		head := make([]byte, bundleHead)
		binary.LittleEndian.PutUint32(head, bundleMagic)
		binary.LittleEndian.PutUint16(head[4:], 1)
		binary.LittleEndian.PutUint16(head[6:], bundleHead)
		binary.LittleEndian.PutUint64(head[8:], uint64(len(body)))
		out = append(append(append(out, head...), body...), make([]byte, 8)...)
	}
	return out
}
