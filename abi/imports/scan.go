package imports

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/rootfs"
)

// A scanner is one Scan.
type scanner struct {
	ctx    context.Context
	view   *rootfs.View
	r      Request
	finder *finder
	loader *loader
	report Report
	merged map[string]int // name and file -> index of report.Modules
	misses map[string]int // name and place -> index of report.Missing
	fails  map[pthPlace]bool

	strange int // see process.unnamed
}

// Scan reads what the command of r imports in the view. The error is ctx's: what is missing and what can't be read is in
// the report.
func Scan(ctx context.Context, view *rootfs.View, r Request) (Report, error) {
	s := &scanner{ctx: ctx, view: view, r: r, finder: newFinder(view, r.Python), merged: map[string]int{}, misses: map[string]int{}}
	defer s.finder.close()
	s.loader = newLoader(ctx, s.finder, newFacts(r.Python), s.site("").path, r.Native)
	s.loader.broken = r.Broken
	s.loader.remember(r)
	defer s.loader.close()
	argv := takeApart(view, r)
	s.report.NotChecked = append(s.report.NotChecked, argv.not...)
	if argv.lacking != "" {
		s.report.Lacking = s.lacking(argv)
	}
	for _, root := range argv.roots {
		s.scanRoot(root)
	}
	if len(r.Packages) > 0 {
		s.scanPackages(r.Packages)
	}
	s.loader.close() // what is still to be read ahead, nobody has asked for
	s.extras()
	s.finish()
	return s.report, ctx.Err()
}

// site is the state that site leaves behind, with an interpreter's flags.
func (s *scanner) site(flags string) *site {
	made := newSite(s.view, s.r.Python, options{
		ignoreEnv: strings.ContainsAny(flags, "EI"), noSite: strings.Contains(flags, "S"), env: s.r.Env, cwd: s.r.WorkingDir, fails: s.fails})
	for _, e := range made.editing {
		if e.hook != "" {
			s.finder.spaces.put(e.hook, e)
		}
	}
	if s.r.Path != nil {
		made.path = slices.Clone(s.r.Path)
	}
	return made
}

// scanRoot walks through one program.
func (s *scanner) scanRoot(root Root) {
	if root.Dir != "" {
		defer func(was string) { s.r.WorkingDir = was }(s.r.WorkingDir)
		s.r.WorkingDir = root.Dir
	}
	p := s.start(root.Flags)
	p.args = root.Args
	if own, ok := s.ownEntry(root); ok {
		p.begin(own)
	}
	s.report.Roots = append(s.report.Roots, root)
	if s.report.Path == nil {
		s.report.Path = p.path
	}
	if root.Doubt != "" {
		p.top = perhaps
	}
	switch root.Kind {
	case "script":
		s.runScript(p, root)
	case "module":
		s.runModule(p, root)
	case "broken":
		s.cannotRun(root, root.Target, root.Args[0], "")
	case "code":
		p.runIn(&spec{name: "__main__", kind: Source}, parse(root.Target, s.loader.facts.asMain(), ""), "")
	}
	for _, file := range p.site.blocking {
		if root.Doubt == "" && !slices.Contains(s.report.Blocking, file) {
			s.report.Blocking = append(s.report.Blocking, file)
		}
	}
	if root.Doubt == "" {
		s.preloadBlocks()
	}
	s.merge(p, root)
}

// preload is what glibc's loader opens at the start of each program (do_preload, elf/rtld.c); musl's does not.
const preload = "/etc/ld.so.preload"

func (s *scanner) preloadBlocks() {
	if s.r.Python.Libc == "musl" || slices.Contains(s.report.Blocking, preload) {
		return
	}
	s.loader.read.add(preload, "")
	if fi, err := s.view.Stat(preload); err == nil && fi.Mode()&fs.ModeNamedPipe != 0 {
		s.report.Blocking = append(s.report.Blocking, preload)
	}
}

// ownEntry is sys.path[0] (Modules/main.c, pymain_run_python).
func (s *scanner) ownEntry(root Root) (string, bool) {
	if strings.ContainsAny(root.Flags, "IP") || s.r.Env["PYTHONSAFEPATH"] != "" && !strings.Contains(root.Flags, "E") && s.r.Python.Version.Minor >= 11 {
		if !s.isBundle(root) {
			return "", false
		}
	}
	if root.Kind != "script" {
		return absolute(s.r.WorkingDir, ""), root.Kind != "package"
	}
	if s.isBundle(root) {
		return root.Target, true
	}
	if real, err := s.view.Resolve(root.Target); err == nil {
		return path.Dir(real.Path), true
	}
	return path.Dir(root.Target), true
}

// isBundle says of a script that it is a directory or an archive with a __main__.
func (s *scanner) isBundle(root Root) bool {
	if root.Kind != "script" {
		return false
	}
	l := s.finder.list(root.Target)
	return l.archive != nil || l.names != nil
}

func (s *scanner) runScript(p *process, root Root) {
	if s.isBundle(root) {
		found := s.finder.findIn("__main__", root.Target)
		if found == nil {
			s.cannotRun(root, "__main__", "can't find '__main__' module in '"+root.Target+"'", "")
			return
		}
		p.runMain(found)
		return
	}
	if _, err := s.view.Stat(root.Target); err != nil {
		s.cannotRun(root, root.Target, "can't open file '"+root.Target+"': [Errno 2] No such file or directory", "")
		return
	}
	p.runMain(&spec{name: "__main__", file: root.Target, kind: Source, entry: path.Dir(root.Target)})
}

