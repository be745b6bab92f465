package proof

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi/imports"
)

// Told are those of the places that files do not tell of which a report lists: one for each statement and each package of native
// modules, those first that run
// for certain, as a failure that nothing foresaw is likely to come from them. `make truth` holds failures against this list.
func Told(all []imports.NotChecked) []imports.NotChecked {
	type place struct {
		what, name string
		at         imports.At
	}
	first := map[place]int{}
	var list []imports.NotChecked
	more := map[int]int{}
	for _, n := range all {
		p := place{what: n.What, at: n.At}
		switch {
		case n.What == "native" && n.At.Line == 0: // a file: one for each package
			p.at, p.name = imports.At{}, top(n.Name)
		case n.At.Line == 0:
			p.name = n.Name
		}
		at, there := first[p]
		switch {
		case !there:
			first[p] = len(list)
			list = append(list, n)
		case list[at].Name != n.Name:
			more[at]++
		}
	}
	for at, count := range more {
		of := "names of this statement"
		if list[at].At.Line == 0 {
			of = "modules of " + top(list[at].Name)
		}
		list[at].Why += fmt.Sprintf("; so with %d more %s", count, of)
	}
	slices.SortStableFunc(list, func(a, b imports.NotChecked) int { return cmp.Compare(likely(a), likely(b)) })
	return list[:min(len(list), told):min(len(list), told)]
}

func top(module string) string {
	name, _, _ := strings.Cut(module, ".")
	return name
}

// likely orders by how likely it is that a failure comes from it, the likeliest first.
func likely(n imports.NotChecked) int {
	reach := slices.Index([]imports.Reach{imports.Required, imports.Attempted, imports.Possible, imports.Deferred}, n.Reach)
	switch {
	case n.Absent && reach == 0, n.What == "mixed", n.What == "namespace" && n.Reach != imports.Deferred:
		return 0
	case n.What == "deferred", n.What == "name" && n.At.Line == 0: // all of them in one line
		return 1
	case n.Absent:
		return 2 + 2*reach
	}
	if n.What == "call" { // many, and most of them have a reason that does not come up
		return 8
	}
	return 3 + 2*reach
}
