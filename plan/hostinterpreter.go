package plan

import (
	"fmt"
	"path"
	"slices"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
)

// fromHost says that the profile wants the host's interpreter to run.
func (b *builder) fromHost() bool { return b.p.Python.InterpreterFrom == "host" }

// movable says whether an interpreter runs wherever its prefix is shown at its own path: it lies in a tree of its own, as
// those of uv, conda, pyenv and python-build-standalone do. A distribution's shares /usr with everything else.
func movable(py *host.Python) bool {
	return py.BasePrefix != "" && !slices.ContainsFunc(systemTrees, func(tree string) bool { return within(py.BasePrefix, tree) || within(py.Real, tree) })
}

// systemTrees are those that each image has of its own. /usr/local is among them: images of Python have theirs there.
var systemTrees = []string{"/usr", "/bin", "/lib", "/lib64", "/sbin"}

// addHostInterpreter lets the container run the host's own interpreter, at the paths that it has on the host. Whether it
// starts with the image's C library is the proof's to say.
func (b *builder) addHostInterpreter() {
	py := b.f.Host.Python
	if !movable(py) {
		b.report("python.interpreter_from", finding.Finding{
			ID: finding.InterpreterFixed, Severity: finding.Error, Subject: py.Executable,
			Got: py.Kind + " interpreter below " + py.BasePrefix, Want: "an interpreter in a tree of its own, or the image's of the same release, " + py.Version.String() + ", whose packages lie apart from its standard library",
			Message: py.Executable + " is a part of the host's system: it can't run in an image without all of that",
			Remedy: "use an image with Python " + py.Version.String() + " or with the whole standard library (Debian: python3, not python3-minimal), or an interpreter " +
				"that can be moved: uv python install, or conda; and name it under python:",
		})
		return
	}
	b.python = &py.Python
	for _, p := range append([]string{py.Prefix, py.BasePrefix}, ownPaths(py)...) {
		if p = path.Clean(p); !b.borrowAtOwnPath(p) {
			return
		}
	}
	b.runHostPython(py)
	if root, ok := b.borrowedRoot(); ok {
		b.setBytecode(&py.Python, root)
	}
	b.report("python.interpreter_from", finding.Finding{
		ID: finding.InterpreterLent, Severity: finding.Info, Subject: py.Executable, Got: describe(&py.Python), Want: "the profile's python.interpreter_from: host",
		Message: "the container runs the host's interpreter " + py.Real + " with its own standard library, not one of the image",
		Remedy:  "remove python.interpreter_from to run the image's",
	})
}

// borrowAtOwnPath binds a directory of the environment at the path that it has on the host. False where that can't be.
func (b *builder) borrowAtOwnPath(p string) bool {
	m, covered := b.coveredBy(p)
	if covered && m.Type == "bind" && m.Source == m.Destination {
		return true
	}
	why := ""
	at, there := b.f.Image.Paths[p]
	_, _, closed := b.closed(p)
	switch {
	case covered:
		why = "the mount at " + m.Destination + " covers it"
	case b.wholeHome(p) || slices.ContainsFunc(systemTrees, func(tree string) bool { return within(p, tree) }):
		why = "it is a home directory or one of the system, and holds more than the environment"
	case there && (!at.Dir || at.Entries > 0):
		why = "the image has something else there"
	case closed:
		why = "the container's user can't reach it"
	}
	if why == "" {
		b.lend(p, p, b.siteBytes(p))
		b.plan.Borrowed[len(b.plan.Borrowed)-1].Kind = "interpreter"
		return true
	}
	b.report("python.interpreter_from", finding.Finding{
		ID: finding.InterpreterFixed, Severity: finding.Error, Subject: p,
		Got: why, Want: "a place for the host's interpreter at its own path",
		Message: "the host's interpreter needs " + p + " in the container, and it can't be bound there: " + why,
		Remedy:  "make an environment in a directory of its own (python3 -m venv /opt/venv, uv venv /opt/venv) and name it under python:",
	})
	return false
}

// completesStdlib says whether the host's standard library may take the place of the image's: they are of one release, for
// one ABI, and the image keeps its packages elsewhere, as Debian does. (Images of Python have site-packages in it, and a
// whole standard library.)
func (b *builder) completesStdlib(own *host.Python, image *abi.Python) bool {
	packages := slices.ContainsFunc(b.f.Image.Sites, func(s host.Site) bool { return within(s.Path, image.Stdlib) && len(s.Modules) > 0 })
	elsewhere := slices.ContainsFunc(image.SiteDirs, func(dir string) bool { return !within(dir, image.Stdlib) })
	return !packages && elsewhere && own.Version == image.Version && own.SOABI == image.SOABI && own.Stdlib != "" && image.Stdlib != "" && image.Venv == nil &&
		own.Implementation == image.Implementation
}

// lendStdlib shows the host's standard library where the image has its own part of it.
func (b *builder) lendStdlib(image *abi.Python) {
	own := b.f.Host.Python
	if m, covered := b.coveredBy(image.Stdlib); covered {
		b.report("python.interpreter_from", finding.Finding{
			ID: finding.InterpreterFixed, Severity: finding.Error, Subject: image.Stdlib, Got: m.Source + " is mounted at " + m.Destination,
			Message: "the host's standard library has no place in the container: the mount at " + m.Destination + " covers " + image.Stdlib,
			Remedy:  "change the target of the mount",
		})
		return
	}
	b.mounts = append(b.mounts, mount{Mount: b.borrowed(own.Stdlib, image.Stdlib), origin: "host stdlib", key: "python"})
	b.plan.Borrowed = append(b.plan.Borrowed, Borrowed{Source: own.Stdlib, Destination: image.Stdlib, For: "python", Kind: "stdlib"})
	b.report("python.interpreter_from", finding.Finding{
		ID: finding.StdlibLent, Severity: finding.Info, Subject: image.Stdlib, Got: describe(&own.Python), Want: describe(image),
		Message: fmt.Sprintf("the host's standard library %s takes the place of the image's %s: both are Python %s", own.Stdlib, image.Stdlib, image.Version),
		Remedy:  "remove python.interpreter_from to use the image's own",
	})
}

// wholeStdlib adds to the remedy of a missing standard module what the host could do about it.
func (b *builder) wholeStdlib(f finding.Finding) finding.Finding {
	own := b.f.Host.Python
	if f.ID != finding.StandardMissing || own == nil || b.python == nil || b.fromHost() || usesHostRoot(b.p) {
		return f
	}
	switch {
	case movable(own):
		f.Remedy += "; or set python.interpreter_from: host, which runs the host's own " + own.Real + " with its whole standard library"
	case b.completesStdlib(own, b.python):
		f.Remedy += fmt.Sprintf("; or set python.interpreter_from: host: the host's standard library is of the same release %s and completes the image's", own.Version)
	}
	return f
}
