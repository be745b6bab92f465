package imports

import (
	"slices"
	"strings"
)

// A level is how certain it is that a statement runs; a higher one is more certain.
type level uint8

const (
	deferred  level = iota + 1 // in a function
	perhaps                    // below a condition that files do not decide
	attempted                  // caught
	required
)

func (l level) reach() Reach {
	switch l {
	case required:
		return Required
	case attempted:
		return Attempted
	case perhaps:
		return Possible
	}
	return Deferred
}

// A module is one entry of sys.modules.
type module struct {
	spec    *spec
	level   level // at which its body was walked
	order   int
	by      At
	failure *failure        // its import is known to fail
	running bool            // its body is being walked
	without map[string]bool // names of a package that are known to be no modules in it
}

// A failure is an import that is known to fail, or a module whose code raises.
type failure struct {
	missing *Missing // nil: another exception than that of a missing module
	again   bool     // a bare raise: what a handler caught goes on
	class   string   // of the other exception: what raise names
	cause   *Missing // what the handler that raises the other exception caught
}

// missed says that the failure is an ImportError: that of a missing module, or one that a handler made of it.
func (f *failure) missed() bool {
	return f != nil && (f.missing != nil || f.cause != nil && slices.Contains(catchers[:2], f.class))
}

// A process walks through what one program imports, in the order in which it would.
type process struct {
	loader  *loader
	site    *site
	path    []string // sys.path
	top     level    // of the program's own statements
	deep    bool
	modules map[string]*module
	order   []string
	missing map[string]*Missing
	misses  []*Missing
	not     map[notChecked]bool
	checked []NotChecked
	raised  int    // what functions raise, as listed: see maxListed
	strange int    // names that modules have from elsewhere: see unnamed
	hooks   hooks  // loaded modules that write to the import system's tables
	mover   string // the first module that may add entries to sys.path by its code
	args    []string
	ended   bool // it may have ended by itself, well: see exit
	quiet   bool // a line of a .pth file runs of which it is known what its module does to the import system
	chain   []At
	depth   int
	moments int // see Missing.order
}

func newProcess(l *loader, s *site, searchPath []string, deep bool) *process {
	return &process{loader: l, site: s, path: searchPath, deep: deep, top: required, modules: map[string]*module{}, missing: map[string]*Missing{},
		not: map[notChecked]bool{}, hooks: newHooks()}
}

// A frame is where statements run.
type frame struct {
	spec   *spec
	level  level
	main   bool   // the program's own file: its functions are taken as called
	maybe  bool   // below a condition that files do not decide
	called bool   // in a function
	tries  *tries // around it, in this file
	pkg    string
}

// maxDepth bounds how deep imports nest: Python's own stack ends at a thousand frames, of which an import takes several.
const maxDepth = 1000

// run walks through a body. It returns the first failure that ends it, and goes on behind one to see the next.
func (p *process) run(body []statement, f frame) (first *failure) {
	for i := range body {
		fail, stop := p.step(&body[i], f)
		if first == nil {
			first = fail
		}
		if stop || p.loader.ctx.Err() != nil {
			break
		}
	}
	return first
}

// step runs one statement. stop says that nothing behind it runs.
func (p *process) step(st *statement, f frame) (fail *failure, stop bool) {
	if p.ended && f.level > perhaps {
		f.level, f.maybe = perhaps, true
	}
	switch st.action {
	case doImport, doFrom:
		return p.importStatement(st, f), false
	case doIf:
		return p.branch(st, f)
	case doTry:
		return p.try(st, f), false
	case doDefer:
		f.level, f.called = min(f.level, deferred), true
		if f.main {
			f.level = perhaps
		}
		p.run(st.arms[0].body, f)
	case doMaybe:
		f.level = min(f.level, perhaps)
		p.run(st.arms[0].body, f)
	case doRaise:
		if f.maybe && f.level == perhaps && st.name != "" {
			p.skip("raise", f.spec.name, p.at(st, f), "raises "+st.name+" if a condition holds that files do not tell", f.level)
		}
		return &failure{again: st.name == "", class: st.name}, true
	case doExit:
		return p.exit(st, f), true
	case doArguments:
		p.ended = p.ended || p.asksForHelp()
	case doCall:
		p.call(st, f)
	case doDynamic:
		p.skip("dynamic", f.spec.name, p.at(st, f), dynamicWhy(st.name), f.level)
	}
	return nil, false
}

