package nvidiatest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
)

// Library returns a shared library of no code: an ELF file with a DT_SONAME, as far as readers of files go. No loader takes it.
func Library(soname string) []byte { return library(soname, nil) }

// CompatLibrary is the libcuda of a forward-compatibility package: it has the note that names driver branches.
func CompatLibrary(cuda string, drivers ...int) []byte {
	body, err := json.Marshal(map[string]any{"CUDA Version": cuda, "Driver": drivers, "Device": []int{1}})
	if err != nil {
		panic(err)
	}
	return library("libcuda.so.1", Note("NVIDIA Corporation", body))
}

// Note is the content of an ELF note section.
func Note(owner string, body []byte) []byte {
	name := append([]byte(owner), 0)
	var b bytes.Buffer
	for _, n := range []uint32{uint32(len(name)), uint32(len(body)), 1} {
		put(&b, n)
	}
	for _, part := range [][]byte{name, body} {
		b.Write(part)
		b.Write(make([]byte, (4-len(part)%4)%4))
	}
	return b.Bytes()
}

// section is a section in the making.
type section struct {
	name string
	kind elf.SectionType
	link uint32
	unit uint64
	body []byte
}

func library(soname string, note []byte) []byte {
	strings := append([]byte{0}, soname...)
	strings = append(strings, 0)
	var dynamic bytes.Buffer
	put(&dynamic, []uint64{uint64(elf.DT_SONAME), 1, uint64(elf.DT_STRTAB), 0, uint64(elf.DT_NULL), 0})
	sections := []section{{}, {name: ".dynstr", kind: elf.SHT_STRTAB, body: strings}, {name: ".dynamic", kind: elf.SHT_DYNAMIC, link: 1, unit: 16, body: dynamic.Bytes()}}
	if note != nil {
		sections = append(sections, section{name: ".note.cuda.fwd_compatibility", kind: elf.SHT_NOTE, body: note})
	}
	names := []byte{0}
	sections = append(sections, section{name: ".shstrtab", kind: elf.SHT_STRTAB})
	offsets := make([]uint32, len(sections))
	for i, s := range sections[1:] {
		offsets[i+1] = uint32(len(names))
		names = append(append(names, s.name...), 0)
	}
	sections[len(sections)-1].body = names

	const header, entry = 64, 64
	var data, table bytes.Buffer
	for i, s := range sections {
		data.Write(make([]byte, (8-data.Len()%8)%8))
		put(&table, elf.Section64{Name: offsets[i], Type: uint32(s.kind), Off: uint64(header + data.Len()), Size: uint64(len(s.body)), Link: s.link,
			Addralign: 4, Entsize: s.unit})
		data.Write(s.body)
	}
	data.Write(make([]byte, (8-data.Len()%8)%8))
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Shoff: uint64(header + data.Len()), Ehsize: header,
		Shentsize: entry, Shnum: uint16(len(sections)), Shstrndx: uint16(len(sections) - 1)}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	var file bytes.Buffer
	put(&file, h)
	file.Write(data.Bytes())
	file.Write(table.Bytes())
	return file.Bytes()
}

// put writes values of fixed size; a bytes.Buffer refuses nothing.
func put(b *bytes.Buffer, v any) {
	if err := binary.Write(b, binary.LittleEndian, v); err != nil {
		panic(err)
	}
}
