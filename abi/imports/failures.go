package imports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// beyond reports a relative import that has no package to be relative to (importlib._bootstrap._sanity_check).
func (p *process) beyond(st *statement, f frame, at At, lvl level) *failure {
	if st.soft {
		return nil
	}
	text, class := "attempted relative import beyond top-level package", "ImportError"
	if p.site.py.Version.Minor < 9 {
		class = "ValueError" // bpo-37444
	}
	if f.pkg == "" {
		text, class = "attempted relative import with no known parent package", "ImportError"
	}
	return p.miss(strings.Repeat(".", int(st.level))+st.name, text, class, lvl, at)
}

// notNamed reports that a package has no such name (Python/ceval.c, import_from): the native module of that name is one
// of another interpreter.
func (p *process) notNamed(name string, m *module, lvl level, at At) *failure {
	text, minor := "cannot import name '"+name+"'", p.site.py.Version.Minor
	switch {
	case minor >= 8 && m.running:
		text += fmt.Sprintf(" from partially initialized module '%s' (most likely due to a circular import) (%s)", m.spec.name, m.spec.file)
	case minor >= 7:
		text += fmt.Sprintf(" from '%s' (%s)", m.spec.name, cmp.Or(m.spec.file, "unknown location"))
	}
	return p.miss(m.spec.name+"."+name, text, "ImportError", lvl, at)
}

// notFound reports a module without a place, unless something that runs may give it one.
func (p *process) notFound(full string, parent *module, lvl level, at At) *failure {
	if who := p.provider(full, parent); who != "" {
		p.skip("hook", full, at, who+" may give it a place at run time: by sys.modules, sys.meta_path or sys.path", lvl)
		if last := &p.checked[len(p.checked)-1]; last.Name == full && last.At == at {
			last.Absent = true
		}
		return nil
	}
	message := fmt.Sprintf("No module named '%s'", full)
	if parent != nil && !parent.spec.isPkg {
		message += fmt.Sprintf("; '%s' is not a package", parent.spec.name)
	}
	return p.miss(full, message, "ModuleNotFoundError", lvl, at)
}

// provider names the module that may give one its place: native code and bytecode for what lies below them, hooks for
// what lies below their package or stands in them as a string.
func (p *process) provider(full string, parent *module) string {
	for name := parentName(full); name != ""; name = parentName(name) {
		m := p.modules[name]
		if m == nil || m.spec.kind == Namespace {
			continue
		}
		if u := p.loader.unit(m.spec); u == nil || u.hook || u.problem != "" {
			return name
		}
	}
	top, _, below := strings.Cut(full, ".")
	if isStandard(top, p.site.py.Version) {
		return ""
	}
	if who := p.hooks.first(full, top, below); who != "" {
		return who
	}
	if parent == nil || parent.spec.kind == Namespace { // its parts are looked for anew when sys.path changes
		return p.mover
	}
	return ""
}

func parentName(name string) string { return name[:max(0, strings.LastIndexByte(name, '.'))] }

// miss notes an import that fails; one that is met twice keeps the place of the first and the greater certainty.
func (p *process) miss(name, message, class string, lvl level, at At) *failure {
	key := fmt.Sprintf("%s\x00%s\x00%d", name, at.File, at.Line)
	m := p.missing[key]
	if m == nil {
		m = &Missing{Name: name, Message: message, Error: class, At: at, Stdlib: isStandard(name, p.site.py.Version)}
		p.missing[key] = m
		p.misses = append(p.misses, m)
	}
	fail := &failure{missing: m}
	p.promote(fail, lvl)
	return fail
}

// promote notes that a failure is more certain than it was when it was found.
func (p *process) promote(f *failure, lvl level) {
	if f.cause != nil && lvl == required && !f.cause.fatal() {
		p.moments++
		f.cause.Raised, f.cause.order = true, p.moments
		f.cause.Chain = slices.Clone(p.chain)
	}
	if f.missing == nil || f.missing.level >= lvl {
		return
	}
	f.missing.level, f.missing.Reach = lvl, lvl.reach()
	if f.missing.Raised {
		return // that was earlier
	}
	p.moments++
	f.missing.order = p.moments
	f.missing.Chain = slices.Clone(p.chain)
}

// A notChecked tells entries of Report.NotChecked apart.
type notChecked struct {
	what, name, file string
	line             int
}

func (p *process) skip(what, name string, at At, why string, lvl level) {
	key := notChecked{what, name, at.File, at.Line}
	if p.not[key] {
		return
	}
	p.not[key] = true
	p.checked = append(p.checked, NotChecked{What: what, Name: name, At: at, Why: why, Reach: lvl.reach()})
}
