package imports

import "strings"

// Most lines of a package stand in functions and neither import nor decide about imports. They are passed over without
// cutting them into words: a proof reads thousands of files.

// Classes of bytes.
const (
	byteOther = iota
	byteName
	byteDigit
	byteSpace
	byteNewline
	byteOpen
	byteClose
	byteQuote
	byteComment
	byteEscape
	byteDot
	byteSemicolon
	byteColon
)

var classes = func() (table [256]uint8) {
	for i := range table {
		c := byte(i)
		switch {
		case isDigit(c):
			table[i] = byteDigit
		case isNameByte(c):
			table[i] = byteName
		}
	}
	for class, members := range map[uint8]string{byteSpace: " \t\f", byteNewline: "\n", byteOpen: "([{", byteClose: ")]}", byteQuote: "'\"", byteComment: "#",
		byteEscape: "\\", byteDot: ".", byteSemicolon: ";", byteColon: ":"} {
		for _, c := range []byte(members) {
			table[c] = class
		}
	}
	return table
}()

// A wordSet finds words by their first byte and length, before they are compared.
type wordSet struct {
	lengths [256]uint32
	words   map[string]bool
}

func newWordSet(words ...string) *wordSet {
	s := &wordSet{words: map[string]bool{}}
	for _, w := range words {
		s.lengths[w[0]] |= 1 << len(w)
		s.words[w] = true
	}
	return s
}

// may says that a word may be one of the set.
func (s *wordSet) may(word string) bool { return s.lengths[word[0]]>>len(word)&1 == 1 }

var (
	// telling are first words of lines that are read: those of statements with a body, of imports, and of what ends one.
	telling = newWordSet("async", "if", "try", "def", "class", "for", "while", "with", "elif", "else", "except", "finally", "import", "from", "global",
		"raise", "sys", "os", "exit", "quit")
	// tellingAnywhere are names that decide wherever they stand: see lexer.name and movesPath.
	tellingAnywhere = newWordSet("import_module", "__import__", "spec_from_file_location", "entry_points", "run_path", "run_module", "exec", "walk_packages",
		"load_entry_point", "load_module", "importorskip", "resolve_name", "sys", "addsitedir", "modules", "meta_path", "path_hooks", "__path__", "import", "global", "lambda")
)

// A strictness says which lines are not dull.
type strictness uint8

const (
	inClass    strictness = iota // a line whose first word may be that of a statement which counts
	inFunction                   // one that may import, or declares a global name: nothing else in a function has consequences
	inHeader                     // of a function: what may import
)

// dull passes over the logical line that begins here if it is of no consequence. Otherwise it returns false and stays
// where it is. Where a line is dull, the words of the lexer would say nothing else.
func (l *lexer) dull(how strictness) bool {
	s := &skimmer{lexer: l, at: l.at, line: l.line, how: how}
	if !s.run() || s.last == ':' && how == inClass || how == inHeader && (s.last != ':' || s.colons != 1) {
		return false
	}
	l.at, l.line = s.at, s.line
	return true
}

// A skimmer passes over one logical line. It lives in local variables: it sees each byte of each function.
type skimmer struct {
	*lexer
	at     int
	line   int32
	how    strictness
	colons int  // outside of brackets
	last   byte // the last that was neither space nor comment; 'a' for a name
}

// run goes to the end of the line; false where it is not dull.
func (s *skimmer) run() bool {
	src, at, line, depth, first, last := s.src, s.at, s.line, 0, s.how == inClass, byte(0)
loop:
	for at < len(src) {
		c := src[at]
		switch classes[c] {
		case byteName:
			start := at
			for at++; at < len(src) && classes[src[at]]-byteName <= 1; at++ {
			}
			word := src[start:at]
			if first && telling.may(word) && telling.words[word] || tellingAnywhere.may(word) && tellingAnywhere.words[word] && s.tells(word, at) {
				return false
			}
			if at < len(src) && classes[src[at]] == byteQuote && isPrefix(word) {
				end := s.stringEnd(start, at)
				line += newlines(src[at:end])
				at = end
			}
			first, last = false, 'a'
			continue
		case byteSpace:
			at++
			continue
		case byteNewline:
			at++
			line++
			if depth == 0 {
				break loop
			}
			if beginsStatement(src, at) {
				if s.how == inHeader {
					last = '(' // a colon before it is in a bracket
				}
				break loop
			}
			continue
		case byteComment:
			at += lineEnd(src[at:])
			continue
		case byteEscape:
			if at++; at < len(src) && src[at] == '\n' {
				at++
				line++
			}
			continue
		case byteQuote:
			end := s.stringEnd(at, at)
			line += newlines(src[at:end])
			at, last, first = end, c, false
			continue
		case byteDigit:
			at, last, first = numberEnd(src, at), c, false
			continue
		case byteDot:
			if at+1 < len(src) && isDigit(src[at+1]) {
				at, last, first = numberEnd(src, at), c, false
				continue
			}
		case byteOpen:
			depth++
		case byteClose:
			if depth--; depth < 0 {
				if s.how == inHeader {
					return false
				}
				depth = 0
			}
		case byteSemicolon:
			if s.how == inClass || s.how == inHeader {
				return false
			}
		case byteColon:
			if depth == 0 {
				s.colons++
			}
		}
		at, last, first = at+1, c, false
	}
	s.at, s.line, s.last = at, line, last
	return true
}

// tells says of one of tellingAnywhere, which ends at a place, that its line is to be read. Names of tables of the import
// system are noted, as lexer.name does.
func (s *skimmer) tells(word string, at int) bool {
	switch word {
	case "modules":
		s.hook = s.hook || ofSys(s.src[:at-len(word)])
		return false
	case "meta_path", "path_hooks", "__path__":
		s.hook = true
		return false
	case "import", "global":
		return s.how == inFunction
	case "lambda":
		return s.how == inHeader
	case "sys": // sys.path, and what may be so behind a space
		next, dotted := strings.CutPrefix(s.src[at:], ".")
		if !dotted {
			return next != "" && strings.IndexByte(" \t\f\n\\", next[0]) >= 0
		}
		return next == "" || classes[next[0]] != byteName || strings.HasPrefix(next, "path")
	}
	return true
}

// ofSys says of the text before an attribute that it is one of sys, which some import as _sys.
func ofSys(before string) bool { return strings.HasSuffix(before, "sys.") }

func numberEnd(src string, at int) int {
	for at++; at < len(src) && (isNameByte(src[at]) || src[at] == '.'); at++ {
	}
	return at
}

func lineEnd(src string) int {
	if end := strings.IndexByte(src, '\n'); end >= 0 {
		return end
	}
	return len(src)
}

// header reads the first line of a function as three tokens, if its body is a block and nothing in it matters.
func (l *lexer) header() bool {
	rest, isDef := strings.CutPrefix(l.src[l.at:], "def ")
	if !isDef {
		return false
	}
	name := 0
	for name < len(rest) && isNameByte(rest[name]) {
		name++
	}
	line := l.line
	if name == 0 || name == len(rest) || rest[name] != '(' || isDigit(rest[0]) || !l.dull(inHeader) {
		return false
	}
	l.tokens = append(l.tokens[:0], token{text: "def", line: line}, token{text: rest[:name], line: line}, token{text: ":", line: line, kind: tokOp})
	l.calls, l.path = false, false
	return true
}

func newlines(text string) int32 {
	if len(text) < 16 {
		n := int32(0)
		for i := range len(text) {
			if text[i] == '\n' {
				n++
			}
		}
		return n
	}
	return int32(strings.Count(text, "\n"))
}
