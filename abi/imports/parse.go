package imports

import (
	"slices"
	"strings"
	"sync"
)

// An action says what a statement does for imports.
type action uint8

const (
	doImport  action = iota // import a.b
	doFrom                  // from a import b
	doIf                    // arms: the conditions' bodies
	doTry                   // arms: body, handlers, else, finally
	doDefer                 // body runs when a function is called
	doMaybe                 // body runs perhaps: loops, with, match
	doRaise                 // ends the body; name is "" for a bare raise
	doExit                  // ends the process
	doDynamic               // imports what files do not say: name says how
)

// A statement is one that matters, in the order of the file.
type statement struct {
	action action
	line   int32
	level  int      // of a relative import: the number of dots
	name   string   // module; doDynamic: what is called
	names  []string // doFrom: what is taken, "*" for all
	arms   []arm
	soft   bool // import_module("x"): as an import whose failure files do not follow
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
	kind armKind
	when tri // doIf: the condition; armHandler: whether it catches an import's failure
	body []statement
}

// A unit is a file's statements, and what of it decides how others import from it.
type unit struct {
	body      []statement
	bound     map[string]bool        // of a package: names that the top level binds, other than to its own submodules
	open      bool                   // further names appear at run time: from x import *, __getattr__, globals()
	opensAt   int32                  // line of the first of these
	all       []string               // of a package: the strings of its __all__
	hook      bool                   // it may write to sys.modules or sys.meta_path, or to its __path__
	literals  func() map[string]bool // of a hook: its strings that look like names of modules
	movesPath bool                   // it may add entries to sys.path
	cutsPath  bool                   // it may take entries from sys.path
	problem   string                 // why the rest was not read
}

// A parser builds a unit. It knows as much of the grammar as it takes to find import statements and what surrounds them.
type parser struct {
	lex       *lexer
	facts     facts
	unit      *unit
	self      string // name of the package whose __init__ this is, "" for a module
	ok        bool   // lex holds a line that is not consumed
	deep      int
	read      int            // lines of blocks
	inDef     int            // levels of def and class around the current line
	decided   []string       // names of constants with a value
	constants map[string]any // values of names that the top level has bound so far
}

// parse reads a file. self is the package whose __init__ it is.
func parse(src string, f facts, self string) *unit {
	return (&parser{lex: newLexer(src), facts: f, self: self, unit: &unit{}, constants: map[string]any{}}).parse(src)
}

func (p *parser) parse(src string) *unit {
	self := p.self
	if self != "" {
		p.unit.bound = map[string]bool{}
	}
	if why := unreadable(p.lex.src); why != "" {
		p.unit.problem = why
		return p.unit
	}
	p.lex.tokens = *tokenBuffers.Get().(*[]token)
	p.advance()
	for p.ok {
		p.unit.body = append(p.unit.body, p.block(0)...)
	}
	tokenBuffers.Put(&p.lex.tokens)
	if p.lex.problem != "" {
		p.unit.problem = p.lex.problem
	}
	p.unit.movesPath, p.unit.cutsPath = p.lex.moves, p.lex.cuts
	if p.lex.hook {
		p.unit.hook = true
		src := strings.Clone(src)
		p.unit.literals = sync.OnceValue(func() map[string]bool { return literals(src) })
	}
	return p.unit
}

// unreadable says why a text is no source that this lexer reads (PEP 263; null bytes are an error to Python too).
func unreadable(src string) string {
	if strings.Contains(src, "\x00") {
		return "source code cannot contain null bytes"
	}
	if name := cookie(src); name != "" && !asciiBased(name) {
		return "its encoding " + name + " is not read"
	}
	return ""
}

// cookie returns the encoding that one of the first two lines declares.
func cookie(src string) string {
	for range 2 {
		line, rest, _ := strings.Cut(src, "\n")
		line = strings.TrimLeft(line, " \t\f")
		if !strings.HasPrefix(line, "#") {
			if line != "" {
				return ""
			}
		} else if m := cookiePattern.FindStringSubmatch(line); m != nil {
			return strings.ToLower(strings.ReplaceAll(m[1], "_", "-"))
		}
		src = rest
	}
	return ""
}

