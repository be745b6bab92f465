package imports

import (
	"path"
	"strings"
)

// atStart is imported by every start before site.
var atStart = []string{"_frozen_importlib", "_imp", "_thread", "_warnings", "_weakref", "_frozen_importlib_external", "marshal", "posix", "time", "zipimport",
	"encodings", "encodings.utf_8", "_signal", "io", "abc"}

// maxFailingLines bounds how often a start is tried, as each line that raises may uncover others.
const maxFailingLines = 8

// start imports what every start does, before the command's own entry joins sys.path (Python/pylifecycle.c, Lib/site.py).
// Where a line of a .pth file raises, site goes on without the rest of that file: it starts again, knowing so.
func (s *scanner) start(flags string) *process {
	for range maxFailingLines {
		p, failing := s.startOnce(flags)
		if len(failing) == 0 {
			return p
		}
		for _, at := range failing {
			if s.fails == nil {
				s.fails = map[pthPlace]bool{}
			}
			s.fails[at] = true
		}
	}
	p, _ := s.startOnce(flags)
	return p
}

// startOnce also returns the lines of .pth files that raise and were not known to.
func (s *scanner) startOnce(flags string) (p *process, failing []pthPlace) {
	made := s.site(flags)
	p = newProcess(s.loader, made, made.path, s.r.Deep)
	for _, name := range atStart {
		if s.r.Python.Version.Minor < 8 && (name == "time" || name == "zipimport") {
			continue
		}
		if strings.HasPrefix(name, "enc") || s.finder.builtins[name] || s.finder.frozen[name] || name == "io" || name == "abc" {
			p.load(name, required, At{})
		}
	}
	if strings.Contains(flags, "S") {
		return p, nil
	}
	p.load("site", required, At{})
	for _, c := range made.code {
		if p.runPth(c) && !s.fails[c.place()] {
			failing = append(failing, c.place())
		}
	}
	p.load("sitecustomize", attempted, At{Module: "site"})
	return p, failing
}

// runPth follows the imports of a line of a .pth file, and says whether it is known to raise. What fails in it is printed, and
// ends the file alone.
func (p *process) runPth(c pthCode) (fails bool) {
	s := &spec{name: "site", file: c.file, kind: Source}
	u := parse(c.text, p.loader.facts, "")
	for i := range u.body {
		u.body[i].line = int32(c.line)
	}
	loaded, hooks := len(p.order), len(p.hooks.names)
	p.quiet = c.known
	if !c.known {
		p.skip("pth", path.Base(c.file), At{Module: "site", File: c.file, Line: c.line}, "code in a .pth file runs at each start", attempted)
		p.notePath(u, s)
	}
	fails = p.run(u.body, frame{spec: s, level: attempted}) != nil
	p.quiet = false
	if len(p.hooks.names) > hooks && !c.known {
		p.given(p.order[loaded:])
	}
	return fails
}

// given takes the modules that a line of a .pth file loads for users of an importer that came with them: names that stand in
// them may be what it is to find.
func (p *process) given(names []string) {
	for _, name := range names {
		m := p.modules[name]
		if m.spec.kind != Source || p.standard(m.spec) {
			continue
		}
		u := p.loader.unit(m.spec)
		if u == nil || p.hooks.known[u] {
			continue
		}
		if text, _, err := p.loader.text(m.spec, nil); err == nil && len(text) <= maxPth {
			p.hooks.add(&unit{literals: newLexer(string(text)).literals()}, name)
		}
	}
}

// standard says that a module's file is one of the standard library.
func (p *process) standard(s *spec) bool {
	return within(s.file, p.site.py.Stdlib) && !strings.Contains(strings.TrimPrefix(s.file, p.site.py.Stdlib), "-packages/")
}
