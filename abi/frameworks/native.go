package frameworks

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"io"
	"slices"
	"strings"

	"hostrun.dev/hostrun/rootfs"
)

// Bounds of what is read of one native file. Its sections are read in place; those that are too large are passed over.
const (
	maxDynamic  = 64 << 10  // of .dynamic, in bytes
	maxNames    = 16 << 20  // of a string table
	maxConstant = 128 << 20 // of .rodata
	maxName     = 256       // of one name
	maxBundles  = 64        // of GPU code that are looked at in one file, each for one source file
	maxObjects  = 1024      // of GPU code in them
	maxSections = 4096
)

// A native is an ELF file. Frameworks keep their section headers; a file without tells nothing.
type native struct {
	file io.Closer
	elf  *elf.File
}

// openNative opens an ELF file of the view; the caller closes it.
func openNative(view *rootfs.View, p string) (*native, bool) {
	f, err := view.Open(p)
	if err != nil {
		return nil, false
	}
	n, ok := readNative(f)
	if !ok {
		_ = f.Close()
		return nil, false
	}
	n.file = f
	return n, true
}

func readNative(r io.ReaderAt) (*native, bool) {
	var head [64]byte
	if _, err := r.ReadAt(head[:], 0); err != nil || head[5] != 1 && head[5] != 2 {
		return nil, false
	}
	count := binary.LittleEndian.Uint16(head[60:]) // e_shnum; that of 32 bits lies elsewhere, and no framework has it
	if head[5] == 2 {
		count = binary.BigEndian.Uint16(head[60:])
	}
	if head[4] != 2 || count > maxSections {
		return nil, false
	}
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, false
	}
	return &native{elf: f}, true
}

func (n *native) close() {
	if n.file != nil {
		_ = n.file.Close()
	}
}

// section returns the content of a section, nil where it is absent or longer than limit.
func (n *native) section(s *elf.Section, limit uint64) []byte {
	if s == nil || s.Type == elf.SHT_NOBITS || s.Size > limit || s.FileSize > limit {
		return nil
	}
	b := make([]byte, s.FileSize)
	if _, err := s.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil
	}
	return b
}

// dynamicNames returns the strings of a tag of the dynamic section. Of the string table, some MB in libtorch_cuda, only
// the names are read.
func (n *native) dynamicNames(tag elf.DynTag) []string {
	s := n.elf.SectionByType(elf.SHT_DYNAMIC)
	b := n.section(s, maxDynamic)
	if b == nil || int(s.Link) >= len(n.elf.Sections) {
		return nil
	}
	names := n.elf.Sections[s.Link]
	var found []string
	for ; len(b) >= 16; b = b[16:] {
		if elf.DynTag(n.elf.ByteOrder.Uint64(b)) != tag {
			continue
		}
		var buf [maxName]byte
		k, _ := names.ReadAt(buf[:], int64(n.elf.ByteOrder.Uint64(b[8:])&(1<<62-1)))
		if name, _, ok := bytes.Cut(buf[:k], []byte{0}); ok && len(name) > 0 {
			found = append(found, string(name))
		}
	}
	return found
}

func (n *native) needed() []string { return n.dynamicNames(elf.DT_NEEDED) }

// cxx11ABI says which std::string the file's functions take, by the names that it has for c10::Error's constructor
// (libstdc++ manual, "Dual ABI"): "1", "0", or "".
func (n *native) cxx11ABI() string {
	b := n.section(n.elf.Section(".dynstr"), maxNames)
	for len(b) > 0 {
		at := bytes.Index(b, []byte("_ZN3c105ErrorC"))
		if at < 0 {
			return ""
		}
		name, rest, _ := bytes.Cut(b[at:], []byte{0})
		switch b = rest; {
		case bytes.Contains(name, []byte("NSt7__cxx1112basic_string")):
			return "1"
		case bytes.HasSuffix(name, []byte("Ss")) || bytes.Contains(name, []byte("SourceLocationESs")):
			return "0"
		}
	}
	return ""
}

// archFlags returns CUDA_ARCH_FLAGS, the constant behind torch.cuda.get_arch_list (torch/csrc/cuda/Module.cpp,
// THCPModule_getArchFlags): "sm_80 sm_90 compute_90". It is the longest of the file's constants of that form.
func (n *native) archFlags() []string {
	var best []string
	for _, name := range []string{".rodata", ".lrodata"} {
		b := n.section(n.elf.Section(name), maxConstant)
		for len(b) > 0 {
			at := bytes.Index(b, []byte("sm_"))
			if at < 0 {
				break
			}
			start := bytes.LastIndexByte(b[:at], 0) + 1
			end := bytes.IndexByte(b[at:], 0)
			if end < 0 {
				break
			}
			if flags, ok := parseFlags(string(b[start:min(at+end, start+4096)])); ok && len(flags) > len(best) {
				best = flags
			}
			b = b[at+end:]
		}
	}
	return best
}

// parseFlags takes apart a constant that is a list of architectures and nothing else.
func parseFlags(text string) ([]string, bool) {
	flags := strings.Split(text, " ")
	for _, flag := range flags {
		_, sm := parseArch(flag, "sm_")
		_, compute := parseArch(flag, "compute_")
		if !sm && !compute {
			return nil, false
		}
	}
	return flags, true
}

// split sorts architectures into machine code and PTX, each in ascending order.
func split(flags []string) (sass, ptx []string) {
	for _, flag := range flags {
		if strings.HasPrefix(flag, "sm_") {
			sass = append(sass, flag)
		} else {
			ptx = append(ptx, flag)
		}
	}
	return ascending(sass, "sm_"), ascending(ptx, "compute_")
}

func ascending(flags []string, prefix string) []string {
	slices.SortFunc(flags, func(a, b string) int {
		x, _ := parseArch(a, prefix)
		y, _ := parseArch(b, prefix)
		if d := x.major*10 + x.minor - y.major*10 - y.minor; d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(flags)
}
