package imports

import "strings"

// What is known of a function's body after a quick look.
type bodyKind uint8

const (
	unsureBody bodyKind = iota
	dullBody
	tellingBody
)

// deepest is the widest indentation, in columns, that a quick look takes.
const deepest = 64

var spaces = strings.Repeat(" ", maxNesting+1)

// A bodyScan looks through the physical lines of a function's body. As long as they are indented as deep as the first one
// they belong to it, whatever brackets they stand in, so it sees no more of each than its strings and its telling words.
// Only where a line is indented less is it found out, from a line nearby that begins a statement, whether brackets are open.
type bodyScan struct {
	*lexer
	at     int // start of a physical line that does not begin in a string
	least  int // its indentation, in spaces
	double int // the next " behind at, or what was there before
	single int // the next '
	hit    int // the next telling word
	sync   int // where a logical line is known to begin
	lines  [16]int
	count  int  // of lines since the last string of several lines; lines holds the last of them
	joined bool // the line before has ended in a backslash
}

// quickBody returns the end of the body behind l.at.
func (l *lexer) quickBody() (int, bodyKind) {
	if l.tabbed() {
		return 0, unsureBody
	}
	s := &bodyScan{lexer: l, at: l.at, double: -1, single: -1, hit: -1}
	for {
		first := s.at + indentation(l.src[s.at:])
		if first == len(l.src) {
			return 0, unsureBody
		}
		if c := l.src[first]; c != '\n' && c != '#' {
			s.least = first - s.at
			break
		}
		if s.at = first + lineEnd(l.src[first:]) + 1; s.at >= len(l.src) {
			return 0, unsureBody
		}
	}
	if s.least <= l.indent || s.least > deepest {
		return 0, unsureBody
	}
	s.sync = s.at
	for s.at < len(l.src) {
		if !s.joined && !strings.HasPrefix(l.src[s.at:], spaces[:s.least]) {
			if end, kind, decided := s.dedent(); decided {
				return end, kind
			}
			continue
		}
		if kind := s.line(); kind != dullBody {
			return 0, kind
		}
	}
	return len(l.src), dullBody
}

// indentation is the number of spaces at the start of a text.
func indentation(text string) int {
	for i := range len(text) {
		if text[i] != ' ' {
			return i
		}
	}
	return len(text)
}

// dedent decides about a line that is indented less than the body: it ends it, is empty, or stands in a bracket.
func (s *bodyScan) dedent() (end int, kind bodyKind, decided bool) {
	first := s.at + indentation(s.src[s.at:])
	if first == len(s.src) || s.src[first] == '\\' {
		return 0, unsureBody, true
	}
	if c := s.src[first]; c == '\n' || c == '#' {
		s.at = min(first+lineEnd(s.src[first:])+1, len(s.src))
		return 0, 0, false
	}
	if beginsStatement(s.src, first) {
		return s.at, dullBody, true
	}
	for i := s.count - 1; i >= max(0, s.count-len(s.lines)); i-- {
		if at := s.lines[i%len(s.lines)]; beginsStatement(s.src, at) {
			s.sync = at
			break
		}
	}
	skim := &skimmer{lexer: s.lexer, at: s.sync, how: inFunction}
	for skim.at < s.at {
		if !skim.run() {
			return 0, tellingBody, true
		}
	}
	if skim.at == s.at {
		return s.at, dullBody, true
	}
	s.at, s.sync, s.count = skim.at, skim.at, 0
	return 0, 0, false
}

// line passes a physical line, and those that its strings reach into.
func (s *bodyScan) line() bodyKind {
	src, at := s.src, s.at
	end := at + lineEnd(src[at:])
	if end-at > maxNesting && strings.HasPrefix(src[at:], spaces) {
		return unsureBody
	}
	if !s.joined {
		s.lines[s.count%len(s.lines)] = at
		s.count++
	}
	s.joined = false
	for quote := s.quote(at); quote < end; quote = s.quote(at) {
		if strings.IndexByte(src[at:quote], '#') >= 0 {
			s.at = min(end+1, len(src))
			return s.words(at, at+strings.IndexByte(src[at:quote], '#'))
		}
		start, certain := prefixStart(src, quote)
		if !certain {
			return unsureBody
		}
		if kind := s.words(at, start); kind != dullBody {
			return kind
		}
		if at = s.stringEnd(start, quote); at > end {
			end = at + lineEnd(src[at:])
			s.count = 0
		}
	}
	comment := -1
	escaped := end > at && src[end-1] == '\\'
	if escaped || s.next(at) < end {
		comment = strings.IndexByte(src[at:end], '#')
	}
	s.at = min(end+1, len(src))
	if comment >= 0 {
		return s.words(at, at+comment)
	}
	s.joined = escaped
	return s.words(at, end)
}

