package proof

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi/dists"
	"hostrun.dev/hostrun/rootfs"
)

// Own finds the distribution of each module of All: in the metadata of the host's files below root, where the host lends
// them (conda's and dpkg's lists lie outside of what is lent), else in the view's.
// hostDirs are directories of the view that are the host's.
func (r *Report) Own(view *rootfs.View, root string, hostDirs []string) {
	lent, image := dists.New(rootfs.Dir(root)), dists.New(view)
	for i := range r.All {
		m := &r.All[i]
		m.Owner, m.Side = image.Owner(m.Path), "image"
		if !slices.ContainsFunc(hostDirs, func(dir string) bool { return below(m.Path, dir) }) {
			continue
		}
		m.Side = "host"
		dir, err := view.Resolve(path.Dir(m.Path)) // the directory alone: a cache that links lead to has no metadata
		if below := strings.TrimPrefix(dir.Real, strings.TrimSuffix(root, "/")); err == nil && below != "" {
			m.Owner = lent.Owner(path.Join(below, path.Base(m.Path)))
		}
	}
}

// A Distribution sums up the native modules of one.
type Distribution struct {
	dists.Owner
	Side        string  // "host" or "image"
	Verdict     Verdict // the worst: of a module that the command imports, else of any
	Modules     int     // native ones
	Failing     int
	Conditional int
	Reached     bool   // the command imports it, natively or not
	First       Module // of those with Verdict
}

// Distributions sums up All, after Own. Those that fail come first, then by name.
func (r Report) Distributions() []Distribution {
	var all []Distribution
	at := map[string]int{}
	for _, m := range r.All {
		key := m.Side + "\x00" + m.Owner.Name + "\x00" + m.Owner.Version + "\x00" + m.Owner.Dir
		i, known := at[key]
		if !known {
			i = len(all)
			at[key] = i
			all = append(all, Distribution{Owner: m.Owner, Side: m.Side, Verdict: OK, First: m})
		}
		all[i].add(m)
	}
	for i := range all {
		d := &all[i]
		top, _, _ := strings.Cut(d.First.Name, ".")
		_, imported := slices.BinarySearch(r.Imported, top)
		d.Reached = d.Reached || imported && d.Name != ""
	}
	slices.SortStableFunc(all, func(a, b Distribution) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), strings.Compare(strings.ToLower(a.Name+a.Dir), strings.ToLower(b.Name+b.Dir)), strings.Compare(a.Side, b.Side))
	})
	return all
}

func (d *Distribution) add(m Module) {
	d.Modules++
	reached := m.Reach != ""
	switch {
	case m.Verdict.Fails():
		d.Failing++
	case m.Verdict == Conditional:
		d.Conditional++
	}
	if worse := m.rank() < (Module{Verdict: d.Verdict, Reach: d.First.Reach}).rank(); worse || d.Modules == 1 {
		d.Verdict, d.First = m.Verdict, m
	}
	d.Reached = d.Reached || reached
}

func (d Distribution) rank() int {
	reach := d.First.Reach
	if reach == "" && d.Reached {
		reach = "imported"
	}
	return Module{Verdict: d.Verdict, Reach: reach}.rank()
}

// rank orders what a person looks for first: what fails and is imported, what fails, what is conditional, the rest.
func (m Module) rank() int {
	switch {
	case m.Verdict.Fails() && m.Reach != "":
		return 0
	case m.Verdict.Fails():
		return 1
	case m.Verdict == Conditional:
		return 2
	}
	return 3
}

// Sorted are modules in the order of a table: as rank says, then by name.
func Sorted(modules []Module) []Module {
	sorted := slices.Clone(modules)
	slices.SortStableFunc(sorted, func(a, b Module) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), strings.Compare(a.Name, b.Name), strings.Compare(a.Path, b.Path))
	})
	return sorted
}
