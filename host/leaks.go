package host

import (
	"fmt"
	"path"
	"sort"
	"strings"

	"hostrun.dev/hostrun/finding"
)

// leaks tells what of the environment would not be there in a container that has only the site directories: closed
// directories, leftovers, links, .pth lines and editable installs that lead out of them.
func (m machine) leaks(env *environment, built *sysPath, trees map[string]*tree) []finding.Finding {
	var said []finding.Finding
	for _, site := range env.Python.Sites {
		t := trees[site.Path]
		said = append(said, deniedIn(site, t)...)
		said = append(said, leftovers(site, t, env.Python.Executable)...)
		if site.Kind != kindPth {
			said = append(said, env.linksOut(site, t)...)
		}
	}
	told := map[string]bool{}
	said = append(said, env.editables(told)...)
	return append(said, env.pthOut(built, told)...)
}

func deniedIn(site Site, t *tree) []finding.Finding {
	if len(t.denied) == 0 {
		return nil
	}
	f := finding.Finding{ID: finding.SiteUnreadable, Severity: finding.Warning, Subject: site.Path,
		Got: t.denied[0].Err.Error(), Want: "a directory that the caller can read"}
	if t.denied[0].Path == "" {
		f.Severity = finding.Error
		f.Message = "the directory of packages " + site.Path + " can't be read"
		f.Remedy = "chmod a+rx " + site.Path + ", or name another environment: python: /path/to/venv"
		return []finding.Finding{f}
	}
	first := path.Join(site.Path, t.denied[0].Path)
	f.Message = fmt.Sprintf("%s below %s can't be read: %s", plural(len(t.denied), "directory", "directories"), site.Path, firstPaths(t.denied))
	f.Remedy = "chmod -R a+rX " + first
	return []finding.Finding{f}
}

func firstPaths(denied []denial) string {
	var all []string
	for _, d := range denied {
		all = append(all, d.Path)
	}
	return some(all)
}

// some lists the first three.
func some(all []string) string {
	if len(all) <= 3 {
		return strings.Join(all, ", ")
	}
	return strings.Join(all[:3], ", ") + ", ..."
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// leftovers tells of "~name" directories: pip renames a package so before it removes it (pip's AdjacentTempDirectory).
func leftovers(site Site, t *tree, executable string) []finding.Finding {
	var said []finding.Finding
	for _, name := range t.dirs[""] {
		if !strings.HasPrefix(name, "~") || !strings.HasSuffix(name, ".dist-info") {
			continue
		}
		dist, version := splitDistName(name)
		p := path.Join(site.Path, name)
		said = append(said, finding.Finding{ID: finding.SiteIncomplete, Severity: finding.Warning, Subject: p,
			Got: name, Want: "no leftovers", Message: "an interrupted pip left " + p + " behind: " + strings.TrimPrefix(dist, "~") +
				"'s " + version + " was half removed",
			Remedy: "rm -r " + p + "; then check with " + executable + " -m pip check"})
	}
	return said
}

// linksOut groups the links of a site that lead out of it by the package that holds them. A relative link that stays
// inside works wherever the directory is mounted; an absolute one does not.
func (env *environment) linksOut(site Site, t *tree) []finding.Finding {
	groups := map[string][]string{}
	targets := map[string]string{}
	for _, l := range t.links {
		if env.staysInside(site, path.Dir(path.Join(site.Real, l.Path)), l.Target) || !t.view.Exists(path.Join(site.Path, l.Path)) {
			continue
		}
		top, _, _ := strings.Cut(l.Path, "/")
		groups[top] = append(groups[top], l.Path+" -> "+l.Target)
		if targets[top] == "" {
			targets[top] = l.Target
			if !path.IsAbs(l.Target) {
				targets[top] = path.Join(site.Real, path.Dir(l.Path), l.Target)
			}
		}
	}
	tops := make([]string, 0, len(groups))
	for top := range groups {
		tops = append(tops, top)
	}
	sort.Strings(tops)
	var said []finding.Finding
	for _, top := range tops {
		said = append(said, leadsOut(path.Join(site.Path, top), some(groups[top]),
			plural(len(groups[top]), "link of ", "links of ")+path.Join(site.Path, top)+" to places that are not mounted",
			"mount the target at the same path under volumes: \""+targets[top]+":"+targets[top]+":ro\""))
	}
	return said
}

// staysInside says whether target, written in the directory dir, is found when only the site directory (the whole
// prefix, for conda) is mounted elsewhere.
func (env *environment) staysInside(site Site, dir, target string) bool {
	if path.IsAbs(target) {
		return false
	}
	p := path.Join(dir, target)
	return within(p, site.Real) || env.Python.Kind == "conda" && within(p, env.Python.Prefix)
}

func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }

func leadsOut(subject, got, message, remedy string) finding.Finding {
	return finding.Finding{ID: finding.SitePathIgnored, Severity: finding.Warning, Subject: subject, Got: got,
		Want: "a place below a mounted site directory", Message: message, Remedy: remedy}
}

// editables tells of each editable install; its source is never below a site directory that is mounted.
func (env *environment) editables(told map[string]bool) []finding.Finding {
	var said []finding.Finding
	for _, d := range env.Dists {
		if d.Editable == "" || told[d.Editable] {
			continue
		}
		told[d.Editable] = true
		said = append(said, leadsOut(d.Name, "editable install from "+d.Editable,
			d.Name+" is an editable install: its source "+d.Editable+" is not mounted, and the import fails",
			env.mountOrInstall(d.Editable)))
		for _, module := range sortedKeys(d.Mapping) {
			p := d.Mapping[module]
			if within(p, d.Editable) || told[p] {
				continue
			}
			told[p] = true
			said = append(said, leadsOut(d.Name, "module "+module+" from "+p,
				d.Name+" takes its module "+module+" from "+p+", which is not mounted", env.mountOrInstall(d.Editable)))
		}
	}
	return said
}

func (env *environment) mountOrInstall(p string) string {
	return fmt.Sprintf("mount it at the same path under volumes: %q, or install it: %s -m pip install --no-deps %s",
		p+":"+p+":ro", env.Python.Executable, p)
}

// pthOut tells of .pth lines whose directory a container would not find: outside of every mount, or named by a path
// that changes with the mount.
func (env *environment) pthOut(built *sysPath, told map[string]bool) []finding.Finding {
	var said []finding.Finding
	for _, line := range built.lines {
		if !line.Exists || told[line.Path] || coveredBy(line.Path, told) {
			continue
		}
		if !path.IsAbs(line.Text) && (within(line.Path, line.Site) || env.Python.Kind == "conda" && within(line.Path, env.Python.Prefix)) {
			continue
		}
		told[line.Path] = true
		file := path.Join(line.Site, line.File)
		said = append(said, leadsOut(file, line.Text,
			file+" adds "+line.Path+", which is not mounted: Python skips it without a word", env.mountOrInstall(line.Path)))
	}
	return said
}

func coveredBy(p string, told map[string]bool) bool {
	for dir := range told {
		if within(p, dir) {
			return true
		}
	}
	return false
}
