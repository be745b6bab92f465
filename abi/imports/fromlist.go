package imports

import (
	"slices"
	"strings"
)

// fromList loads submodules that a from statement names (importlib._bootstrap._handle_fromlist).
func (p *process) fromList(name string, names []string, lvl level, at At) *failure {
	m := p.modules[name]
	if m == nil || !m.spec.isPkg && lvl == deferred { // what functions import is not read
		return nil
	}
	u := p.loader.unit(m.spec)
	if !m.spec.isPkg {
		for _, n := range names {
			p.unnamed(n, m, u, lvl, at)
		}
		return nil
	}
	if u != nil && slices.Contains(names, "*") {
		lvl, names = min(lvl, attempted), append(names[:len(names):len(names)], u.all...)
	}
	var first *failure
	for _, n := range names {
		full := name + "." + n
		if n == "*" {
			continue
		}
		if m.without[n] || p.modules[full] == nil && p.find(full, m.spec.path, m) == nil {
			m.lacks(n)
			switch {
			case m.spec.kind == Namespace && p.provider(full, m) == "":
				first = or(first, p.notNamed(n, m, lvl, at)) // it has submodules alone
			case u == nil || u.binds(n):
				if m.running && p.loader.finder.foreign(n, m.spec.path) { // bound before, or not yet
					p.skip("native", full, at, name+" is being imported and may not have it yet, and the native module of that name is another interpreter's", lvl)
				}
			case u.hook:
				p.skip("hook", full, at, name+" may put it into sys.modules at run time", lvl)
			case u.problem == "" && !p.opened(m, u) && p.loader.finder.foreign(n, m.spec.path):
				first = or(first, p.notNamed(n, m, lvl, at))
			default:
				p.unnamed(n, m, u, lvl, at)
			}
			continue
		}
		inner := lvl
		if u != nil && p.modules[full] == nil {
			switch {
			case u.binds(n):
				inner = min(lvl, perhaps)
			case u.open || u.hook:
				inner = min(lvl, attempted)
			}
		}
		if fail := p.load(full, inner, at); fail != nil && inner == lvl && first == nil {
			first = fail
		}
	}
	return first
}

// unnamed lists a name that is taken from a module whose text binds no such name. Where names come from elsewhere (a star, globals(),
// __getattr__), they are only counted: most are there.
func (p *process) unnamed(n string, m *module, u *unit, lvl level, at At) {
	switch {
	case u == nil || u.problem != "" || n == "*" || u.binds(n) || strings.HasPrefix(n, "__") && strings.HasSuffix(n, "__"):
	case p.opened(m, u) || u.hook:
		p.strange++
	default:
		p.skip("name", m.spec.name+"."+n, at, "the text of "+m.spec.name+" gives it no such name", lvl)
	}
}

// hollow lists a directory without an __init__ that is taken for a package because the native module of its name, beside it, is another
// interpreter's: the directory holds stubs or parts of that, and what is taken from it by a star or as an attribute is not there.
func (p *process) hollow(s *spec, tail string, search []string, lvl level, at At) {
	if s.kind == Namespace && p.loader.finder.foreign(tail, search) {
		p.skip("namespace", s.name, at, "a directory takes the place of the native module of that name, which is another interpreter's: names that are used are missing, perhaps", lvl)
	}
}

// lacks notes that a package has no module of a name. What would find one does not change while a program is followed.
func (m *module) lacks(name string) {
	if m.without == nil {
		m.without = map[string]bool{}
	}
	m.without[name] = true
}

// opened says that a package may have names by now which files do not tell. While it is being imported itself, those that
// come behind the statement that it has reached are not there yet.
func (p *process) opened(m *module, u *unit) bool {
	if !u.open || !m.running {
		return u.open
	}
	for _, at := range slices.Backward(p.chain) {
		if at.Module == m.spec.name {
			return at.Line > int(u.opensAt) // the star of the very statement that runs brings its names when it has ended
		}
	}
	return true
}
