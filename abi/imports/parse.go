package imports

import (
	"slices"
	"sync"
)

// An action says what a statement does for imports.
type action uint8

const (
	doImport    action = iota // import a.b
	doFrom                    // from a import b
	doIf                      // arms: the conditions' bodies
	doTry                     // arms: body, handlers, else, finally
	doDefer                   // body runs when a function is called
	doMaybe                   // body runs perhaps: loops, with, match
	doRaise                   // ends the body; name is "" for a bare raise
	doExit                    // ends the process; name is not "" where that is a failure
	doArguments               // reads sys.argv, and ends the process if it asks for help
	doDynamic                 // imports what files do not say: name says how
	doCall                    // calls a function that is not the standard library's; arms: what one of the same file raises
)

// A statement is one that matters, in the order of the file.
type statement struct {
	action action
	soft   bool // import_module("x"): as an import whose failure files do not follow
	line   int32
	level  int32    // of a relative import: the number of dots
	name   string   // module; doDynamic: what is called
	names  []string // doFrom: what is taken, "*" for all
	arms   []arm
}

// What an arm of a try statement is.
type armKind uint8

const (
	armBody armKind = iota
	armHandler
	armElse
	armFinally
)

// An arm is one body of a compound statement.
type arm struct {
	kind   armKind
	when   tri  // doIf: the condition; armHandler: whether it catches an import's failure
	narrow bool // armHandler: it catches nothing else
	all    bool // armHandler: it catches every exception
	inside bool // doIf: the condition asks whether the module is in a package, which its file does not tell
	body   []statement
}

// A unit is a file's statements, and what of it decides how others import from it.
type unit struct {
	body      []statement
	bound     []string // names that the top level binds, other than a package to its own submodules; sorted
	open      bool     // further names appear at run time: from x import *, __getattr__, globals()
	opensAt   int32    // line of the first of these
	all       []string // of a package: the strings of its __all__
	hook      bool     // it may write to sys.modules or sys.meta_path, or to its __path__
	literals  []string // of a hook: its strings that look like names of modules
	movesPath bool     // it may add entries to sys.path
	cutsPath  bool     // it may take entries from sys.path
	problem   string   // why the rest was not read
}

// binds says that the top level binds a name.
func (u *unit) binds(name string) bool {
	_, found := slices.BinarySearch(u.bound, name)
	return found
}

// A parser builds a unit. It knows as much of the grammar as it takes to find import statements and what surrounds them.
type parser struct {
	lex       *lexer
	facts     facts
	unit      *unit
	self      string // name of the package whose __init__ this is, "" for a module
	ok        bool   // lex holds a line that is not consumed
	deep      int
	read      int                               // lines of blocks
	inDef     int                               // levels of def and class around the current line
	made      []statement                       // a stack: what the blocks hold that are being read
	constants constants                         // that the top level has bound so far
	bound     []string                          // for unit.bound
	callsAt   int                               // the value of inDef where calls count, -1 for nowhere
	called    []string                          // functions that the block that is being read, and those around it, have called
	defs      []string                          // functions of the top level so far
	froms     []imported                        // names that import statements have bound so far
	deeper    int                               // levels of calls around the function that is being read
	spent     *int                              // lines of functions that were read for calls
	callable  uint64                            // bits of their names and of those of defs, see nameBit
	outside   func(name string) (defined, bool) // finds functions instead of defs
}

// parse reads a file. self is the package whose __init__ it is.
func parse(src string, f facts, self string) *unit {
	return (&parser{lex: newLexer(src), facts: f, self: self, unit: &unit{}}).parse()
}

// buffers are for one parser at a time.
type buffers struct {
	tokens []token
	made   []statement
	log    []binding
	bound  []string
	called []string
	defs   []string
	froms  []imported
}

var bufferPool = sync.Pool{New: func() any { return new(buffers) }}

func (p *parser) parse() *unit {
	if why := unreadable(p.lex.src); why != "" {
		p.unit.problem = why
	} else {
		b := bufferPool.Get().(*buffers)
		p.lex.tokens, p.made, p.constants.log, p.bound = b.tokens[:0], b.made[:0], b.log[:0], b.bound[:0]
		p.called, p.defs, p.froms = b.called[:0], b.defs[:0], b.froms[:0]
		if p.facts.main {
			p.callsAt = -1 // a program may do and refuse anything
		}
		p.advance()
		for p.ok {
			p.block(0)
		}
		p.unit.body = p.since(0)
		if len(p.bound) > 0 {
			slices.Sort(p.bound)
			p.unit.bound = slices.Clone(slices.Compact(p.bound))
		}
		b.tokens, b.made, b.log, b.bound = p.lex.tokens, p.made, p.constants.log, p.bound
		b.called, b.defs, b.froms = p.called, p.defs, p.froms
		defer bufferPool.Put(b)
	}
	if p.lex.problem != "" {
		p.unit.problem = p.lex.problem
	}
	p.unit.movesPath, p.unit.cutsPath = p.lex.moves, p.lex.cuts
	if p.lex.hook {
		p.unit.hook = true
		p.unit.literals = p.lex.literals()
	}
	return p.unit
}

