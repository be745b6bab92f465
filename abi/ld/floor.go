package ld

import (
	"strconv"
	"strings"
)

// GlibcFloor returns the highest version of glibc's symbols that a file asks for, "GLIBC_2.34"; "" where it asks for none or
// can't be read.
func (s *System) GlibcFloor(file string) string {
	f, fault := s.open(file)
	if fault != nil || f.load() != nil {
		return ""
	}
	floor, best := "", -1
	for _, need := range f.versions.needs {
		for _, v := range need.versions {
			minor, ok := strings.CutPrefix(v.name, "GLIBC_2.")
			minor, _, _ = strings.Cut(minor, ".")
			if n, err := strconv.Atoi(minor); ok && err == nil && !v.weak && n > best {
				floor, best = "GLIBC_2."+minor, n
			}
		}
	}
	return floor
}

// Soname returns DT_SONAME of a file, by which the loader knows it once it is loaded, whatever its name is; "" where it has none
// or can't be read.
func (s *System) Soname(file string) string {
	f, fault := s.open(file)
	if fault != nil || f.load() != nil {
		return ""
	}
	return f.soname
}
