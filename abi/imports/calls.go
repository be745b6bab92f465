package imports

import (
	"slices"
	"strings"
	"unsafe"
)

// Most functions run when a program wants them; some are called by a module while it is imported, and raise where they do not find
// what they look for (a library, a device, a version). Such functions are read, as far as they are defined by `def` at the top of the
// same module or of another one that has been imported, and what they raise is listed.

// Bounds of what is read of functions that modules call.
const (
	maxCalls     = 2   // levels of calls
	maxNames     = 64  // functions that a block calls
	maxCallLines = 1e4 // lines that one call leads to
	maxCallReads = 64  // of functions, by a scan
	maxListed    = 40  // what a program's functions raise: a check shows no more than that of all
	maxPassedOn  = 3   // modules that import a function from another one for others
)

// ofModule is the level of a call in a function whose name the module around it has from elsewhere.
const ofModule = -1

// A defined is a function of a file.
type defined struct {
	at   int // of its body
	line int32
}

// An imported is a name that an import statement binds.
type imported struct {
	as, module, name string // name is "" for a module
	level            int32
}

// follows says of an import statement that functions of its module are followed. What the standard library's raise is the fault
// of arguments, and does not depend on what is installed.
func (p *parser) follows(module string, level int32) bool {
	if p.inDef != p.callsAt {
		return false
	}
	top, _, _ := strings.Cut(module, ".")
	return level > 0 || !standardNames()[top]
}

// binds notes a name that a statement binds, for calls that come later.
func (p *parser) binds(as, module, name string, level int32) {
	p.callable |= nameBit(as)
	p.froms = append(p.froms, imported{as, module, name, level})
}

// defines notes a function whose first line has just been read.
func (p *parser) defines(toks []token) {
	if p.inDef == 0 && len(toks) > 1 && p.callsAt == 0 {
		p.callable |= nameBit(toks[1].text)
		p.defs = append(p.defs, toks[1].text)
	}
}

// nameBit is one of 64 for a name: most of what is called is known by its bit not to be among the names.
func nameBit(name string) uint64 {
	if name == "" {
		return 0
	}
	return 1 << ((uint(name[0])*7 + uint(name[len(name)-1])*3 + uint(len(name))) % 64)
}

// calls finds functions that a statement calls, by their names or as attributes of modules.
func (p *parser) calls(toks []token) {
	if p.inDef != p.callsAt || p.callable == 0 && p.outside == nil {
		return
	}
	if toks[0].text == "@" && len(toks) > 1 && toks[len(toks)-1].text != ")" {
		p.callee(toks[1:])
	}
	for i := 1; i < len(toks); i++ {
		switch {
		case toks[i].text == "lambda" && toks[i].kind == tokName:
			return
		case toks[i].text == "(" && toks[i].kind == tokOp && toks[i-1].kind == tokName:
			start := i - 1
			for start >= 2 && toks[start-1].text == "." && toks[start-2].kind == tokName {
				start -= 2
			}
			if start == 0 || toks[start-1].text != "." {
				p.callee(toks[start:i])
			}
		}
	}
}

// callee reads the name of what is called.
func (p *parser) callee(toks []token) {
	if len(p.called) >= maxNames {
		return
	}
	first := toks[0].text
	if p.callable&nameBit(first) == 0 && p.outside == nil {
		return
	}
	if len(toks) == 1 && p.ownCall(toks[0]) {
		return
	}
	for _, from := range slices.Backward(p.froms) {
		if from.as != first {
			continue
		}
		if !p.calledFirst(p.joined(toks)) {
			return
		}
		parts := []string{from.module}
		if from.name != "" {
			parts = append(parts, from.name)
		}
		for i := 2; i < len(toks); i += 2 {
			parts = append(parts, toks[i].text)
		}
		p.add(statement{action: doCall, line: toks[0].line, level: from.level, name: strings.TrimPrefix(strings.Join(parts, "."), ".")})
		return
	}
	if name := p.joined(toks); p.outside != nil && p.calledFirst(name) {
		p.add(statement{action: doCall, line: toks[0].line, level: ofModule, name: name})
	}
}

// calledFirst is false for a function that the block, or one around it, has called before.
func (p *parser) calledFirst(name string) bool {
	if slices.Contains(p.called, name) {
		return false
	}
	p.called = append(p.called, name)
	return true
}