func dynamicWhy(call string) string {
	switch call {
	case "exec":
		return "exec runs code that may import anything"
	case "entry_points", "load_entry_point":
		return "entry points load what is installed: see the distributions' entry_points.txt"
	}
	return call + " imports what is computed at run time"
}

func (p *process) at(st *statement, f frame) At {
	return At{Module: f.spec.name, File: f.spec.file, Line: int(st.line)}
}

// branch runs the arms of an if statement that may run.
func (p *process) branch(st *statement, f frame) (*failure, bool) {
	certain := true
	for _, a := range st.arms {
		inner, when := f, a.when
		if a.inside {
			when = triOf(f.pkg != "")
		}
		if when == no {
			continue
		}
		if when == yes && certain {
			return p.runStop(a.body, inner)
		}
		certain = false
		inner.level, inner.maybe = min(f.level, perhaps), true
		p.run(a.body, inner)
		if when == yes {
			break
		}
	}
	return nil, false
}

// runStop is run, and says whether the body ends what surrounds it.
func (p *process) runStop(body []statement, f frame) (first *failure, stop bool) {
	for i := range body {
		fail, ends := p.step(&body[i], f)
		if first == nil {
			first = fail
		}
		if ends {
			return first, true
		}
	}
	return first, false
}

// try runs a try statement. Where the body is known to fail, its handlers are known to run.
func (p *process) try(st *statement, f frame) (result *failure) {
	handled := slices.ContainsFunc(st.arms, func(a arm) bool { return a.kind == armHandler && a.when != no })
	inner := f
	inner.tries = &tries{st, f.tries}
	if handled {
		inner.level = min(f.level, attempted)
	}
	fail := p.run(st.arms[0].body, inner)
	excepts := slices.ContainsFunc(st.arms, func(a arm) bool { return a.kind == armHandler })
	if !handled && (!excepts || fail != nil && fail.missing != nil) {
		result = fail // what a raise statement raises, any handler may catch
	}
	missed := fail.missed()
	if missed && handled {
		p.standsIn(st, fail, f)
	}
	for _, a := range st.arms[1:] {
		inner := f
		switch {
		case a.kind == armElse && fail != nil, a.kind == armHandler && (a.when != yes || !missed):
			inner.level = min(f.level, perhaps)
		case a.kind == armElse && handled && !onlyImports(st):
			inner.level = min(f.level, attempted)
		}
		ended := p.ended
		then := p.run(a.body, inner)
		if a.kind == armHandler && (a.when != yes || !missed) || a.kind == armElse && fail != nil {
			p.ended = ended // it would end the process for a reason that is not known to be one
		}
		runs := a.kind == armFinally || a.kind == armHandler && a.when == yes && missed
		if runs && then != nil && result == nil {
			result = p.handled(a, fail, then, f)
		}
		if a.kind == armHandler && a.when == yes {
			missed = false // the first that catches is the only one
		}
	}
	return result
}

// onlyImports says that a try statement catches nothing but failures of imports: where none is known, its else clause runs.
func onlyImports(st *statement) bool {
	return !slices.ContainsFunc(st.arms, func(a arm) bool { return a.kind == armHandler && !a.narrow })
}

// handled says how a handler that fails itself ends the statement.
func (p *process) handled(a arm, fail, then *failure, f frame) *failure {
	if a.kind != armHandler || then.missing != nil {
		return then
	}
	if then.again {
		p.promote(fail, f.level)
		return fail
	}
	other := &failure{class: then.class, cause: fail.cause}
	if fail.missing != nil {
		other.cause = fail.missing
	}
	p.promote(other, f.level)
	return other
}

