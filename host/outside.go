package host

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// maxOutside bounds the places that are listed for one site directory: beyond it, those that lie deepest are joined to the
// directory above them.
const maxOutside = 16

// uvArchives is the directory of uv's cache that holds unpacked wheels. With link mode symlink every file of an
// environment leads into it, each wheel to a directory of its own (uv, crates/uv-cache, CacheBucket::Archive).
const uvArchives = "archive-v0"

// outside lists the places that links of the site lead to, out of it, by package and directory.
func (env *environment) outside(site Site, t *tree) []Outside {
	groups := map[[2]string]map[string]bool{} // package, directory -> names; an empty name: the whole
	for _, l := range t.links {
		dir := path.Dir(path.Join(site.Real, l.Path))
		if env.staysInside(site, dir, l.Target) || !t.view.Exists(path.Join(site.Path, l.Path)) {
			continue
		}
		top, _, _ := strings.Cut(l.Path, "/")
		place, name := split(path.Dir(l.Path), l.Target)
		at := [2]string{top, place}
		if groups[at] == nil {
			groups[at] = map[string]bool{}
		}
		groups[at][name] = true
	}
	joinDeepest(groups)
	var all []Outside
	for at, names := range groups {
		o := Outside{Site: site.Path, Top: at[0], Dir: at[1], Real: at[1]}
		if !path.IsAbs(o.Dir) {
			o.Real = path.Join(site.Real, o.Dir)
		}
		if !names[""] {
			o.Names = slices.Sorted(maps.Keys(names))
		}
		all = append(all, o)
	}
	slices.SortFunc(all, func(a, b Outside) int { return strings.Compare(a.Top+"\x00"+a.Dir, b.Top+"\x00"+b.Dir) })
	return all
}

// split gives the directory that a link in dir leads to, and the name in it.
func split(dir, target string) (place, name string) {
	if !path.IsAbs(target) {
		target = path.Join(dir, target)
	}
	target = path.Clean(target)
	if before, _, ok := strings.Cut(target, "/"+uvArchives+"/"); ok {
		return before + "/" + uvArchives, ""
	}
	return path.Dir(target), path.Base(target)
}

func joinDeepest(groups map[[2]string]map[string]bool) {
	for len(groups) > maxOutside {
		var deepest [2]string
		for at := range groups {
			if a, b := strings.Count(at[1], "/"), strings.Count(deepest[1], "/"); a > b || a == b && at[1]+at[0] > deepest[1]+deepest[0] {
				deepest = at
			}
		}
		above := path.Dir(deepest[1])
		if above == "/" || above == "." || path.Base(above) == ".." {
			return // what is left is no place to bind
		}
		delete(groups, deepest)
		groups[[2]string{deepest[0], above}] = map[string]bool{"": true}
	}
}