// quote is the next one from a place on.
func (s *bodyScan) quote(at int) int {
	if s.double < at {
		s.double = indexFrom(s.src, at, '"')
	}
	if s.single < at {
		s.single = indexFrom(s.src, at, '\'')
	}
	return min(s.double, s.single)
}

func indexFrom(src string, at int, c byte) int {
	if i := strings.IndexByte(src[at:], c); i >= 0 {
		return at + i
	}
	return len(src)
}

// next is the next word from a place on that may be telling.
func (s *bodyScan) next(at int) int {
	if s.hit < at {
		s.hit = s.seek.next(s.src, at)
	}
	return s.hit
}

// words looks at the telling words of a part of a line that is code.
func (s *bodyScan) words(at, end int) bodyKind {
	for at = s.next(at); at < end; at = s.next(at) {
		stop := wordEnd(s.src, at)
		word := s.src[at:stop]
		if at > 1 && s.src[at-1] == '.' && (isDigit(s.src[at-2]) || s.src[at-2] == '.') {
			return unsureBody // the dot may belong to a number
		}
		if rest, of := strings.CutPrefix(s.src[stop:], ".modules"); of && strings.HasSuffix(word, "sys") && (rest == "" || classes[rest[0]]-byteName > 1) {
			s.hook = true
		}
		if tellingAnywhere.words[word] && (&skimmer{lexer: s.lexer, how: inFunction}).tells(word, stop) {
			return tellingBody
		}
		at = stop
	}
	return dullBody
}

// beginsStatement says that a line begins with a word that begins statements and stands in no expression: brackets that are
// open before it, are open by mistake.
func beginsStatement(src string, at int) bool {
	for at < len(src) && (src[at] == ' ' || src[at] == '\t' || src[at] == '\f') {
		at++
	}
	start := at
	for at < len(src) && src[at] >= 'a' && src[at] <= 'z' {
		at++
	}
	if at < len(src) && classes[src[at]]-byteName <= 1 {
		return false
	}
	switch src[start:at] {
	case "def", "class", "return", "raise", "import", "try", "with", "while", "pass", "del", "global", "nonlocal", "assert", "except", "finally", "elif", "break", "continue":
		return true
	}
	return false
}

// tabbed says that the text has tabs or form feeds, which quick looks leave to others.
func (l *lexer) tabbed() bool {
	if l.tabs == unknown {
		l.tabs = triOf(strings.IndexByte(l.src, '\t') >= 0 || strings.IndexByte(l.src, '\f') >= 0)
	}
	return l.tabs == yes
}

// body passes over the body of the function whose first line has just been read, if all of it is of no consequence.
// Otherwise it stays where it is.
func (l *lexer) body() bool {
	switch end, found := l.quickBody(); found {
	case dullBody:
		l.line += newlines(l.src[l.at:end])
		l.at = end
		return true
	case tellingBody:
		return false
	}
	return l.slowBody()
}

// slowBody is body by its logical lines.
func (l *lexer) slowBody() bool {
	at, line, indent, least := l.at, l.line, l.indent, -1
	for l.at < len(l.src) {
		start := l.at
		l.measure()
		switch {
		case l.at < len(l.src) && (l.src[l.at] == '\n' || l.src[l.at] == '#'):
			l.at += lineEnd(l.src[l.at:])
			if l.at < len(l.src) {
				l.at++
				l.line++
			}
			continue
		case least >= 0 && l.indent < least:
			l.at = start
			return true
		case l.indent <= indent, l.indent > maxNesting, l.at < len(l.src) && l.src[l.at] == '\\', !l.dull(inFunction):
			l.at, l.line, l.indent = at, line, indent
			return false
		case least < 0:
			least = l.indent
		}
	}
	return true
}