// ownCall notes the call of a function of the same file. While a module is read, it is no more than noted: few are looked at.
func (p *parser) ownCall(t token) bool {
	s := statement{action: doCall, line: t.line, name: t.text}
	if p.outside == nil {
		if !slices.Contains(p.defs, t.text) {
			return false
		}
		if p.calledFirst(t.text) {
			p.add(s)
		}
		return true
	}
	d, ok := p.outside(t.text)
	if ok && p.calledFirst(t.text) {
		if body := p.inside(d); body != nil {
			s.arms = []arm{{body: body}}
			p.add(s)
		}
	}
	return ok
}

// inside reads the body of a function: what it raises, and what it calls.
func (p *parser) inside(d defined) []statement {
	if p.spent == nil {
		p.spent = new(int)
	}
	if *p.spent > maxCallLines {
		return nil
	}
	b := bufferPool.Get().(*buffers)
	defer bufferPool.Put(b)
	q := &parser{lex: &lexer{src: p.lex.src, at: d.at, line: d.line, exact: true}, facts: p.facts, unit: &unit{}, inDef: 1, callsAt: 1,
		deeper: p.deeper + 1, spent: p.spent, outside: p.outside}
	if q.deeper == maxCalls { // what it calls in turn is not followed, and lines that raise nothing may be left out
		q.callsAt, q.lex.exact = -1, false
	}
	q.lex.tokens, q.made, q.constants.log = b.tokens[:0], b.made[:0], b.log[:0]
	if q.advance(); q.ok && q.lex.indent > 0 {
		q.block(q.lex.indent)
	}
	*p.spent += q.read + 1
	body := raising(q.since(0))
	b.tokens, b.made, b.log = q.lex.tokens, q.made, q.constants.log
	return body
}

// raising leaves of the statements of a function what raises, or calls what may. Functions in it are not called yet.
func raising(body []statement) (kept []statement) {
	for _, s := range body {
		some := s.action == doRaise && s.name != "" || s.action == doExit || s.action == doCall
		if s.action == doIf || s.action == doTry || s.action == doMaybe {
			for i := range s.arms {
				s.arms[i].body = raising(s.arms[i].body)
				some = some || s.arms[i].body != nil
			}
		}
		if some {
			kept = append(kept, s)
		}
	}
	return kept
}

// parseFunction reads a function of a file by its name, "def" at the start of a line; nil for none or where it raises nothing.
func parseFunction(text []byte, name string, f facts) (body []statement, found bool) {
	src := newLexer(unsafe.String(unsafe.SliceData(text), len(text))).src
	search := func(name string) (defined, bool) {
		at := 0
		if head := "def " + name + "("; !strings.HasPrefix(src, head) {
			if at = strings.Index(src, "\n"+head) + 1; at == 0 {
				return defined{}, false
			}
		}
		l := &lexer{src: src, at: at, line: 1 + newlines(src[:at]), exact: true}
		l.next()
		return defined{l.at, l.line}, true
	}
	d, found := search(name)
	if !found {
		return nil, false
	}
	p := &parser{lex: &lexer{src: src}, facts: f, outside: search}
	u := &unit{body: p.inside(d)}
	var o owner
	o.each(u, func(text *string) { o.size += len(*text) })
	o.text = make([]byte, 0, o.size)
	o.each(u, o.own)
	return u.body, true
}

// function reads a function of a module, once.
func (l *loader) function(s *spec, name string) (body []statement, found bool) {
	at := place{s.file, name}
	if known, ok := l.functions.load(at); ok {
		return known.body, known.found
	}
	if l.looks.Add(1) > maxCallReads {
		return nil, false
	}
	buf := sources.Get().(*[]byte)
	defer sources.Put(buf)
	if text, _, err := l.text(s, *buf); err == nil {
		*buf = text
		if unreadable(unsafe.String(unsafe.SliceData(text), len(text))) == "" {
			body, found = parseFunction(text, name, l.facts)
		}
	}
	l.functions.put(at, calledFunction{body, found})
	return body, found
}

// A calledFunction is what is known of one.
type calledFunction struct {
	body  []statement
	found bool
}

// A caller is where a function is called.
type caller struct {
	first At // the statement of the module that is being imported
	spec  *spec
	tries *tries
	sure  bool // an import's failure is caught by who imports the module
	level int
}

// tries are the try statements around a call, the innermost first.
type tries struct {
	st    *statement
	outer *tries
}

// call lists what a function raises that a module calls while it is imported.
func (p *process) call(st *statement, f frame) {
	if f.called || f.main || f.level < perhaps || p.quiet || p.standard(f.spec) {
		return
	}
	p.follow(st, caller{first: p.at(st, f), spec: f.spec, tries: f.tries, sure: f.tries == nil && f.level == attempted})
}

