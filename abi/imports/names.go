package imports

import (
	"cmp"
	"strings"
)

// dottedName reads a.b.c and returns it with what follows.
func (p *parser) dottedName(toks []token) (string, []token) {
	end := 0 // of the name's tokens
	for end < len(toks) && toks[end].kind == tokName && !isReserved(toks[end].text) {
		end++
		if end >= len(toks) || toks[end].text != "." {
			return p.joined(toks[:end]), toks[end:]
		}
		end++
	}
	name := p.joined(toks[:end])
	if end >= len(toks) {
		name = strings.TrimSuffix(name, ".")
	}
	return name, toks[end:]
}

// joined is the text of tokens without what stands between them.
func (p *parser) joined(toks []token) string {
	size := 0
	for _, t := range toks {
		size += len(t.text)
	}
	if size == 0 {
		return ""
	}
	last := toks[len(toks)-1]
	if at := int(toks[0].at); int(last.at)+len(last.text)-at == size {
		return p.lex.src[at : at+size]
	}
	var b strings.Builder
	for _, t := range toks {
		b.WriteString(t.text)
	}
	return b.String()
}

func isReserved(word string) bool { return word == "import" || word == "as" || word == "from" }

// alias reads "as name" and returns the name.
func alias(toks []token) (string, []token) {
	if len(toks) >= 2 && toks[0].text == "as" {
		return toks[1].text, toks[2:]
	}
	return "", toks
}

func (p *parser) importStatement(toks []token) {
	for rest := toks[1:]; ; {
		var name, as string
		line := toks[0].line
		name, rest = p.dottedName(rest)
		as, rest = alias(rest)
		if name != "" {
			p.add(statement{action: doImport, line: line, name: name})
			top, _, _ := strings.Cut(name, ".")
			if as != "" {
				top = as
			}
			if p.follows(name, 0) {
				module := name
				if as == "" {
					module = top
				}
				p.binds(top, module, "", 0)
			}
			if p.self == "" || !strings.HasPrefix(name, p.self+".") {
				p.bindName(top)
			}
		}
		if len(rest) == 0 || rest[0].text != "," {
			return
		}
		rest = rest[1:]
	}
}

func (p *parser) fromStatement(toks []token) {
	s := statement{action: doFrom, line: toks[0].line}
	rest := toks[1:]
	for len(rest) > 0 && (rest[0].text == "." || rest[0].text == "...") {
		s.level += int32(len(rest[0].text))
		rest = rest[1:]
	}
	s.name, rest = p.dottedName(rest)
	if len(rest) == 0 || rest[0].text != "import" || s.name == "" && s.level == 0 {
		return
	}
	follows := p.follows(s.name, s.level)
	own := p.self != "" && (s.level == 1 && s.name == "" || s.level == 0 && s.name == p.self)
	s.names = make([]string, 0, strings.Count(p.lex.src[rest[0].at:toks[len(toks)-1].at], ",")+1)
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
		if follows {
			p.binds(cmp.Or(as, t.text), s.name, t.text, s.level)
		}
		switch _, known := p.facts.named[t.text]; {
		case as != "":
			p.bindName(as)
		case known: // TYPE_CHECKING, version_info: they mean what they mean elsewhere
			p.bindPackage(t.text)
		case !own:
			p.bindName(t.text)
		}
	}
	if len(s.names) == 0 {
		s.names = nil
	}
	p.add(s)
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
	p.constants.forget()
}

func (p *parser) bindName(name string) {
	if p.inDef > 0 {
		return
	}
	p.bindPackage(name)
	p.constants.bind(name, undecided{})
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
		v = p.facts.with(&p.constants).evaluate(toks[2:])
	}
	p.constants.bind(name, v)
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
	if p.inDef > 0 || toks[0].kind != tokName && !strings.Contains("([*", toks[0].text) {
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
	if toks[0].text == "__all__" && p.self != "" {
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

// bindPackage notes a name of the top level without a value.
func (p *parser) bindPackage(name string) {
	if p.inDef == 0 {
		p.bound = append(p.bound, name)
	}
}