// asciiBased says whether the bytes of ASCII characters mean them alone.
func asciiBased(name string) bool {
	for _, prefix := range []string{"utf-8", "utf8", "u8", "latin", "iso-8859", "iso8859", "l1", "cp125", "cp437", "cp850", "windows-125", "ascii", "us-ascii", "koi8", "mac", "euc", "8859"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
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

// block reads the lines from the current one on that are indented by least or more.
func (p *parser) block(least int) []statement {
	if p.deep++; p.deep > maxNesting+1 {
		p.unit.problem = "too many levels of indentation"
		p.ok = false
	}
	defer func() { p.deep-- }()
	var body []statement
	for p.ok && p.lex.indent >= least {
		body = append(body, p.line(least)...)
		if p.read++; p.read > maxStatements {
			p.unit.problem = "it has too many statements"
			p.ok = false
		}
	}
	return body
}

// line reads the statements of the current logical line of a block, with the lines that belong to them.
func (p *parser) line(least int) []statement {
	toks := p.lex.tokens
	switch toks[0].text {
	case "async":
		if len(toks) > 1 {
			return p.compound(toks[1:])
		}
	case "if", "try", "def", "class", "for", "while", "with", "elif", "else", "except", "finally":
		return p.compound(toks)
	}
	if toks[len(toks)-1].text == ":" && blockColon(toks) == len(toks)-1 {
		return p.undecidedBlock(toks) // match, case, and what later versions bring
	}
	body := p.simple(toks)
	p.advanceIn(least)
	return body
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

// compound reads a statement that has a body.
func (p *parser) compound(toks []token) []statement {
	switch toks[0].text {
	case "if":
		return p.ifStatement(toks)
	case "try":
		return p.tryStatement(toks)
	case "def":
		return p.function(toks)
	case "class":
		p.bind(toks[1:min(2, len(toks))])
		p.inDef++
		body := p.suite(toks)
		p.inDef--
		return body
	case "with":
		p.bindAs(toks)
		if harmless(toks) {
			return p.suite(toks)
		}
	case "for", "while":
		p.bindTargets(toks)
		return p.loop(toks)
	}
	return p.undecidedBlock(toks)
}

// harmless says of a with statement that its manager lets exceptions pass and its body always runs.
func harmless(toks []token) bool {
	return len(toks) > 3 && toks[1].text == "warnings" && toks[3].text == "catch_warnings"
}

// suite reads a statement's body: on its line behind the colon, or as an indented block.
func (p *parser) suite(toks []token) []statement {
	colon := blockColon(toks)
	if colon >= 0 && colon < len(toks)-1 {
		body := p.simple(toks[colon+1:])
		p.advance()
		return body
	}
	indent := p.lex.indent
	p.advance()
	if !p.ok || p.lex.indent <= indent {
		return nil
	}
	return p.block(p.lex.indent)
}

// part reads a suite and what calls in its header import.
func (p *parser) part(toks []token) []statement {
	header := p.header(toks)
	return append(header, p.suite(toks)...)
}

func (p *parser) header(toks []token) []statement {
	if colon := blockColon(toks); colon > 0 {
		return p.dynamic(toks[:colon])
	}
	return nil
}

func (p *parser) undecidedBlock(toks []token) []statement {
	line := toks[0].line // the next line takes the place of these tokens
	return wrap(doMaybe, line, p.part(toks))
}

func wrap(a action, line int32, body []statement) []statement {
	if len(body) == 0 {
		return nil
	}
	return []statement{{action: a, line: line, arms: []arm{{body: body}}}}
}

func (p *parser) function(toks []token) []statement {
	line := toks[0].line
	if p.inDef == 0 && len(toks) > 1 {
		p.bind(toks[1:2])
		if toks[1].text == "__getattr__" {
			p.opens(line)
		}
	}
	header := p.header(toks)
	if colon := blockColon(toks); !p.lex.exact && colon == len(toks)-1 && p.lex.body() {
		p.advance()
		return header
	}
	p.inDef++
	body := p.suite(toks)
	p.inDef--
	return append(header, wrap(doDefer, line, body)...)
}

func (p *parser) loop(toks []token) []statement {
	indent, line := p.lex.indent, toks[0].line
	body := p.part(toks)
	if p.ok && p.lex.indent == indent && p.lex.tokens[0].text == "else" {
		body = append(body, p.suite(p.lex.tokens)...)
	}
	return wrap(doMaybe, line, body)
}

func (p *parser) ifStatement(toks []token) []statement {
	indent := p.lex.indent
	s := statement{action: doIf, line: toks[0].line}
	var before []statement
	some := false
	for {
		when := unknown
		if colon := blockColon(toks); colon > 0 {
			when = p.facts.with(p.constants).decide(toks[1:colon])
		}
		before = append(before, p.header(toks)...)
		a := arm{when: when, body: p.suite(toks)}
		s.arms, some = append(s.arms, a), some || len(a.body) > 0
		if !p.ok || p.lex.indent != indent || p.lex.tokens[0].text != "elif" {
			break
		}
		toks = p.lex.tokens
	}
	if p.ok && p.lex.indent == indent && p.lex.tokens[0].text == "else" {
		a := arm{when: yes, body: p.suite(p.lex.tokens)}
		s.arms, some = append(s.arms, a), some || len(a.body) > 0
	}
	if !some {
		return before
	}
	return append(before, s)
}

func (p *parser) tryStatement(toks []token) []statement {
	indent := p.lex.indent
	s := statement{action: doTry, line: toks[0].line}
	s.arms = []arm{{kind: armBody, body: p.suite(toks)}}
	some := len(s.arms[0].body) > 0
	for p.ok && p.lex.indent == indent {
		toks := p.lex.tokens
		var a arm
		switch toks[0].text {
		case "except":
			a = arm{kind: armHandler, when: catches(toks)}
		case "else":
			a.kind = armElse
		case "finally":
			a.kind = armFinally
		default:
			a.kind = armBody
		}
		if a.kind == armBody {
			break
		}
		a.body = p.suite(toks)
		s.arms, some = append(s.arms, a), some || len(a.body) > 0
	}
	if !some {
		return nil
	}
	return []statement{s}
}

// catchers are the classes that ModuleNotFoundError derives from; others are the rest of the built-in exceptions that
// are named in except clauses, which let it pass.
var (
	catchers = []string{"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
	others   = []string{"OSError", "IOError", "EnvironmentError", "AttributeError", "KeyError", "ValueError", "TypeError", "RuntimeError",
		"NameError", "SyntaxError", "NotImplementedError", "LookupError", "IndexError", "UnicodeDecodeError", "UnicodeEncodeError", "UnicodeError",
		"ArithmeticError", "ZeroDivisionError", "OverflowError", "StopIteration", "KeyboardInterrupt", "SystemExit", "AssertionError",
		"PermissionError", "FileNotFoundError", "MemoryError", "EOFError", "RecursionError", "UserWarning", "DeprecationWarning", "Warning"}
)

// catches says whether an except clause catches the failure of an import.
func catches(toks []token) tri {
	colon := blockColon(toks)
	if colon < 0 {
		colon = len(toks)
	}
	result, named := no, false
	for _, t := range toks[1:colon] {
		if t.kind == tokName && t.text == "as" {
			break
		}
		if t.kind == tokOp && strings.ContainsAny(t.text, "(),*") {
			continue
		}
		named = true
		switch {
		case slices.Contains(catchers, t.text):
			return yes
		case !slices.Contains(others, t.text):
			result = unknown
		}
	}
	if !named {
		return yes
	}
	return result
}

// simple reads the simple statements of a line, which semicolons part. A compound one behind "if x:" has no body of its own.
func (p *parser) simple(toks []token) []statement {
	var body []statement
	for len(toks) > 0 {
		end := separator(toks)
		body = append(body, p.small(toks[:end])...)
		toks = toks[min(end+1, len(toks)):]
	}
	return body
}

func separator(toks []token) int {
	i := slices.IndexFunc(toks, func(t token) bool { return t.text == ";" })
	if i < 0 {
		return len(toks)
	}
	return i
}

func (p *parser) small(toks []token) []statement {
	if len(toks) == 0 {
		return nil
	}
	switch toks[0].text {
	case "import":
		return p.importStatement(toks)
	case "from":
		return p.fromStatement(toks)
	case "global":
		for _, t := range toks[1:] {
			p.constants[t.text] = undecided{}
		}
	case "raise":
		s := statement{action: doRaise, line: toks[0].line}
		if len(toks) > 1 {
			s.name = toks[1].text
		}
		return append(p.dynamic(toks), s)
	}
	if leaves(toks) {
		return []statement{{action: doExit, line: toks[0].line}}
	}
	p.bindTargets(toks)
	return p.dynamic(toks)
}

// leaves knows sys.exit(...), exit(...), quit(...) and os._exit(...).
func leaves(toks []token) bool {
	switch toks[0].text {
	case "sys", "os", "exit", "quit":
	default:
		return false
	}
	var words []string
	for _, t := range toks[:min(4, len(toks))] {
		words = append(words, t.text)
	}
	head := strings.Join(words, "")
	for _, call := range []string{"sys.exit(", "os._exit(", "exit(", "quit("} {
		if strings.HasPrefix(head, call) {
			return true
		}
	}
	return false
}

// dottedName reads a.b.c and returns it with what follows.
func dottedName(toks []token) (string, []token) {
	var name strings.Builder
	for i := 0; i < len(toks); i++ {
		if toks[i].kind != tokName || isReserved(toks[i].text) {
			return name.String(), toks[i:]
		}
		name.WriteString(toks[i].text)
		if i+1 >= len(toks) || toks[i+1].text != "." {
			return name.String(), toks[i+1:]
		}
		name.WriteByte('.')
		i++
	}
	return strings.TrimSuffix(name.String(), "."), nil
}

func isReserved(word string) bool { return word == "import" || word == "as" || word == "from" }

// alias reads "as name" and returns the name.
func alias(toks []token) (string, []token) {
	if len(toks) >= 2 && toks[0].text == "as" {
		return toks[1].text, toks[2:]
	}
	return "", toks
}

func (p *parser) importStatement(toks []token) []statement {
	var body []statement
	for rest := toks[1:]; ; {
		var name, as string
		line := toks[0].line
		name, rest = dottedName(rest)
		as, rest = alias(rest)
		if name != "" {
			body = append(body, statement{action: doImport, line: line, name: name})
			top, _, _ := strings.Cut(name, ".")
			if as != "" {
				top = as
			}
			if p.self == "" || !strings.HasPrefix(name, p.self+".") {
				p.bindName(top)
			}
		}
		if len(rest) == 0 || rest[0].text != "," {
			return body
		}
		rest = rest[1:]
	}
}

func (p *parser) fromStatement(toks []token) []statement {
	s := statement{action: doFrom, line: toks[0].line}
	rest := toks[1:]
	for len(rest) > 0 && (rest[0].text == "." || rest[0].text == "...") {
		s.level += len(rest[0].text)
		rest = rest[1:]
	}
	s.name, rest = dottedName(rest)
	if len(rest) == 0 || rest[0].text != "import" || s.name == "" && s.level == 0 {
		return nil
	}
	own := p.self != "" && (s.level == 1 && s.name == "" || s.level == 0 && s.name == p.self)
	for rest = rest[1:]; len(rest) > 0; {
		t := rest[0]
		rest = rest[1:]
		if t.text == "*" {
			s.names = append(s.names, "*")
			p.star(s.line)
		}
		if t.kind != tokName {
			continue
		}
		var as string
		as, rest = alias(rest)
		s.names = append(s.names, t.text)
		switch _, known := p.facts.named[t.text]; {
		case as != "":
			p.bindName(as)
		case known: // TYPE_CHECKING, version_info: they mean what they mean elsewhere
			p.bindPackage(t.text)
		case !own:
			p.bindName(t.text)
		}
	}
	return []statement{s}
}

// opens notes a line from which on names appear that files do not tell.
func (p *parser) opens(line int32) {
	if !p.unit.open {
		p.unit.open, p.unit.opensAt = true, line
	}
}

// star notes that names come from elsewhere.
func (p *parser) star(line int32) {
	if p.inDef > 0 {
		return
	}
	p.opens(line)
	for _, name := range p.decided {
		p.constants[name] = undecided{}
	}
	p.decided = p.decided[:0]
}

func (p *parser) bindName(name string) {
	if p.inDef > 0 {
		return
	}
	if p.unit.bound != nil {
		p.unit.bound[name] = true
	}
	p.constants[name] = undecided{}
}

// assign keeps the value of NAME = EXPRESSION where files tell it, for conditions that come later. A name that is bound
// twice to different values is not known.
func (p *parser) assign(toks []token) {
	name := toks[0].text
	if p.inDef > 0 || len(toks) < 3 || toks[1].text != "=" {
		return
	}
	var v any = undecided{}
	if len(toks) <= maxConstant {
		v = p.facts.with(p.constants).evaluate(toks[2:])
	}
	if old, ok := p.constants[name]; ok && truth(old) != truth(v) {
		v = undecided{}
	}
	p.constants[name] = v
	if v != (undecided{}) {
		p.decided = append(p.decided, name)
	}
}

// maxConstant bounds the expressions that are evaluated, in tokens.
const maxConstant = 24

func (p *parser) bind(toks []token) {
	for _, t := range toks {
		p.bindName(t.text)
	}
}

// bindTargets notes the names that an assignment or a for statement binds.
func (p *parser) bindTargets(toks []token) {
	if p.inDef > 0 || toks[0].kind != tokName {
		return
	}
	last := -1
	for i, t := range toks {
		if t.kind == tokOp && (t.text == "=" || t.text == ":" || t.text == ":=") || t.text == "in" && toks[0].text == "for" {
			last = i
			break
		}
		if t.text == "globals" {
			p.opens(t.line)
		}
	}
	if toks[0].text == "__all__" && p.unit.bound != nil {
		p.exports(toks[1:])
	}
	if last == 1 && toks[1].text == "=" {
		p.bindPackage(toks[0].text)
		p.assign(toks)
	} else {
		for i := 0; i < last; i++ {
			if t := toks[i]; t.kind == tokName && (i == 0 || toks[i-1].text != ".") {
				p.bindName(t.text)
			}
		}
	}
	for i := last + 1; last >= 0 && i+1 < len(toks); i++ { // a = b = c
		if toks[i].kind == tokName && toks[i+1].text == "=" {
			p.bindName(toks[i].text)
		}
	}
}

// exports keeps what a package's __all__ names: a from statement with * loads those that are submodules.
func (p *parser) exports(toks []token) {
	for _, t := range toks {
		if name, ok := t.value(); ok && isModuleName(name) {
			p.unit.all = append(p.unit.all, name)
		}
	}
}

// bindAs notes the names of a with statement.
func (p *parser) bindAs(toks []token) {
	for i := 1; i < len(toks); i++ {
		if toks[i-1].text == "as" && toks[i].kind == tokName {
			p.bindName(toks[i].text)
		}
	}
}

func (p *parser) bindPackage(name string) {
	if p.unit.bound != nil && p.inDef == 0 {
		p.unit.bound[name] = true
	}
}

// dynamic finds calls in a statement that import what their arguments say. A constant argument is followed.
func (p *parser) dynamic(toks []token) []statement {
	if !p.lex.calls {
		return nil
	}
	var body []statement
	for i, t := range toks {
		if t.kind != tokName || i+1 >= len(toks) || toks[i+1].text != "(" || i > 0 && toks[i-1].text == "def" || !isDynamic(t.text) {
			continue
		}
		s := statement{action: doDynamic, line: t.line, name: t.text}
		if t.text == "import_module" || t.text == "__import__" || t.text == "importorskip" {
			if name, ok := argument(toks[i+2:]); ok {
				s.action, s.soft = doImport, true
				s.name = strings.TrimLeft(name, ".")
				s.level = len(name) - len(s.name)
			}
		}
		body = append(body, s)
	}
	return body
}

// isDynamic knows functions that import what their argument names.
func isDynamic(name string) bool {
	switch name {
	case "import_module", "__import__", "spec_from_file_location", "entry_points", "run_path", "run_module", "exec", "walk_packages",
		"load_entry_point", "load_module", "importorskip", "resolve_name":
		return true
	}
	return false
}

// argument returns the constant first argument of a call that names a module.
func argument(toks []token) (string, bool) {
	if len(toks) < 2 || toks[1].text != ")" && toks[1].text != "," {
		return "", false
	}
	name, ok := toks[0].value()
	return name, ok && isModuleName(strings.TrimLeft(name, "."))
}
