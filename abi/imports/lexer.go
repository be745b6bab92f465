package imports

import "strings"

// A tokenKind tells what a token is made of.
type tokenKind uint8

const (
	tokName tokenKind = iota
	tokNumber
	tokString // as written, prefix and quotes included
	tokOp
)

// A token is one word of a logical line (reference manual, "Lexical analysis").
type token struct {
	text string
	line int32
	at   int32 // in the source
	kind tokenKind
}

// A lexer cuts Python source of any version since 3.0 into logical lines. It accepts more than Python does: what is
// wrong with a file is Python's to say.
type lexer struct {
	src     string
	at      int
	line    int32
	indent  int     // of the current logical line: a tab goes to the next multiple of eight, a form feed back to 0
	tokens  []token // of the current logical line; reused for the next one
	calls   bool    // the current logical line has a name of dynamicNames
	path    bool    // the current logical line has a name that may stand for sys.path
	moves   bool    // some line so far may add to sys.path
	cuts    bool    // some line so far may take from sys.path
	wasted  int     // bytes of f-strings that turned out to be none
	problem string  // why the rest is not read
	exact   bool    // no line is left out: for tests
	hook    bool    // some line so far had a name of a table of the import system
	tabs    tri     // there are tabs or form feeds
	seek    seeker
}

// maxNesting bounds what nests in a file: strings in f-strings, blocks. CPython allows 100 levels of indentation.
const maxNesting = 100

// Bounds of what is read of a text, so that one which is made to be hard costs neither memory nor time.
const (
	maxTokens     = 1 << 18 // of one logical line
	maxWasted     = 16 << 20
	maxStatements = 1 << 18
)

// newLexer takes source in an encoding that contains ASCII.
func newLexer(src string) *lexer {
	src = strings.TrimPrefix(src, "\xef\xbb\xbf")
	if strings.Contains(src, "\r") {
		src = strings.ReplaceAll(strings.ReplaceAll(src, "\r\n", "\n"), "\r", "\n")
	}
	return &lexer{src: src, line: 1}
}

// nextFrom is next, and may leave out dull lines that are indented by least or more.
func (l *lexer) nextFrom(least int) bool {
	for l.at < len(l.src) {
		l.measure()
		if l.indent >= least && l.dull(inClass) {
			continue
		}
		if l.read() {
			return true
		}
	}
	return false
}

// next reads the next logical line that has tokens.
func (l *lexer) next() bool {
	for l.at < len(l.src) {
		l.measure()
		if l.read() {
			return true
		}
	}
	return false
}

// read reads the logical line that begins here; false where it has no tokens.
func (l *lexer) read() bool {
	if !l.exact && l.header() {
		return true
	}
	l.tokens, l.calls, l.path = l.tokens[:0], false, false
	l.logical()
	if l.path {
		l.moves, l.cuts = l.moves || movesPath(l.tokens), l.cuts || cuts(l.tokens)
	}
	return len(l.tokens) > 0
}

func (l *lexer) measure() {
	l.indent = 0
	for ; l.at < len(l.src); l.at++ {
		switch l.src[l.at] {
		case ' ':
			l.indent++
		case '\t':
			l.indent = l.indent/8*8 + 8
		case '\f':
			l.indent = 0
		default:
			return
		}
	}
}

// logical reads to the end of the logical line: a newline outside of brackets.
func (l *lexer) logical() {
	depth := 0
	for l.at < len(l.src) {
		switch c := l.src[l.at]; {
		case c == '\n':
			l.at++
			l.line++
			if depth == 0 || beginsStatement(l.src, l.at) {
				return
			}
		case c == ' ' || c == '\t' || c == '\f':
			l.at++
		case c == '#':
			l.skipComment()
		case c == '\\':
			l.at++
			if l.at < len(l.src) && l.src[l.at] == '\n' {
				l.at++
				l.line++
			}
		default:
			depth = max(0, depth+bracket(c))
			l.token()
		}
	}
}

func bracket(c byte) int {
	switch c {
	case '(', '[', '{':
		return 1
	case ')', ']', '}':
		return -1
	}
	return 0
}

func (l *lexer) skipComment() {
	if i := strings.IndexByte(l.src[l.at:], '\n'); i >= 0 {
		l.at += i
	} else {
		l.at = len(l.src)
	}
}

func isNameByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= 0x80
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (l *lexer) token() {
	start, c := l.at, l.src[l.at]
	switch {
	case c == '"' || c == '\'':
		l.quoted(start)
	case isDigit(c), c == '.' && l.at+1 < len(l.src) && isDigit(l.src[l.at+1]):
		for l.at++; l.at < len(l.src) && (isNameByte(l.src[l.at]) || l.src[l.at] == '.'); l.at++ {
		}
		l.add(tokNumber, start)
	case isNameByte(c):
		l.name(start)
	default:
		l.operator(start)
	}
}

func (l *lexer) add(kind tokenKind, start int) {
	if len(l.tokens) >= maxTokens {
		l.at = l.giveUp("a statement of it is too long")
		return
	}
	l.tokens = append(l.tokens, token{l.src[start:l.at], l.line, int32(start), kind})
}

// name reads an identifier, or the prefix of a string with the string.
func (l *lexer) name(start int) {
	for l.at++; l.at < len(l.src) && isNameByte(l.src[l.at]); l.at++ {
	}
	if l.at < len(l.src) && (l.src[l.at] == '"' || l.src[l.at] == '\'') && isPrefix(l.src[start:l.at]) {
		l.quoted(start)
		return
	}
	switch l.src[start:l.at] {
	case "import_module", "__import__", "spec_from_file_location", "entry_points", "run_path", "run_module", "exec", "walk_packages",
		"load_entry_point", "load_module", "importorskip", "resolve_name":
		l.calls = true
	case "path", "addsitedir":
		l.path = true
	case "modules":
		l.hook = l.hook || ofSys(l.src[:start]) || len(l.tokens) > 0 && l.tokens[0].text == "from"
	case "meta_path", "path_hooks", "__path__":
		l.hook = true
	}
	l.add(tokName, start)
}

// isPrefix knows r, b, u, f and t (PEP 750) in both cases, and what combines with r.
func isPrefix(s string) bool {
	return len(s) <= 2 && strings.Trim(s, "rRbBuUfFtT") == ""
}

// quoted reads the string whose quote l.at stands at; its prefix begins at start.
func (l *lexer) quoted(start int) {
	line := l.line
	end := l.stringEnd(start, l.at)
	l.line += int32(strings.Count(l.src[start:end], "\n"))
	l.at = end
	l.tokens = append(l.tokens, token{l.src[start:end], line, int32(start), tokString})
}

// stringEnd returns the end of the string whose quote is at i, and whose prefix begins at start.
func (l *lexer) stringEnd(start, i int) int {
	if prefix := l.src[start:i]; strings.ContainsAny(prefix, "fFtT") {
		end, ok := l.formatted(i, strings.ContainsAny(prefix, "rR"), 0)
		if ok {
			return end
		}
		if l.wasted += end - i; l.wasted > maxWasted {
			return l.giveUp("its f-strings are not closed")
		}
	}
	return l.plain(i)
}

// giveUp ends the reading of a text that no program would be.
func (l *lexer) giveUp(why string) int {
	l.problem = why
	return len(l.src)
}

// quoteAt returns the quote that opens a string at i: one character or three.
func (l *lexer) quoteAt(i int) string {
	if q := l.src[i : i+1]; strings.HasPrefix(l.src[i:], q+q+q) {
		return q + q + q
	}
	return l.src[i : i+1]
}

// plain returns the end of the string that opens at i. One that is not closed ends with its line, and a triple one with
// the file.
func (l *lexer) plain(i int) int {
	if quote := l.quoteAt(i); len(quote) == 3 {
		return l.triple(i+3, quote)
	}
	for quote, at := l.src[i], i+1; at < len(l.src); at++ {
		switch l.src[at] {
		case '\\':
			at++
		case quote:
			return at + 1
		case '\n':
			return at
		}
	}
	return len(l.src)
}

// triple returns the end of a triple string whose text begins at i. Most of a library's text stands in such ones.
func (l *lexer) triple(i int, quote string) int {
	for end := -1; i < len(l.src); {
		if end < i { // an escape has passed over the one that was found
			found := strings.Index(l.src[i:], quote)
			if found < 0 {
				return len(l.src)
			}
			end = i + found
		}
		escape := strings.IndexByte(l.src[i:end], '\\')
		if escape < 0 {
			return end + len(quote)
		}
		i += escape + 2
	}
	return len(l.src)
}

