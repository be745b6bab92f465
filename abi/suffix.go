package abi

import (
	"slices"
	"sort"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// maxSuffixes bounds the suffix table; real ones have up to seven entries.
const maxSuffixes = 16

var (
	taggedSuffix = pattern.New(`^\.(cpython-3\d+[a-z]*|pypy3\d+-pp\d+)(-[A-Za-z0-9_.-]+)?\.so$`)
	anySuffix    = pattern.New(`^(\.[A-Za-z0-9_.-]+)?\.so$`)
	soabiText    = pattern.New(`^cpython-(3)(\d+)([a-z]*)(?:-(.+))?$`)
)

// suffixTable returns the strings of _PyImport_DynLoadFiletab (Python/dynload_shlib.c): the suffixes of native modules
// that the interpreter itself tries, in its order. Distributions add some of their own (Debian's since 3.13:
// .abi3-x86_64-linux-gnu.so), so nothing else tells them all. nil when the table is not found.
func suffixTable(o *object) []string {
	var tagged []constant
	for _, s := range o.constantSegments() {
		here := taggedSuffixes(o, s)
		for _, c := range here {
			for _, slot := range o.pointersTo(c.vaddr) {
				// A debug build's table holds two of them: the one that begins it is not preceded by another.
				if table := o.suffixesAt(slot); len(table) > 0 && o.suffixesAt(slot-uint64(o.wordSize())) == nil {
					return table
				}
			}
		}
		tagged = append(tagged, here...)
	}
	return guessTable(tagged)
}

// A constant is a string and where it lies.
type constant struct {
	text  string
	vaddr uint64
}

// taggedSuffixes finds the suffixes in a segment that carry an implementation's tag.
func taggedSuffixes(o *object, s segment) []constant {
	var found []constant
	o.scan(s, func(b []byte, vaddr uint64) bool {
		for _, tag := range []string{".cpython-3", ".pypy3"} {
			each(b, tag, func(at int) bool {
				c := constant{cString(b[at:min(len(b), at+128)]), vaddr + uint64(at)}
				if taggedSuffix.MatchString(c.text) && !slices.Contains(found, c) {
					found = append(found, c)
				}
				return len(found) < maxSuffixes
			})
		}
		return len(found) < maxSuffixes
	})
	return found
}

// guessTable orders the suffixes as dynload_shlib.c does, where the table itself can't be read: a debug build's own
// first, then the release build's (ALT_SOABI). PyPy has one alone.
func guessTable(tagged []constant) []string {
	var table []string
	for _, c := range tagged {
		if !slices.Contains(table, c.text) {
			table = append(table, c.text)
		}
	}
	sort.SliceStable(table, func(i, j int) bool { return debugSuffix(table[i]) && !debugSuffix(table[j]) })
	if len(table) > 0 && strings.HasPrefix(table[0], ".cpython-") {
		table = append(table, ".abi3.so", ".so")
	}
	return table
}

func debugSuffix(s string) bool {
	flags, _, _ := strings.Cut(strings.TrimLeft(strings.TrimPrefix(s, ".cpython-"), "0123456789"), "-")
	return strings.Contains(flags, "d")
}

// suffixesAt reads the array of pointers to suffixes at slot, up to its NULL; nil when it is none, or does not end.
func (o *object) suffixesAt(slot uint64) []string {
	var table []string
	for _, target := range o.pointers(slot, maxSuffixes) {
		if target == 0 {
			return table
		}
		text := o.stringAt(target)
		if !anySuffix.MatchString(text) {
			return nil
		}
		table = append(table, text)
	}
	return nil
}
