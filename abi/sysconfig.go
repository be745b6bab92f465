package abi

import (
	"errors"
	"fmt"
	"strings"
)

// maxSysconfig bounds a _sysconfigdata module, in bytes; real ones have 40 to 90 KiB.
const maxSysconfig = 1 << 20

// errNotLiteral is wrapped by errors about sysconfig data that is computed rather than written out (PyPy's).
var errNotLiteral = errors.New("not a literal dictionary")

// parseSysconfig reads `build_time_vars = {...}`, the literal dictionary that CPython's build writes
// (Lib/sysconfig, _generate_posix_vars). Numbers come as they are written.
func parseSysconfig(text string) (map[string]string, error) {
	_, rest, ok := strings.Cut(text, "build_time_vars")
	if !ok {
		return nil, fmt.Errorf("no build_time_vars: %w", errNotLiteral)
	}
	p := literal{s: rest}
	if !p.take('=') || !p.take('{') {
		return nil, fmt.Errorf("build_time_vars: %w", errNotLiteral)
	}
	vars := make(map[string]string, 1024)
	for !p.take('}') {
		key, ok := p.str()
		if !ok || !p.take(':') {
			return nil, fmt.Errorf("build_time_vars, near %q: %w", p.near(), errNotLiteral)
		}
		value, ok := p.value()
		if !ok {
			return nil, fmt.Errorf("build_time_vars[%q]: %w", key, errNotLiteral)
		}
		vars[key] = value
		if !p.take(',') && !p.peek('}') {
			return nil, fmt.Errorf("build_time_vars, near %q: %w", p.near(), errNotLiteral)
		}
	}
	return vars, nil
}

// A literal is the unread rest of Python source.
type literal struct{ s string }

func (p *literal) near() string { return p.s[:min(len(p.s), 20)] }

// skip passes white space and comments.
func (p *literal) skip() {
	for {
		p.s = strings.TrimLeft(p.s, " \t\r\n\f\\")
		if !strings.HasPrefix(p.s, "#") {
			return
		}
		_, p.s, _ = strings.Cut(p.s, "\n")
	}
}

func (p *literal) peek(c byte) bool {
	p.skip()
	return p.s != "" && p.s[0] == c
}

func (p *literal) take(c byte) bool {
	if !p.peek(c) {
		return false
	}
	p.s = p.s[1:]
	return true
}

// value reads a number, a constant, or strings that follow one another (Python joins them).
func (p *literal) value() (string, bool) {
	first, ok := p.str()
	if !ok {
		return p.atom()
	}
	if !p.peek('\'') && !p.peek('"') {
		return first, true
	}
	var all strings.Builder
	all.WriteString(first)
	for {
		next, ok := p.str()
		if !ok {
			return all.String(), true
		}
		all.WriteString(next)
	}
}

func (p *literal) atom() (string, bool) {
	n := strings.IndexFunc(p.s, func(r rune) bool {
		return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && !strings.ContainsRune("+-._", r)
	})
	if n <= 0 {
		return "", false
	}
	atom := p.s[:n]
	p.s = p.s[n:]
	return atom, true
}

// str reads one string literal without prefix.
func (p *literal) str() (string, bool) {
	if !p.peek('\'') && !p.peek('"') {
		return "", false
	}
	quote := p.s[0]
	plain := strings.IndexByte(p.s[1:], quote)
	if plain >= 0 && strings.IndexByte(p.s[1:1+plain], '\\') < 0 {
		s := p.s[1 : 1+plain]
		p.s = p.s[plain+2:]
		return s, true
	}
	return p.escaped(quote)
}

func (p *literal) escaped(quote byte) (string, bool) {
	var b strings.Builder
	for i := 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == quote:
			p.s = p.s[i+1:]
			return b.String(), true
		case c == '\n':
			return "", false
		case c == '\\' && i+1 < len(p.s):
			i++
			b.WriteString(unescape(p.s[i]))
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}

// unescape gives what backslash and c stand for. Hexadecimal ones keep their text: no value that is used has any.
func unescape(c byte) string {
	switch c {
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case '\\', '\'', '"':
		return string(c)
	case '\n':
		return ""
	}
	return "\\" + string(c)
}
