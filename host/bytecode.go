package host

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi"
)

// maxSamples bounds the .pyc files whose header is read: each costs two files, and an environment holds ten thousands.
const maxSamples = 64

// magics are the numbers that final releases write into .pyc files (Lib/importlib/_bootstrap_external.py,
// Include/internal/pycore_magic_number.h).
var magics = map[int]uint16{8: 3413, 9: 3425, 10: 3439, 11: 3495, 12: 3531, 13: 3571, 14: 3627}

// cacheTag is sys.implementation.cache_tag; "" where it is not known.
func cacheTag(py abi.Python) string {
	switch {
	case py.Implementation == "pypy":
		return fmt.Sprintf("pypy%d%d", py.Version.Major, py.Version.Minor)
	case py.Implementation != "cpython":
		return ""
	}
	return fmt.Sprintf("cpython-%d%d", py.Version.Major, py.Version.Minor)
}

// bytecode counts what the sites hold of compiled modules. Whether a .pyc file fits its source is looked at for some of
// them, evenly spread, and taken for the others.
func bytecode(py abi.Python, sites []Site, trees map[string]*tree) Bytecode {
	b := Bytecode{Tag: cacheTag(py)}
	if b.Tag == "" {
		return b
	}
	var tagged []string // sources with a .pyc of the tag, files of this machine
	for _, site := range sites {
		if t := trees[site.Path]; site.Kind != kindPth && t != nil {
			n, have := t.compiled("." + b.Tag + ".pyc")
			b.Sources += n
			tagged = append(tagged, have...)
		}
	}
	slices.Sort(tagged)
	good, looked := 0, 0
	for i := 0; i < len(tagged); i += max(len(tagged)/maxSamples, 1) {
		if looked++; fresh(tagged[i], b.Tag, magics[py.Version.Minor]) {
			good++
		}
	}
	if looked > 0 {
		b.Usable = len(tagged) * good / looked
	}
	return b
}

// compiled counts the sources of a tree, and lists those beside which a .pyc file of the suffix lies.
func (t *tree) compiled(suffix string) (sources int, tagged []string) {
	for dir, names := range t.dirs {
		if path.Base(dir) == "__pycache__" {
			continue
		}
		cached := t.dirs[path.Join(dir, "__pycache__")]
		for _, name := range names {
			stem, ok := strings.CutSuffix(name, ".py")
			if !ok {
				continue
			}
			sources++
			if _, there := slices.BinarySearch(cached, stem+suffix); there {
				tagged = append(tagged, path.Join(t.root, dir, name))
			}
		}
	}
	return sources, tagged
}

// fresh says whether the .pyc file of a source is taken (PEP 552; _validate_timestamp_pyc): the magic number, and unless
// the file goes by a hash, time and size of the source, modulo 2^32.
func fresh(source, tag string, magic uint16) bool {
	dir, name := path.Split(source)
	f, err := os.Open(dir + "__pycache__/" + strings.TrimSuffix(name, ".py") + "." + tag + ".pyc")
	if err != nil {
		return false
	}
	defer f.Close()
	var head [16]byte
	fi, err := os.Stat(source)
	if _, readErr := io.ReadFull(f, head[:]); err != nil || readErr != nil {
		return false
	}
	if magic != 0 && binary.LittleEndian.Uint16(head[:]) != magic {
		return false
	}
	if binary.LittleEndian.Uint32(head[4:])&1 != 0 { // compared with the source's hash, or not at all
		return true
	}
	return binary.LittleEndian.Uint32(head[8:]) == uint32(fi.ModTime().Unix()) && binary.LittleEndian.Uint32(head[12:]) == uint32(fi.Size())
}