// formatted returns the end of the f-string that opens at i (PEP 701: the same quotes may nest in its fields).
func (l *lexer) formatted(i int, raw bool, nested int) (int, bool) {
	quote := l.quoteAt(i)
	return l.literal(i+len(quote), quote, raw, false, nested)
}

// literal reads the text of an f-string to its closing quote, or the format specification of a field to its brace.
func (l *lexer) literal(i int, quote string, raw, spec bool, nested int) (int, bool) {
	for i < len(l.src) {
		switch c := l.src[i]; {
		case strings.HasPrefix(l.src[i:], quote):
			return i + len(quote), !spec
		case c == '\n' && len(quote) == 1:
			return i, false
		case c == '\\':
			i = l.escape(i, raw)
		case c == '}' && spec:
			return i + 1, true
		case c == '{' && !spec && strings.HasPrefix(l.src[i:], "{{"):
			i += 2
		case c == '{':
			var ok bool
			if i, ok = l.field(i+1, quote, raw, nested+1); !ok {
				return i, false
			}
		default:
			i++
		}
	}
	return i, false
}

// escape passes a backslash of an f-string and what it escapes. A brace after it still opens a field, except in \N{...}.
func (l *lexer) escape(i int, raw bool) int {
	switch rest := l.src[i+1:]; {
	case strings.HasPrefix(rest, "{"), strings.HasPrefix(rest, "}"):
		return i + 1
	case !raw && strings.HasPrefix(rest, "N{"):
		if end := strings.IndexByte(rest, '}'); end >= 0 {
			return i + 1 + end + 1
		}
	}
	return min(i+2, len(l.src))
}

// field reads a replacement field to its closing brace.
func (l *lexer) field(i int, quote string, raw bool, nested int) (int, bool) {
	if nested > maxNesting {
		return i, false
	}
	for depth := 0; i < len(l.src); {
		switch c := l.src[i]; {
		case c == '"' || c == '\'':
			var ok bool
			if i, ok = l.inner(i, nested); !ok {
				return i, false
			}
		case depth == 0 && c == '}':
			return i + 1, true
		case depth == 0 && c == ':':
			return l.literal(i+1, quote, raw, true, nested)
		case c == '#':
			end := strings.IndexByte(l.src[i:], '\n')
			if end < 0 {
				return i, false
			}
			i += end
		default:
			depth = max(0, depth+bracket(c))
			i++
		}
	}
	return i, false
}

// inner passes a string in a field; its prefix lies before i.
func (l *lexer) inner(i, nested int) (int, bool) {
	start := i
	for start > 0 && i-start < 2 && isPrefix(l.src[start-1:i]) {
		start--
	}
	if prefix := l.src[start:i]; strings.ContainsAny(prefix, "fFtT") {
		return l.formatted(i, strings.ContainsAny(prefix, "rR"), nested+1)
	}
	end := l.plain(i)
	return end, end > i+1 && end <= len(l.src) && l.src[end-1] == l.src[i]
}

// operator reads one, with what makes it another: a single = assigns.
func (l *lexer) operator(start int) {
	l.at++
	switch rest := l.src[l.at:]; {
	case rest == "":
	case rest[0] == '=' && strings.IndexByte("=!<>:", l.src[start]) >= 0, rest[0] == '>' && l.src[start] == '-':
		l.at++
	case l.src[start] == '.' && strings.HasPrefix(rest, ".."):
		l.at += 2
	}
	l.add(tokOp, start)
}

// value returns the text of a string token without escapes; ok is false for bytes, f-strings, and what has escapes that
// names of modules never have.
func (t token) value() (string, bool) {
	if t.kind != tokString {
		return "", false
	}
	open := strings.IndexAny(t.text, "'\"")
	prefix, body := t.text[:open], t.text[open:]
	if strings.ContainsAny(prefix, "bBfFtT") || strings.Contains(body, "\\") {
		return "", false
	}
	for _, quote := range []string{`"""`, `'''`, `"`, `'`} {
		if strings.HasPrefix(body, quote) && len(body) >= 2*len(quote) && strings.HasSuffix(body, quote) {
			return body[len(quote) : len(body)-len(quote)], true
		}
	}
	return "", false
}
