package imports

import (
	"strings"
	"sync"
	"unsafe"
)

// parseBytes is parse of a text that the caller changes afterwards.
func parseBytes(src []byte, f facts, self string) *unit {
	u := parse(unsafe.String(unsafe.SliceData(src), len(src)), f, self)
	u.body = owned(u.body)
	bound := u.bound
	if bound != nil {
		u.bound = make(map[string]bool, len(bound))
	}
	for name := range bound {
		u.bound[strings.Clone(name)] = true
	}
	for i, name := range u.all {
		u.all[i] = strings.Clone(name)
	}
	u.problem = strings.Clone(u.problem)
	return u
}

// owned gives statements names of their own. They are few; the texts are large.
func owned(body []statement) []statement {
	for i := range body {
		s := &body[i]
		s.name = strings.Clone(s.name)
		for k, name := range s.names {
			s.names[k] = strings.Clone(name)
		}
		for k := range s.arms {
			s.arms[k].body = owned(s.arms[k].body)
		}
	}
	return body
}

// tokenBuffers are for the tokens of one line.
var tokenBuffers = sync.Pool{New: func() any { return new([]token) }}

// literals are the strings of a text that may be names of modules.
func literals(src string) map[string]bool {
	found := map[string]bool{}
	lex := newLexer(src)
	for s := (&skimmer{lexer: lex, how: forStrings}); s.at < len(lex.src); {
		s.each = func(text string) {
			if s, ok := (token{kind: tokString, text: text}).value(); ok && len(s) <= 100 && isModuleName(s) {
				found[s] = true
			}
		}
		s.run()
	}
	return found
}
