package host

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// judge says what of the environment does not meet the profile's needs.
func (env *environment) judge(needs Needs) []finding.Finding {
	needed := map[string]bool{} // by normalised name
	var said []finding.Finding
	for _, name := range needs.Packages {
		dists, there := env.providing(name)
		if !there {
			said = append(said, env.notInstalled(name))
		}
		for _, key := range dists {
			needed[key] = true
		}
	}
	for _, d := range env.Dists {
		if d.MissingCount > 0 {
			stops := needed[d.Key] || len(needs.Packages) == 0 && doesMatter(d.Key)
			said = append(said, env.incomplete(d, stops && !env.superseded(d)))
		}
	}
	return said
}

// superseded says whether an import does not depend on d: an earlier directory of sys.path has the distribution too, or
// its own has a complete one of that name (a failed upgrade leaves the old version's metadata behind).
func (env *environment) superseded(d distribution) bool {
	for _, other := range env.Dists {
		if other.Key != d.Key {
			continue
		}
		if other.Site != d.Site {
			return env.siteIndex(other.Site) < env.siteIndex(d.Site) // the first of that name is in the first site
		}
		if other.Inside == 0 {
			return true
		}
	}
	return false
}

func (env *environment) siteIndex(p string) int {
	return slices.IndexFunc(env.Python.Sites, func(s Site) bool { return s.Path == p })
}

// providing finds the distributions that a name of python.packages means: a distribution's name, or the name of a
// module that one installs. Modules without a distribution count too.
func (env *environment) providing(name string) (keys []string, there bool) {
	key := Normalise(name)
	for _, d := range env.Dists {
		if d.Key == key {
			keys = append(keys, d.Key)
		}
	}
	if keys != nil {
		return keys, true
	}
	for _, d := range env.Dists {
		if slices.Contains(d.TopLevel, name) {
			keys = append(keys, d.Key)
		}
	}
	for _, site := range env.Python.Sites {
		_, found := slices.BinarySearch(site.Modules, name)
		there = there || found
	}
	return keys, there || keys != nil
}

func (env *environment) notInstalled(name string) finding.Finding {
	var searched []string
	for _, site := range env.Python.Sites {
		searched = append(searched, site.Path)
	}
	got := "searched " + strings.Join(searched, ", ")
	if len(searched) == 0 {
		got = "the interpreter has no site directory"
	}
	remedy := env.Python.Executable + " -m pip install " + name
	if near := env.nearest(name); len(near) > 0 {
		remedy += ", or did you mean " + strings.Join(near, " or ") + "?"
	}
	return finding.Finding{ID: finding.PackageMissing, Severity: finding.Error, Subject: name, Got: got,
		Want:    name + ", named by python.packages",
		Message: fmt.Sprintf("the package %s is not installed for %s", name, env.Python.Executable), Remedy: remedy}
}

// nearest returns at most three names of distributions and modules that are one or two slips away, the closest first.
func (env *environment) nearest(name string) []string {
	limit := min(2, len(name)/3)
	best := map[string]int{}
	look := func(have string) {
		if n := finding.Distance(Normalise(name), Normalise(have)); n <= limit || n <= 3 && strings.HasPrefix(Normalise(have), Normalise(name)) {
			best[have] = n
		}
	}
	for _, d := range env.Dists {
		look(d.Name)
		for _, top := range d.TopLevel {
			if Normalise(top) != d.Key {
				look(top)
			}
		}
	}
	names := make([]string, 0, len(best))
	for have := range best {
		names = append(names, have)
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := names[i], names[j]
		return best[a] < best[b] || best[a] == best[b] && a < b
	})
	return names[:min(3, len(names))]
}

// incomplete tells of a half-deleted distribution. Files outside of the site directory (scripts in bin) are shown and
// stop nothing.
func (env *environment) incomplete(d distribution, stops bool) finding.Finding {
	f := finding.Finding{ID: finding.SiteIncomplete, Severity: finding.Warning, Subject: d.Name,
		Got: plural(d.MissingCount, "file", "files") + " of its RECORD gone below " + d.Site + ": " + some(d.Missing), Want: "all files that the installation wrote",
		Remedy: env.reinstall(d)}
	f.Message = nameVersion(d.Name, d.Version) + " is incomplete: " + plural(d.MissingCount, "file is", "files are") + " gone, first " + d.Missing[0]
	switch {
	case d.Inside == 0:
		f.Severity = finding.Info
		f.Message = nameVersion(d.Name, d.Version) + ": " + plural(d.MissingCount, "file", "files") + " outside of its site directory gone, first " + d.Missing[0]
	case stops:
		f.Severity = finding.Error
	}
	if d.MissingModule {
		f.Message += "; its import fails"
	}
	return f
}

func (env *environment) reinstall(d distribution) string {
	if site := d.Site; strings.HasPrefix(site, "/usr/lib/") && strings.HasSuffix(site, "/"+kindDist) {
		first := d.Missing[0]
		if !path.IsAbs(first) {
			first = path.Join(site, first)
		}
		return "dpkg -S " + first + " names the Debian package; apt-get install --reinstall it"
	}
	if d.Editable != "" {
		return env.Python.Executable + " -m pip install --no-deps -e " + d.Editable
	}
	return env.Python.Executable + " -m pip install --force-reinstall --no-deps " + nameVersion(d.Name, d.Version)
}
