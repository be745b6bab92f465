package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
)

// borrowedRoots are the places for what the host lends: the first that the container's user can reach.
var borrowedRoots = []string{"/opt/hostrun", "/.hostrun"}

// addPython proves that the image's interpreter can import the host's packages, and mounts them.
func (b *builder) addPython() {
	if !borrowsPython(b.p) {
		return
	}
	if b.f.Host.Python == nil {
		b.noHostPython()
		return
	}
	if usesHostRoot(b.p) {
		b.addHostPython()
		return
	}
	b.env.set("PYTHONDONTWRITEBYTECODE", "1", "hostrun")
	if b.fromHost() && movable(b.f.Host.Python) {
		b.addHostInterpreter()
		return
	}
	b.env.set("PYTHONNOUSERSITE", "1", "hostrun")
	image := b.choosePython()
	if image == nil {
		return
	}
	b.python = image
	b.checkHidden(image)
	b.checkFit(image)
	b.checkShadowed(image)
	b.checkFlags()
	if b.fromHost() {
		if !b.completesStdlib(b.f.Host.Python, image) {
			b.addHostInterpreter() // which says why it can't
			return
		}
		b.lendStdlib(image)
	}
	if b.p.Python.Target != "" {
		b.mountTarget(image)
		return
	}
	b.mountSites(image)
}

func (b *builder) noHostPython() {
	if b.has(finding.PythonMissingHost, finding.PythonBrokenVenv) {
		return
	}
	b.report("python", finding.Finding{
		ID: finding.PythonMissingHost, Severity: finding.Error, Subject: b.p.Python.Interpreter,
		Message: "the host's Python was not found: " + b.p.Python.Interpreter,
		Remedy:  "name it: python: /path/to/venv/bin/python3",
	})
}

// checkFit compares the two interpreters, and where they do not fit looks for another one of the image that does.
func (b *builder) checkFit(image *abi.Python) {
	found := abi.Compatible(b.f.Host.Python.Python, *image)
	fitting := ""
	if len(finding.Errors(found)) > 0 {
		for i := range b.f.Image.Pythons {
			other := &b.f.Image.Pythons[i]
			if other != image && len(finding.Errors(abi.Compatible(b.f.Host.Python.Python, *other))) == 0 {
				fitting = other.Executable
				break
			}
		}
	}
	for _, f := range found {
		if fitting != "" && f.Severity == finding.Error {
			f.Remedy = "run the image's " + fitting + " instead, which fits: name it in command:; or " + f.Remedy
		}
		b.report("python", f)
	}
}

// checkHidden refuses an interpreter whose files a mount hides: what would run is not what was examined.
func (b *builder) checkHidden(image *abi.Python) {
	for _, p := range []string{image.Executable, image.Real, image.Stdlib} {
		m, ok := b.coveredBy(p)
		if p == "" || !ok || m.Type == "bind" && m.Source == m.Destination && usesHostRoot(b.p) {
			continue
		}
		b.report(m.key, finding.Finding{
			ID: finding.PythonMissingImage, Severity: finding.Error, Subject: p,
			Got:     m.Source + " is mounted at " + m.Destination,
			Message: fmt.Sprintf("the mount at %s hides %s of the image's Python, so no proof can be given", m.Destination, p),
			Remedy:  "change the target of the mount, or set python: none",
		})
		return
	}
}

// A lent directory of the host's packages: where it lies, and where the container sees it.
type lent struct {
	site        host.Site
	destination string
	own         bool // has a mount of its own
}

// mountSites is the default: every site directory below one root, and one .pth file in the image's own site directory
// that adds them.
func (b *builder) mountSites(image *abi.Python) {
	root, ok := b.borrowedRoot()
	if !ok {
		return
	}
	all := b.placeSites(root)
	for _, l := range all {
		if l.own {
			b.checkReadable(l.site)
			b.lend(l.site.Real, l.destination, l.site.Bytes)
		}
	}
	b.mountEditables()
	b.setBytecode(image, root)
	b.addPth(image, all)
}

// borrowedRoot is the first place that the user can reach, that no volume covers (its directories would be made in the
// volume) and where the image has no file.
func (b *builder) borrowedRoot() (string, bool) {
	for _, root := range borrowedRoots {
		_, covered := b.coveredBy(root)
		_, _, closed := b.closed(path.Join(root, "site"))
		if !covered && !closed && !b.isFile(root) && !b.isFile(path.Dir(root)) {
			return root, true
		}
	}
	dir, at, _ := b.closed(borrowedRoots[0] + "/site")
	b.notTraversed("python", borrowedRoots[0], dir, at, finding.Error)
	return "", false
}

func (b *builder) isFile(p string) bool {
	at, ok := b.f.Image.Paths[p]
	return ok && !at.Dir
}

