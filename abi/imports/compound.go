package imports

import (
	"slices"
	"strings"
)

// compound reads a statement that has a body.
func (p *parser) compound(toks []token) {
	switch toks[0].text {
	case "if":
		p.ifStatement(toks)
		return
	case "try":
		p.tryStatement(toks)
		return
	case "def":
		p.function(toks)
		return
	case "class":
		p.bind(toks[1:min(2, len(toks))])
		p.inDef++
		p.suite(toks)
		p.inDef--
		return
	case "with":
		p.bindAs(toks)
		if harmless(toks) {
			p.suite(toks)
			return
		}
	case "for", "while":
		p.bindTargets(toks)
		p.loop(toks)
		return
	}
	p.undecidedBlock(toks)
}

// harmless says of a with statement that its manager lets exceptions pass and its body always runs.
func harmless(toks []token) bool {
	return len(toks) > 3 && toks[1].text == "warnings" && toks[3].text == "catch_warnings"
}

// part reads a suite and what calls in its header import.
func (p *parser) part(toks []token) {
	p.header(toks)
	p.suite(toks)
}

func (p *parser) header(toks []token) {
	if p.inDef == p.callsAt && toks[0].text != "def" {
		if colon := blockColon(toks); colon > 0 {
			p.calls(toks[:colon])
		}
	}
	if !p.lex.calls {
		return
	}
	if colon := blockColon(toks); colon > 0 {
		p.dynamic(toks[:colon])
	}
}

func (p *parser) undecidedBlock(toks []token) {
	line, mark := toks[0].line, len(p.made) // the next line takes the place of these tokens
	p.part(toks)
	p.wrap(doMaybe, line, mark)
}

func (p *parser) function(toks []token) {
	line := toks[0].line
	if p.inDef == 0 && len(toks) > 1 {
		p.bind(toks[1:2])
		if toks[1].text == "__getattr__" {
			p.opens(line)
		}
	}
	p.header(toks)
	p.defines(toks)
	if !p.lex.exact && blockColon(toks) == len(toks)-1 && p.lex.body() {
		p.advance()
		return
	}
	mark := len(p.made)
	p.inDef++
	p.suite(toks)
	p.inDef--
	p.wrap(doDefer, line, mark)
}

func (p *parser) loop(toks []token) {
	indent, line, mark := p.lex.indent, toks[0].line, len(p.made)
	p.part(toks)
	if p.ok && p.lex.indent == indent && p.lex.tokens[0].text == "else" {
		p.suite(p.lex.tokens)
	}
	p.wrap(doMaybe, line, mark)
}

// armBody reads a suite as the body of an arm.
func (p *parser) armBody(toks []token) []statement {
	mark := len(p.made)
	p.suite(toks)
	return p.since(mark)
}

func (p *parser) ifStatement(toks []token) {
	indent := p.lex.indent
	s := statement{action: doIf, line: toks[0].line}
	var few [4]arm
	arms, some := few[:0], false
	for {
		when, inside := unknown, false
		if colon := blockColon(toks); colon > 0 {
			when = p.facts.with(&p.constants).decide(toks[1:colon])
			inside = asksForPackage(toks[1:colon])
		}
		p.header(toks)
		callsAt := p.callsAt
		if when == no {
			p.callsAt = -1 // it does not run
		}
		a := arm{when: when, inside: inside, body: p.armBody(toks)}
		p.callsAt = callsAt
		arms, some = append(arms, a), some || a.body != nil
		if !p.ok || p.lex.indent != indent || p.lex.tokens[0].text != "elif" {
			break
		}
		toks = p.lex.tokens
	}
	if p.ok && p.lex.indent == indent && p.lex.tokens[0].text == "else" {
		a := arm{when: yes, body: p.armBody(p.lex.tokens)}
		arms, some = append(arms, a), some || a.body != nil
	}
	if some {
		s.arms = slices.Clone(arms)
		p.add(s)
	}
}

// asksForPackage knows the question of the modules that SWIG writes: whether they are in a package, and so is their native half.
func asksForPackage(toks []token) bool {
	inName := func(toks []token) bool {
		return len(toks) == 3 && toks[0].kind == tokString && strings.Trim(toks[0].text, `'"`) == "." && toks[1].text == "in" && toks[2].text == "__name__"
	}
	return begins(toks, []string{"__package__"}) && (len(toks) == 1 || toks[1].text == "or" && inName(toks[2:])) || inName(toks)
}

func (p *parser) tryStatement(toks []token) {
	indent := p.lex.indent
	s := statement{action: doTry, line: toks[0].line}
	var few [4]arm
	arms := append(few[:0], arm{kind: armBody, body: p.armBody(toks)})
	some := arms[0].body != nil
	for p.ok && p.lex.indent == indent {
		toks := p.lex.tokens
		var a arm
		switch toks[0].text {
		case "except":
			a = arm{kind: armHandler, when: catches(toks), narrow: catchesNothingElse(toks), all: catchesAll(toks)}
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
		a.body = p.armBody(toks)
		arms, some = append(arms, a), some || a.body != nil
	}
	if some {
		s.arms = slices.Clone(arms)
		p.add(s)
	}
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

// catchesNothingElse says that an except clause names ImportError or ModuleNotFoundError alone.
func catchesNothingElse(toks []token) bool {
	named := false
	for _, t := range toks[1:max(1, blockColon(toks))] {
		switch {
		case t.kind == tokName && t.text == "as":
			return named
		case t.kind == tokName && !slices.Contains(catchers[:2], t.text):
			return false
		}
		named = named || t.kind == tokName
	}
	return named
}

// catchesAll says that an except clause catches every exception that is an error.
func catchesAll(toks []token) bool {
	head := toks[1:max(1, blockColon(toks))]
	return len(head) == 0 || slices.ContainsFunc(head, func(t token) bool { return t.kind == tokName && slices.Contains(catchers[2:], t.text) })
}

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