// importStatement is IMPORT_NAME and IMPORT_FROM.
func (p *process) importStatement(st *statement, f frame) *failure {
	at := p.at(st, f)
	lvl := f.level
	if st.soft {
		lvl = min(lvl, attempted)
	}
	name, ok := absoluteName(st, f.pkg)
	if !ok {
		return p.beyond(st, f, at, lvl)
	}
	p.chain = append(p.chain, at)
	defer func() { p.chain = p.chain[:len(p.chain)-1] }()
	fail := p.load(name, lvl, at)
	if st.action == doFrom && fail == nil {
		fail = p.fromList(name, st.names, lvl, at)
	}
	if st.soft {
		return nil
	}
	return fail
}

// load is importlib._bootstrap._gcd_import: each parent first. Behind a parent that is known to fail it goes on, to see
// the next failure.
func (p *process) load(name string, lvl level, at At) (first *failure) {
	search := p.path
	var parent *module
	full := ""
	for rest := name; len(full) < len(name); {
		part, after, _ := strings.Cut(rest, ".")
		full, rest = name[:len(name)-len(rest)+len(part)], after
		m := p.modules[full]
		if m == nil {
			s := p.find(full, search, parent)
			if s == nil {
				return or(first, p.notFound(full, parent, lvl, at))
			}
			if s.absent {
				return or(first, p.miss(full, "[Errno 2] No such file or directory: '"+s.file+"'", "FileNotFoundError", lvl, at))
			}
			m = &module{spec: s, by: at, order: len(p.order)}
			p.modules[full] = m
			p.order = append(p.order, full)
			p.source(s, lvl, at)
			p.hollow(s, part, search, lvl, at)
		}
		p.walk(m, lvl)
		if m.failure != nil {
			p.promote(m.failure, lvl)
			first = or(first, m.failure)
		}
		parent, search = m, m.spec.path
	}
	return first
}

func or(first, second *failure) *failure {
	if first != nil {
		return first
	}
	return second
}

// source loads what an alias is taken from.
func (p *process) source(s *spec, lvl level, at At) {
	if target := p.site.alias[s.name]; target != "" {
		p.load(target, min(lvl, attempted), at)
	}
}

// walk runs a module's body, once for each level that is more certain than before.
func (p *process) walk(m *module, lvl level) {
	if m.level >= lvl || p.depth > maxDepth {
		return
	}
	was := m.level
	m.level = lvl
	if lvl == deferred && !p.deep {
		return
	}
	u := p.loader.unit(m.spec)
	if u == nil {
		p.opaque(m, lvl)
		return
	}
	p.loader.follow(m.spec)
	if u.problem != "" {
		p.skip("syntax", m.spec.name, At{Module: m.spec.name, File: m.spec.file}, u.problem, lvl)
	}
	quiet := p.quiet && !p.standard(m.spec)
	if was < perhaps && lvl >= perhaps && !quiet {
		p.notePath(u, m.spec)
	}
	if u.hook && was < perhaps && !quiet {
		p.hooks.add(u, m.spec.name)
	}
	p.depth++
	m.running = true
	fail := p.run(u.body, frame{spec: m.spec, level: lvl, pkg: packageOf(m.spec)})
	m.running = false
	p.depth--
	if fail != nil {
		m.failure = fail
	}
}

// opaque lists what has no source.
func (p *process) opaque(m *module, lvl level) {
	at := At{Module: m.spec.name, File: m.spec.file}
	switch m.spec.kind {
	case Extension:
		if text, broken := p.loader.broken[m.spec.file]; broken {
			m.failure = p.miss(m.spec.name, text, "ImportError", lvl, m.by)
			m.failure.missing.File = m.spec.file
		}
		if m.spec.entry != p.site.py.Dynload {
			p.skip("native", m.spec.name, at, "native code may import more", lvl)
		}
	case Bytecode, Zip:
		p.skip("bytecode", m.spec.name, at, "bytecode without its source is not read", lvl)
	}
}

// begin puts the program's own entry before all others of sys.path: parts of packages may lie there.
func (p *process) begin(own string) {
	p.path = append([]string{own}, p.path...)
	for _, m := range p.modules {
		m.without = nil
	}
}
