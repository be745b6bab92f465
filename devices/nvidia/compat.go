package nvidia

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/rootfs"
)

// A note is what a libcuda of a forward-compatibility package says of itself, in its section .note.cuda.fwd_compatibility:
// JSON, as NVIDIA's container toolkit reads it (cmd/nvidia-cdi-hook/cudacompat).
type note struct {
	CUDA    string `json:"CUDA Version"`
	Drivers []int  `json:"Driver"`
}

const (
	noteSection = ".note.cuda.fwd_compatibility"
	noteOwner   = "NVIDIA Corporation"
	maxNote     = 64 << 10
)

// readNote returns the note of a library, false where it has none.
func readNote(r io.ReaderAt) (note, bool) {
	f, err := elf.NewFile(r)
	if err != nil {
		return note{}, false
	}
	defer f.Close()
	s := f.Section(noteSection)
	if s == nil || s.Type != elf.SHT_NOTE || s.FileSize > maxNote || s.Size > maxNote {
		return note{}, false
	}
	data, err := s.Data()
	if err != nil {
		return note{}, false
	}
	return parseNote(data, f.ByteOrder, s.Addralign)
}

// parseNote reads an ELF note (gabi, "Note Section"): sizes of name and description, a type, and both, each padded to align.
func parseNote(data []byte, order binary.ByteOrder, align uint64) (note, bool) {
	const header = 12
	if len(data) < header {
		return note{}, false
	}
	if align != 8 {
		align = 4
	}
	name, desc := uint64(order.Uint32(data)), uint64(order.Uint32(data[4:]))
	from := header + (name+align-1)/align*align
	if header+name > uint64(len(data)) || from+desc > uint64(len(data)) {
		return note{}, false
	}
	if string(bytes.TrimRight(data[header:header+name], "\x00")) != noteOwner {
		return note{}, false
	}
	var n note
	if json.Unmarshal(bytes.TrimRight(data[from:from+desc], "\x00"), &n) != nil {
		return note{}, false
	}
	return n, true
}

// compatDirectories are where the package leaves its libraries, in an image and on a machine.
var compatDirectories = []string{"/usr/local/cuda/compat", "/usr/local/cuda/compat/lib"}

// findCompat reads the forward-compatibility package of a file tree; nil where there is none that says what it is for.
func findCompat(view *rootfs.View) *Compat {
	for _, dir := range compatDirectories {
		r, err := view.Resolve(dir + "/libcuda.so.1")
		if err != nil {
			continue
		}
		f, err := view.OpenResolved(r)
		if err != nil {
			continue
		}
		n, ok := readNote(f)
		_ = f.Close()
		if ok {
			return &Compat{Directory: path.Dir(r.Path), Libcuda: r.Path, Version: versionOf(r.Path), CUDA: n.CUDA, Drivers: n.Drivers}
		}
	}
	return nil
}

// ImageCompat returns the forward-compatibility package of an image, for Wants.Compat: nil where there is none, or where the image's loader
// does not look into its directory, by LD_LIBRARY_PATH of env or by its cache.
func ImageCompat(view *rootfs.View, env []string) *Compat {
	c := findCompat(view)
	if c == nil {
		return nil
	}
	for _, dir := range libraryPath(env) {
		if r, err := view.Resolve(dir); err == nil && r.Path == c.Directory {
			return c
		}
	}
	for _, at := range cached(view, "libcuda.so.1") {
		if r, err := view.Resolve(at); err == nil && r.Path == c.Libcuda {
			return c
		}
	}
	return nil
}

// serves says whether the package can stand in for a driver's libcuda, and why not: it must be newer, and must name the branch
// of the kernel's module (CUDA Compatibility, "Forward Compatibility").
func (c *Compat) serves(driver string) (bool, string) {
	switch {
	case c == nil:
		return false, "there is no forward-compatibility package"
	case driver == "" || c.Version == "":
		return false, "versions are not known"
	case compareVersions(c.Version, driver) <= 0:
		return false, fmt.Sprintf("its libcuda %s is not newer than the driver's %s", c.Version, driver)
	case !slices.Contains(c.Drivers, branch(driver)):
		return false, fmt.Sprintf("its libcuda %s does not list driver branch %d", c.Version, branch(driver))
	}
	return true, ""
}

// branch returns the first number of a driver's version.
func branch(version string) int {
	first, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return n
}

// compareVersions compares dotted numbers; a missing part is 0, and what is no number is 0 too.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(as), len(bs)) {
		var x, y int
		if i < len(as) {
			x, _ = strconv.Atoi(as[i])
		}
		if i < len(bs) {
			y, _ = strconv.Atoi(bs[i])
		}
		if x != y {
			return min(max(x-y, -1), 1)
		}
	}
	return 0
}

// branchCUDA is the newest CUDA of a driver's branch, for where NVML can't be asked (CUDA Toolkit release notes, table "CUDA
// Toolkit and Corresponding Driver Versions"). A branch between two rows offers what the older one does; what one behind the last offers is
// not known, and judged by nobody.
var branchCUDA = []struct {
	branch int
	cuda   string
}{
	{390, "9.1"}, {396, "9.2"}, {410, "10.0"}, {418, "10.1"}, {440, "10.2"}, {450, "11.0"}, {455, "11.1"}, {460, "11.2"}, {465, "11.3"},
	{470, "11.4"}, {495, "11.5"}, {510, "11.6"}, {515, "11.7"}, {520, "11.8"}, {525, "12.0"}, {530, "12.1"}, {535, "12.2"}, {545, "12.3"},
	{550, "12.4"}, {555, "12.5"}, {560, "12.6"}, {565, "12.7"}, {570, "12.8"}, {575, "12.9"}, {580, "13.0"}, {590, "13.1"}, {595, "13.2"}, {610, "13.3"}, {615, "13.4"},
}

func cudaOf(driver string) string {
	cuda := ""
	if branch(driver) > branchCUDA[len(branchCUDA)-1].branch {
		return cuda
	}
	for _, row := range branchCUDA {
		if row.branch <= branch(driver) {
			cuda = row.cuda
		}
	}
	return cuda
}