// placeSites says where each directory of the host's sys.path goes, in its order. A conda environment goes as a whole:
// its packages find their libraries by paths relative to its root. What a .pth file added keeps its path, for the host's
// .pth files to find it.
func (b *builder) placeSites(root string) []lent {
	py := b.f.Host.Python
	var all []lent
	if py.Kind == "conda" && py.Prefix != "" && py.Prefix != "/" {
		all = append(all, lent{host.Site{Path: py.Prefix, Real: py.Prefix, Kind: "conda", Bytes: b.siteBytes(py.Prefix)}, root + "/env", true})
	}
	number := 0
	for _, s := range py.Sites {
		if s.Real == "" {
			s.Real = s.Path
		}
		if s.Real == "" || slices.ContainsFunc(all, func(l lent) bool { return l.site.Real == s.Real }) {
			continue
		}
		if at, ok := inside(all, s); ok {
			all = append(all, lent{s, at, false})
			continue
		}
		if s.Kind == "pth" && b.keepsPath(s.Path) {
			all = append(all, lent{s, s.Path, true})
			continue
		}
		all = append(all, lent{s, root + "/site/" + itoa(number), true})
		number++
	}
	return all
}

// inside finds a site in a directory that is mounted already.
func inside(all []lent, s host.Site) (string, bool) {
	for _, l := range all {
		for _, pair := range [][2]string{{s.Path, l.site.Path}, {s.Real, l.site.Real}} {
			if l.own && pair[0] != "" && within(pair[0], pair[1]) {
				return path.Join(l.destination, strings.TrimPrefix(pair[0], pair[1])), true
			}
		}
	}
	return "", false
}

func (b *builder) siteBytes(prefix string) int64 {
	var n int64
	for _, s := range b.f.Host.Python.Sites {
		if within(s.Path, prefix) || within(s.Real, prefix) {
			n += s.Bytes
		}
	}
	return n
}

// lend mounts a directory of packages.
func (b *builder) lend(source, destination string, bytes int64) {
	b.mounts = append(b.mounts, mount{Mount: b.borrowed(source, destination), origin: hostPython, key: "python"})
	b.plan.Borrowed = append(b.plan.Borrowed, Borrowed{Source: source, Destination: destination, Bytes: bytes, For: "python"})
}

// checkReadable refuses a directory of packages that the container's user can't look into: Python passes it over in
// silence. Its group is not among the facts, so what a group may do is taken as done.
func (b *builder) checkReadable(s host.Site) {
	const others, group = 0o005, 0o050
	if b.readsAll() || s.Mode == 0 || s.UID == b.user.uid || s.Mode&others == others || s.Mode&group == group {
		return
	}
	b.report("python", finding.Finding{
		ID: finding.SiteUnreadable, Severity: finding.Error, Subject: s.Path,
		Got: fmt.Sprintf("mode %04o, owner %d", s.Mode, s.UID), Want: fmt.Sprintf("read and search permission for user %d", b.user.uid),
		Message: fmt.Sprintf("the container's user %d can't read the host's packages in %s", b.user.uid, s.Path),
		Remedy:  "chmod -R a+rX " + shellQuote(s.Path) + fmt.Sprintf(", or run as its owner: user: \"%d\"", s.UID),
	})
}

// systemDirs are the image's own: nothing of the host is mounted over or below them at its own path.
var systemDirs = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var"}

// keepsPath says whether a directory of the host can be mounted at its own path: it must not hide something of the
// image or of the profile, and the user must reach it.
func (b *builder) keepsPath(p string) bool {
	if strings.Count(p, "/") < 2 || path.Clean(p) != p || slices.ContainsFunc(systemDirs, func(d string) bool { return within(p, d) }) {
		return false
	}
	if at, ok := b.f.Image.Paths[p]; ok && (!at.Dir || at.Entries > 0) {
		return false
	}
	if slices.ContainsFunc(b.mounts, func(m mount) bool { return within(p, m.Destination) || within(m.Destination, p) }) {
		return false
	}
	_, _, closed := b.closed(p)
	return !closed
}

// mountEditables mounts the sources of editable installs at their own path, which their finders have in them as text. The whole
// takes the place of directories in it that .pth files name: those may be of links to the rest (setuptools, editable_mode=strict).
// Where that can't be, the finding of the host stays.
func (b *builder) mountEditables() {
	for _, pkg := range b.f.Host.Python.Packages {
		if pkg.Editable == "" {
			continue
		}
		mounts, bytes := b.mounts, int64(0)
		b.mounts = slices.DeleteFunc(slices.Clone(mounts), func(m mount) bool { return m.ownPath() && within(m.Destination, pkg.Editable) })
		if !b.keepsPath(pkg.Editable) {
			b.mounts = mounts
			continue
		}
		b.plan.Borrowed = slices.DeleteFunc(b.plan.Borrowed, func(have Borrowed) bool {
			part := have.Source == have.Destination && within(have.Destination, pkg.Editable)
			if part {
				bytes += have.Bytes
			}
			return part
		})
		b.lend(pkg.Editable, pkg.Editable, bytes)
	}
}

