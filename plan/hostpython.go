package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
)

// addHostPython lets a container without an image run the host's interpreter, at the paths that it has on the host. There
// is nothing to compare: interpreter, C library and packages are those of one machine.
func (b *builder) addHostPython() {
	py := b.f.Host.Python
	b.env.set("PYTHONDONTWRITEBYTECODE", "1", "hostrun")
	b.python = &py.Python
	b.checkHidden(&py.Python)
	for _, p := range append(b.linkedPaths(py), ownPaths(py)...) {
		b.borrowPath(p)
	}
	b.runHostPython(py)
}

// runHostPython makes the host's interpreter, whose directories are in the container, the one that a command finds.
func (b *builder) runHostPython(py *host.Python) {
	for _, s := range py.Sites {
		b.checkReadable(s)
	}
	b.setUserSite(py)
	dir := b.interpreterDir(py)
	search := slices.DeleteFunc(strings.Split(b.env.get("PATH"), ":"), func(d string) bool { return d == dir })
	b.env.set("PATH", strings.Join(append([]string{dir}, search...), ":"), "host python")
	b.checkSameInterpreter(py, dir)
	b.checkFlags()
}

// ownPaths are the directories of an environment: what contains others first.
func ownPaths(py *host.Python) []string {
	paths := []string{py.Prefix, py.BasePrefix, path.Dir(py.Stdlib), path.Dir(py.Real)}
	for _, s := range py.Sites {
		paths = append(paths, s.Path, s.Real)
	}
	for _, pkg := range py.Packages {
		paths = append(paths, pkg.Editable)
	}
	return slices.DeleteFunc(paths, func(p string) bool { return !strings.HasPrefix(p, "/") })
}

// linkedPaths are directories of the environment that a link in the root leads to, out of it: where /usr/local/conda is a link to
// /data/conda, the container needs the latter.
func (b *builder) linkedPaths(py *host.Python) []string {
	var paths []string
	for _, s := range py.Sites {
		link, real := s.Path, s.Real
		if real == "" || real == link || !b.ofHostRoot(link) || b.ofHostRoot(real) {
			continue
		}
		for path.Base(link) == path.Base(real) && link != "/" {
			link, real = path.Dir(link), path.Dir(real)
		}
		// Now the link is at or below link; at which of the names, the facts do not tell.
		for _, p := range []string{py.Prefix, py.BasePrefix} {
			if within(p, link) && p != "/usr" && p != "/usr/local" {
				paths = append(paths, path.Join(real, strings.TrimPrefix(p, link)))
			}
		}
	}
	return paths
}

// interpreterDir is the directory in which the container has the interpreter. A link to it outside of its environment
// (~/.local/bin/python3) is not in the container; the name is in the environment too.
func (b *builder) interpreterDir(py *host.Python) string {
	dir := path.Dir(py.Executable)
	if _, covered := b.coveredBy(dir); covered || b.ofHostRoot(dir) {
		return dir
	}
	return path.Dir(py.Real)
}

// borrowPath binds a directory of the environment at its own path, unless the root or another mount shows it.
func (b *builder) borrowPath(p string) {
	p = path.Clean(p)
	if _, covered := b.coveredBy(p); covered || b.ofHostRoot(p) {
		return
	}
	if b.wholeHome(p) {
		b.report("python", finding.Finding{
			ID: finding.RootWholeHome, Severity: finding.Error, Subject: p,
			Got:     "the environment " + b.f.Host.Python.Executable + " lies in " + p + " itself",
			Want:    "an environment in a directory of its own",
			Message: "to run " + b.f.Host.Python.Executable + ", the container would have to see all of " + p,
			Remedy:  "make an environment in a directory of its own: python3 -m venv /opt/venv; and name it: python: /opt/venv",
		})
		return
	}
	b.lend(p, p, b.siteBytes(p))
}

// wholeHome reports whether p is a home directory or contains some, or is a system directory that holds more than
// programs.
func (b *builder) wholeHome(p string) bool {
	if slices.Contains(systemDirs, p) || slices.Contains([]string{"/", "/root", "/home", "/srv", "/mnt", "/media", "/opt", "/var/lib"}, p) {
		return true
	}
	if path.Dir(p) == "/home" || path.Base(p) == ".local" || path.Base(p) == ".config" { // the latter two hold keyrings and tokens
		return true
	}
	return slices.ContainsFunc(b.f.Image.Users, func(u User) bool {
		return (u.UID == 0 || u.UID >= 1000) && strings.HasPrefix(u.Home, "/") && path.Clean(u.Home) != "/" && within(path.Clean(u.Home), p)
	})
}

// setUserSite says where the caller's own packages are: the container's user has another home (Lib/site.py,
// getuserbase). Without any, none that the container's user may have joins.
func (b *builder) setUserSite(py *host.Python) {
	for _, s := range py.Sites {
		if base, _, ok := strings.Cut(s.Path, "/lib/python"); ok && s.Kind == "user" {
			b.env.set("PYTHONUSERBASE", base, "host python")
			return
		}
	}
	b.env.set("PYTHONNOUSERSITE", "1", "hostrun")
}

// checkSameInterpreter warns where the command runs another interpreter than the one whose packages the profile asks for.
func (b *builder) checkSameInterpreter(py *host.Python, dir string) {
	named := pythonWords(b.args)
	if len(named) == 0 {
		return
	}
	word, same := named[0], false
	if strings.Contains(word, "/") {
		p := path.Join("/", b.spec.Process.Cwd, word)
		if path.IsAbs(word) {
			p = path.Clean(word)
		}
		same = path.Dir(p) == dir && answersTo(&py.Python, path.Base(p)) || p == py.Real && py.Venv == nil
	} else {
		same = answersTo(&py.Python, word) && slices.Contains(b.searchPath(), dir)
	}
	if same {
		return
	}
	b.report("command", finding.Finding{
		ID: finding.RootOtherPython, Severity: finding.Warning, Subject: word,
		Got: "the command runs " + word, Want: describe(&py.Python),
		Message: fmt.Sprintf("the command runs %s, which may not find the packages of %s", word, py.Executable),
		Remedy:  "run python3, which is first on the container's PATH, or name the interpreter of the command under python:",
	})
}
