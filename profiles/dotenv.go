package profiles

import (
	"fmt"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// A dotenvParser reads the format of .env and env_file as compose does (docs.docker.com, "Syntax for .env files"):
// NAME=VALUE or NAME: VALUE, export, comments, quotes over several lines, variables outside of single quotes. A bare
// NAME is taken from the caller. A dollar sign that begins no variable is itself. Unlike compose it keeps order and lines, and a
// missing variable is a problem.
type dotenvParser struct {
	file   string
	find   lookup
	report *report
	raw    bool

	line  int
	lines []entry
	at    map[string]int
}

func (p *dotenvParser) parse(text string) []entry {
	p.at = map[string]int{}
	p.line = 1
	rest := strings.TrimPrefix(strings.ReplaceAll(text, "\r\n", "\n"), "\uFEFF")
	for rest != "" {
		line, after, _ := strings.Cut(rest, "\n")
		start := p.line
		p.line++
		if trimmed := strings.TrimSpace(line); trimmed == "" || trimmed[0] == '#' {
			rest = after
			continue
		}
		if p.raw {
			p.rawLine(line, start)
			rest = after
			continue
		}
		rest = p.statement(line, after, start)
	}
	return p.lines
}

func (p *dotenvParser) set(name, value string, line int) {
	e := entry{name: name, value: value, pos: Position{p.file, line, 1}}
	if i, ok := p.at[name]; ok {
		p.lines[i] = e
		return
	}
	p.at[name] = len(p.lines)
	p.lines = append(p.lines, e)
}

func (p *dotenvParser) bad(line int, remedy, format string, args ...any) {
	p.report.add(Problem{Position: Position{p.file, line, 1}, Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// rawLine reads NAME=VALUE with nothing in it special.
func (p *dotenvParser) rawLine(line string, at int) {
	name, value, found := strings.Cut(line, "=")
	if !variableName.MatchString(name) {
		p.bad(at, "write NAME=VALUE", "%q is no name of a variable", abridged(name))
	} else if found {
		p.set(name, value, at)
	} else if v, ok := p.find(name); ok {
		p.set(name, v, at)
	}
}

var (
	variableName = pattern.New(`^[\pL\pN_.\-\[\]]+$`)
	exportPrefix = pattern.New(`^export\s+`)
)

// statement reads what begins with line and returns the text behind it: a quoted value may go on after the line.
func (p *dotenvParser) statement(line, after string, start int) string {
	line = exportPrefix.ReplaceAllString(strings.TrimLeft(line, " \t\v\f"), "")
	i := strings.IndexAny(line, "=:")
	name := strings.TrimSpace(line)
	if i >= 0 {
		name = strings.TrimSpace(line[:i])
	}
	if !variableName.MatchString(name) {
		p.bad(start, "write NAME=VALUE; a comment begins with #", "%q is no name of a variable", abridged(name))
		return after
	}
	if i < 0 {
		if v, ok := p.find(name); ok {
			p.set(name, v, start)
		}
		return after
	}
	value := strings.TrimLeft(line[i+1:], " \t\v\f")
	if value != "" && (value[0] == '"' || value[0] == '\'') {
		return p.quoted(name, value, after, start)
	}
	value, _, _ = strings.Cut(value, " #")
	p.expand(name, strings.TrimSpace(value), start)
	return after
}

// quoted reads a value in quotes; text goes on with after.
func (p *dotenvParser) quoted(name, text, after string, start int) string {
	quote := text[0]
	if after != "" {
		text += "\n" + after
	}
	var value strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == quote:
			if quote == '"' {
				p.expand(name, unescape(value.String()), start)
			} else {
				p.set(name, value.String(), start)
			}
			return p.afterQuote(text[i+1:], start+strings.Count(text[:i], "\n"))
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == quote:
			i++
			value.WriteByte(quote)
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '\\':
			i++
			value.WriteString(`\\`)
		default:
			value.WriteByte(text[i])
		}
	}
	p.bad(start, "close the quote", "the value of %s has no closing quote", name)
	return ""
}

// afterQuote leaves the line that the quote ended in. Compose reads on in it as if a line began.
func (p *dotenvParser) afterQuote(text string, line int) string {
	rest, after, _ := strings.Cut(text, "\n")
	p.line = line + 1
	if rest = strings.TrimSpace(rest); rest != "" && rest[0] != '#' {
		p.bad(line, "put a line break after the closing quote", "text after the closing quote: %q", abridged(rest))
	}
	return after
}

func (p *dotenvParser) expand(name, value string, line int) {
	got, err := interpolate(EscapeDollars(value), func(name string) (string, bool) {
		if v, ok := p.find(name); ok {
			return v, true
		}
		if i, ok := p.at[name]; ok {
			return p.lines[i].value, true
		}
		return "", false
	})
	if err != nil {
		p.bad(line, remedyOf(err)+"; single quotes keep a value as it is", "the value of %s: %v", name, err)
		return
	}
	p.set(name, got, line)
}

var escapes = pattern.New(`\\(?:[abcfnrtv$"\\]|0[0-7]{0,3})`)

// unescape reads the escapes of double quotes. \$ becomes $$, which interpolate turns into a dollar sign.
func unescape(s string) string {
	return escapes.ReplaceAllStringFunc(s, func(m string) string {
		if m == `\$` {
			return "$$"
		}
		if strings.HasPrefix(m, `\0`) {
			m = strings.Replace(m, `\0`, `\`, 1)
		}
		r, _, _, err := strconv.UnquoteChar(m, '"')
		if err != nil {
			return m
		}
		return string(r)
	})
}