// hostPython is the origin of what is mounted of the host's packages.
const hostPython = "host python"

// ownPath says that it shows a directory of the host's packages where the host has it.
func (m mount) ownPath() bool { return m.origin == hostPython && m.Source == m.Destination }

// mountTarget mounts the first site directory exactly where the profile says.
func (b *builder) mountTarget(image *abi.Python) {
	target := path.Clean(b.p.Python.Target)
	sites := b.f.Host.Python.Sites
	if !strings.HasPrefix(target, "/") || target == "/" || len(sites) == 0 {
		b.report("python.target", finding.Finding{
			ID: finding.ProfileInvalid, Severity: finding.Error, Subject: "python.target", Got: b.p.Python.Target,
			Want: "a directory of the container, and a host Python with a site directory", Message: "python.target can't be mounted",
			Remedy: "correct python.target, or leave it out",
		})
		return
	}
	source := sites[0].Real
	if source == "" {
		source = sites[0].Path
	}
	if dir, at, bad := b.closed(target); bad {
		b.notTraversed("python.target", target, dir, at, finding.Error)
	}
	b.mounts = append(b.mounts, mount{Mount: b.borrowed(source, target), origin: b.fromProfile("python.target"), key: "python.target"})
	b.plan.Borrowed = append(b.plan.Borrowed, Borrowed{Source: source, Destination: target, Bytes: sites[0].Bytes, For: "python"})
	b.checkReadable(sites[0])
	b.checkTargetDir(target)
	b.checkTargetPath(image, target)
	b.tellLeftOut(source, sites[1:])
}

func (b *builder) checkTargetDir(target string) {
	at, ok := b.f.Image.Paths[target]
	switch {
	case ok && !at.Dir:
		b.report("python.target", finding.Finding{
			ID: finding.PathWrongType, Severity: finding.Error, Subject: target, Got: "a file in the image", Want: "a directory",
			Message: target + " is a file in the image: no directory can be mounted on it", Remedy: "correct python.target",
		})
	case ok && at.Entries > 0:
		b.report("python.target", finding.Finding{
			ID: finding.ImageHasPackages, Severity: finding.Warning, Subject: target,
			Got: fmt.Sprintf("%d entries in the image", at.Entries), Want: "an empty directory",
			Message: "the host's packages hide the image's own in " + target,
			Remedy:  "leave python.target out: the host's packages are then added after the image's own",
		})
	}
}

// checkTargetPath warns where the image's interpreter does not look.
func (b *builder) checkTargetPath(image *abi.Python, target string) {
	looked := append(slices.Clone(image.SiteDirsDeclared), image.SiteDirs...)
	pythonPath := b.env.get("PYTHONPATH")
	if own, ok := lookup(b.p.Environment, "PYTHONPATH"); ok {
		pythonPath = own
	}
	looked = append(looked, strings.Split(pythonPath, ":")...)
	if slices.ContainsFunc(looked, func(dir string) bool { return dir != "" && b.real(dir) == b.real(target) }) {
		return
	}
	b.report("python.target", finding.Finding{
		ID: finding.TargetNotOnPath, Severity: finding.Warning, Subject: target,
		Got:     describe(image) + " looks into " + strings.Join(image.SiteDirs, ", "),
		Want:    "python.target among them",
		Message: "the image's " + image.Executable + " does not look into " + target + ": importing a package of the host would end in ModuleNotFoundError",
		Remedy:  "leave python.target out, set it to a directory of that interpreter, or name the interpreter that owns it in command:",
	})
}

// tellLeftOut warns of site directories that python.target has no room for.
func (b *builder) tellLeftOut(mounted string, sites []host.Site) {
	var left []string
	for _, s := range sites {
		if s.Files > 0 && !within(s.Real, mounted) && !within(s.Path, mounted) {
			left = append(left, s.Path)
		}
	}
	if len(left) == 0 {
		return
	}
	b.report("python.target", finding.Finding{
		ID: finding.SitePathIgnored, Severity: finding.Warning, Subject: "python.target",
		Got: strings.Join(left, ", "), Want: "one site directory with all packages",
		Message: "python.target holds one directory; the host's Python has more, which are not mounted: " + strings.Join(left, ", "),
		Remedy:  "leave python.target out, which mounts all of them, or add them under volumes:",
	})
}
