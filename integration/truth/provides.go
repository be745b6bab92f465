package main

import (
	"debug/elf"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// provides tells whether a file of the set would satisfy a need of a library once something has loaded it: it is called so, or says so
// itself. check claims nothing of a module that needs such a one (verdict "conditional").
func (s set) provides(library string) bool {
	stem, _, _ := strings.Cut(library, ".so")
	for _, m := range s.modules {
		if path.Base(m) == library {
			return true
		}
		if !strings.HasPrefix(path.Base(m), stem) {
			continue
		}
		if f, err := elf.Open(filepath.Join(s.dir, m)); err == nil {
			names, _ := f.DynString(elf.DT_SONAME)
			_ = f.Close()
			if slices.Contains(names, library) {
				return true
			}
		}
	}
	return false
}