func (p *process) follow(st *statement, c caller) {
	if c.level++; c.level > maxCalls || p.raised >= maxListed {
		return
	}
	if st.arms != nil {
		p.raises(st.arms[0].body, c)
		return
	}
	if st.level == ofModule {
		first, rest, _ := strings.Cut(st.name, ".")
		from, ok := p.passedOn(c.spec, first)
		if ok && rest != "" {
			from += "." + rest
		}
		p.followName(from, ok, c)
		return
	}
	name, ok := absoluteName(st, packageOf(c.spec))
	if st.level == 0 && strings.IndexByte(name, '.') < 0 {
		name = c.spec.name + "." + name // of the same file
	}
	p.followName(name, ok, c)
}

func (p *process) followName(name string, ok bool, c caller) {
	for range maxPassedOn {
		i := strings.LastIndexByte(name, '.')
		if !ok || i < 0 {
			return
		}
		module, function := name[:i], name[i+1:]
		m := p.modules[module]
		if m == nil || m.spec.kind != Source || p.standard(m.spec) {
			return
		}
		if body, found := p.loader.function(m.spec, function); found {
			c.spec = m.spec
			p.raises(body, c)
			return
		}
		name, ok = p.passedOn(m.spec, function)
	}
}

// passedOn says from where a module has a name that it does not define.
func (p *process) passedOn(s *spec, name string) (string, bool) {
	u := p.loader.unit(s)
	if u == nil {
		return "", false
	}
	st := importOf(u.body, name)
	if st == nil {
		return "", false
	}
	if st.action == doImport {
		return name, true
	}
	from, ok := absoluteName(st, packageOf(s))
	return from + "." + name, ok
}

// importOf finds the import statement of a module that binds a name, as far as it is not renamed.
func importOf(body []statement, name string) *statement {
	for i := range body {
		switch st := &body[i]; st.action {
		case doFrom:
			if slices.Contains(st.names, name) {
				return st
			}
		case doImport:
			if top, _, _ := strings.Cut(st.name, "."); top == name && !st.soft {
				return st
			}
		case doIf, doTry, doMaybe:
			for _, a := range st.arms {
				if found := importOf(a.body, name); found != nil {
					return found
				}
			}
		}
	}
	return nil
}

// raises lists what statements of a function raise. What a try statement around them catches is left out, as far as its clauses name
// ImportError or all exceptions.
func (p *process) raises(body []statement, c caller) {
	for i := range body {
		switch st := &body[i]; st.action {
		case doRaise:
			if !c.catches(st.name) {
				p.mayRaise(st, c, "raises "+st.name)
			}
		case doExit:
			p.mayRaise(st, c, "ends the program")
		case doCall:
			p.follow(st, c)
		case doTry:
			inner := c
			inner.tries = &tries{st, c.tries}
			p.raises(st.arms[0].body, inner)
			for _, a := range st.arms[1:] {
				p.raises(a.body, c)
			}
		case doIf:
			p.raisesBelow(st, c)
		case doMaybe:
			p.raises(st.arms[0].body, c)
		}
	}
}

func (p *process) mayRaise(st *statement, c caller, what string) {
	before := len(p.checked)
	p.skip("call", c.spec.name, At{c.spec.name, c.spec.file, int(st.line)},
		what+" if a condition holds that files do not tell, in a function that is called while modules are imported: "+c.first.String(), perhaps)
	p.raised += len(p.checked) - before
}

func (p *process) raisesBelow(st *statement, c caller) {
	certain := true
	for _, a := range st.arms {
		if a.when == no {
			continue
		}
		p.raises(a.body, c)
		if certain = certain && a.when == yes; certain || a.when == yes {
			return
		}
	}
}

// catches says that an exception is caught before it ends the import.
func (c caller) catches(class string) bool {
	imports := slices.Contains(catchers[:2], class)
	for t := c.tries; t != nil; t = t.outer {
		for _, a := range t.st.arms {
			if a.kind == armHandler && (a.all || imports && a.when == yes) {
				if !leaves(a.body) {
					return true
				}
				break // it goes on, or another one in its place
			}
		}
	}
	return imports && c.sure
}

// leaves says that a handler raises something itself, perhaps.
func leaves(body []statement) bool {
	return slices.ContainsFunc(body, func(s statement) bool {
		return s.action == doRaise || s.action == doExit ||
			(s.action == doIf || s.action == doTry || s.action == doMaybe) && slices.ContainsFunc(s.arms, func(a arm) bool { return leaves(a.body) })
	})
}
