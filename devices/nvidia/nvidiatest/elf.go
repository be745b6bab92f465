package nvidiatest

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
)

// Library returns a shared library of no code: an ELF file with a DT_SONAME that a loader maps, and that has nothing to call.
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

// header and its program headers take this much of the file. Everything is mapped at its own offset.
const (
	header  = 64
	program = 56
	front   = header + 2*program
)

// align is the multiple of eight from n on.
func align(n int) int { return (n + 7) &^ 7 }

func library(soname string, note []byte) []byte {
	strings := append([]byte{0}, soname...)
	strings = append(strings, 0)
	symbols, hash := make([]byte, 24), []byte{1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} // none but the first; one bucket, one chain
	const dynamicEntries = 7
	at := map[string]int{".dynamic": front}
	at[".dynsym"] = align(at[".dynamic"] + dynamicEntries*16)
	at[".hash"] = align(at[".dynsym"] + len(symbols))
	at[".dynstr"] = align(at[".hash"] + len(hash))
	var dynamic bytes.Buffer
	put(&dynamic, []uint64{uint64(elf.DT_SONAME), 1, uint64(elf.DT_STRTAB), uint64(at[".dynstr"]), uint64(elf.DT_STRSZ), uint64(len(strings)),
		uint64(elf.DT_SYMTAB), uint64(at[".dynsym"]), uint64(elf.DT_SYMENT), 24, uint64(elf.DT_HASH), uint64(at[".hash"]), uint64(elf.DT_NULL), 0})
	sections := []section{{}, {name: ".dynamic", kind: elf.SHT_DYNAMIC, link: 4, unit: 16, body: dynamic.Bytes()}, {name: ".dynsym", kind: elf.SHT_DYNSYM, link: 4, unit: 24, body: symbols},
		{name: ".hash", kind: elf.SHT_HASH, link: 2, unit: 4, body: hash}, {name: ".dynstr", kind: elf.SHT_STRTAB, body: strings}}
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

	const entry = 64
	var data, table bytes.Buffer
	for i, s := range sections {
		data.Write(make([]byte, align(data.Len())-data.Len()))
		begin := uint64(front + data.Len())
		sec := elf.Section64{Name: offsets[i], Type: uint32(s.kind), Off: begin, Size: uint64(len(s.body)), Link: s.link, Addralign: 8, Entsize: s.unit}
		if s.kind == elf.SHT_NOTE {
			sec.Addralign = 4
		}
		if at[s.name] != 0 {
			sec.Addr, sec.Flags = begin, uint64(elf.SHF_ALLOC)
		}
		put(&table, sec)
		data.Write(s.body)
	}
	data.Write(make([]byte, align(data.Len())-data.Len()))
	size := uint64(front + data.Len())
	h := elf.Header64{Type: uint16(elf.ET_DYN), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: header, Phentsize: program, Phnum: 2, Shoff: size, Ehsize: header,
		Shentsize: entry, Shnum: uint16(len(sections)), Shstrndx: uint16(len(sections) - 1)}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), 1
	var file bytes.Buffer
	put(&file, h)
	put(&file, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W), Filesz: size, Memsz: size, Align: 4096})
	put(&file, elf.Prog64{Type: uint32(elf.PT_DYNAMIC), Flags: uint32(elf.PF_R | elf.PF_W), Off: front, Vaddr: front, Paddr: front, Filesz: uint64(dynamic.Len()),
		Memsz: uint64(dynamic.Len()), Align: 8})
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