func (p *parser) advance() { p.ok = p.lex.next() }

// advanceIn is advance behind a simple statement of a block. Inside of functions and classes nothing but imports, and
// what surrounds them, counts: other lines of the block are left out.
func (p *parser) advanceIn(least int) {
	if p.inDef == 0 || p.lex.exact {
		p.advance()
		return
	}
	p.ok = p.lex.nextFrom(least)
}

// add makes a statement of the block that is being read.
func (p *parser) add(s statement) { p.made = append(p.made, s) }

// since takes the statements that were made behind a mark: a length of made.
func (p *parser) since(mark int) []statement {
	if len(p.made) == mark {
		return nil
	}
	body := slices.Clone(p.made[mark:])
	p.made = p.made[:mark]
	return body
}

// wrap makes one statement of those behind a mark, if there are any.
func (p *parser) wrap(a action, line int32, mark int) {
	if body := p.since(mark); body != nil {
		p.add(statement{action: a, line: line, arms: []arm{{body: body}}})
	}
}

// block reads the lines from the current one on that are indented by least or more.
func (p *parser) block(least int) {
	if p.deep++; p.deep > maxNesting+1 {
		p.unit.problem = "too many levels of indentation"
		p.ok = false
	}
	for p.ok && p.lex.indent >= least {
		p.line(least)
		if p.read++; p.read > maxStatements {
			p.unit.problem = "it has too many statements"
			p.ok = false
		}
	}
	p.deep--
}

// line reads the statements of the current logical line of a block, with the lines that belong to them.
func (p *parser) line(least int) {
	toks := p.lex.tokens
	switch toks[0].text {
	case "async":
		if len(toks) > 1 {
			p.compound(toks[1:])
			return
		}
	case "if", "try", "def", "class", "for", "while", "with", "elif", "else", "except", "finally":
		p.compound(toks)
		return
	}
	if toks[len(toks)-1].text == ":" && blockColon(toks) == len(toks)-1 {
		p.undecidedBlock(toks) // match, case, and what later versions bring
		return
	}
	p.simple(toks)
	p.advanceIn(least)
}

// blockColon returns the index of the first colon outside of brackets and lambdas, -1 without one.
func blockColon(toks []token) int {
	depth, lambdas := 0, 0
	for i, t := range toks {
		switch {
		case t.kind == tokName && t.text == "lambda":
			lambdas++
		case t.kind != tokOp || len(t.text) != 1:
		case t.text == ":" && depth == 0 && lambdas > 0:
			lambdas--
		case t.text == ":" && depth == 0:
			return i
		default:
			depth += bracket(t.text[0])
		}
	}
	return -1
}

// suite reads a statement's body: on its line behind the colon, or as an indented block.
func (p *parser) suite(toks []token) {
	mark := len(p.called)
	p.inSuite(toks)
	p.called = p.called[:mark]
}

func (p *parser) inSuite(toks []token) {
	colon := blockColon(toks)
	if colon >= 0 && colon < len(toks)-1 {
		p.simple(toks[colon+1:])
		p.advance()
		return
	}
	indent := p.lex.indent
	p.advance()
	if p.ok && p.lex.indent > indent {
		p.block(p.lex.indent)
	}
}

// simple reads the simple statements of a line, which semicolons part. A compound one behind "if x:" has no body of its own.
func (p *parser) simple(toks []token) {
	for len(toks) > 0 {
		end := separator(toks)
		p.small(toks[:end])
		toks = toks[min(end+1, len(toks)):]
	}
}

func separator(toks []token) int {
	for i := range toks {
		if len(toks[i].text) == 1 && toks[i].text[0] == ';' {
			return i
		}
	}
	return len(toks)
}

func (p *parser) small(toks []token) {
	if len(toks) == 0 {
		return
	}
	switch toks[0].text {
	case "import":
		p.importStatement(toks)
		return
	case "from":
		p.fromStatement(toks)
		return
	case "global":
		for _, t := range toks[1:] {
			p.constants.bind(t.text, undecided{})
		}
	case "raise":
		if p.leave(toks) {
			return
		}
		s := statement{action: doRaise, line: toks[0].line}
		if len(toks) > 1 {
			s.name = toks[1].text
		}
		p.dynamic(toks)
		p.add(s)
		return
	}
	if p.leave(toks) {
		return
	}
	if p.facts.main && p.inDef == 0 {
		p.arguments(toks)
	}
	p.calls(toks)
	p.bindTargets(toks)
	p.dynamic(toks)
}