// cannotRun reports a program that does not begin.
func (s *scanner) cannotRun(root Root, name, message, class string) {
	level := required
	if root.Doubt != "" {
		level = perhaps
	}
	s.report.Missing = append(s.report.Missing, Missing{Name: name, Message: message, Error: class, Reach: level.reach(), level: level})
}

// runModule is runpy's -m: the module's parents run, then it as __main__ (Lib/runpy.py, _get_module_details).
func (s *scanner) runModule(p *process, root Root) {
	name := root.Target
	p.load("runpy", p.top, At{})
	if parent := parentName(name); parent != "" {
		if gone := s.goneParent(p, parent); gone != "" {
			s.cannotRun(root, gone, s.notSpecified(name, "ModuleNotFoundError: No module named '"+gone+"'"), "")
			return
		}
		if fail := p.load(parent, p.top, At{Module: "runpy"}); fail != nil {
			return
		}
		if m := p.modules[parent]; m != nil && !m.spec.isPkg {
			why := fmt.Sprintf("ModuleNotFoundError: __path__ attribute not found on '%s' while trying to find '%s'", parent, name)
			if s.r.Python.Version.Minor < 7 {
				why = "AttributeError: module '" + parent + "' has no attribute '__path__'"
			}
			s.cannotRun(root, name, s.notSpecified(name, why), "")
			return
		}
	}
	found := p.locate(name)
	if found == nil {
		s.cannotRun(root, name, s.r.Python.Executable+": No module named "+name, "")
		return
	}
	if found.isPkg {
		fail := p.load(name, p.top, At{Module: "runpy"})
		inner := p.locate(name + ".__main__")
		if inner == nil && fail != nil {
			return // it is not asked for
		}
		if inner == nil {
			s.cannotRun(root, name, s.r.Python.Executable+": No module named "+name+".__main__; '"+name+"' is a package and cannot be directly executed", "")
			return
		}
		found = inner
	}
	p.runMain(found)
}

// goneParent returns the first of a module's parents that is not there, "" for none or where that is not certain. Those before
// it run.
func (s *scanner) goneParent(p *process, parent string) string {
	for i := range len(parent) + 1 {
		if i < len(parent) && parent[i] != '.' {
			continue
		}
		name := parent[:i]
		if p.locate(name) == nil {
			if p.provider(name, p.modules[parentName(name)]) != "" || p.modules[parentName(name)] != nil && !p.modules[parentName(name)].spec.isPkg {
				return ""
			}
			return name
		}
		if p.load(name, p.top, At{Module: "runpy"}) != nil {
			return ""
		}
	}
	return ""
}

// notSpecified is what runpy prints where importlib.util.find_spec fails.
func (s *scanner) notSpecified(name, why string) string {
	text := fmt.Sprintf("%s: Error while finding module specification for '%s' (%s)", s.r.Python.Executable, name, why)
	if short, ok := strings.CutSuffix(name, ".py"); ok && s.r.Python.Version.Minor >= 9 {
		text += fmt.Sprintf(". Try using '%s' instead of '%s' as the module name.", short, name)
	}
	return text
}

// locate finds a module whose parents are loaded.
func (p *process) locate(name string) *spec {
	parent := p.modules[parentName(name)]
	search := p.path
	if parent != nil {
		search = parent.spec.path
	}
	return p.find(name, search, parent)
}

// runMain runs a file as __main__.
func (p *process) runMain(found *spec) {
	main := *found
	main.name = "__main__"
	u := p.loader.reading(&main, p.loader.facts.asMain())
	p.loader.ahead(u.body, found)
	p.runIn(&main, u, packageOf(found))
}

// runIn runs the text of __main__, whose __package__ is pkg.
func (p *process) runIn(main *spec, u *unit, pkg string) {
	p.modules["__main__"] = &module{spec: main, level: p.top, order: len(p.order)}
	p.order = append(p.order, "__main__")
	if u.problem != "" {
		p.skip("syntax", "__main__", At{Module: "__main__", File: main.file}, u.problem, p.top)
	}
	p.notePath(u, main)
	if u.hook {
		p.hooks.add(u, "__main__")
	}
	p.run(u.body, frame{spec: main, level: p.top, main: true, pkg: pkg})
}

func (f facts) asMain() facts {
	f.main = true
	return f
}

// scanPackages imports each name on its own, as `python -c "import NAME"` would.
func (s *scanner) scanPackages(names []string) {
	for _, name := range names {
		p := s.start("")
		if s.report.Path == nil {
			s.report.Path = p.path
		}
		root := Root{Kind: "package", Target: name}
		s.report.Roots = append(s.report.Roots, root)
		for _, module := range s.modulesOf(p, name) {
			p.load(module, required, At{})
		}
		s.merge(p, root)
	}
}

// modulesOf are the modules that a name of python.packages means: itself, or the top-level modules of a distribution.
func (s *scanner) modulesOf(p *process, name string) []string {
	if isModuleName(name) && p.locate(name) != nil {
		return []string{name}
	}
	if found := s.distributionModules(p, name); len(found) > 0 {
		return found
	}
	return []string{strings.ReplaceAll(name, "-", "_")}
}
