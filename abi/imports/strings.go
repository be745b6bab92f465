package imports

// maxLiteral bounds the strings that may be names of modules, in bytes.
const maxLiteral = 100

// literals are the strings of a text that may be names of modules.
func (l *lexer) literals() []string {
	var found []string
	src := l.src
	for at := 0; at < len(src); {
		switch src[at] {
		case '#':
			at += lineEnd(src[at:])
		case '"', '\'':
			start, _ := prefixStart(src, at)
			end := l.stringEnd(start, at)
			if end-at <= maxLiteral+6 && len(found) < maxStatements {
				if s, ok := (token{kind: tokString, text: src[start:end]}).value(); ok && len(s) <= maxLiteral && isModuleName(s) {
					found = append(found, s)
				}
			}
			at = end
		default:
			at++
		}
	}
	return found
}

// prefixStart returns where the prefix of the string begins whose quote is at i: i for none. It is not certain behind a dot
// that may belong to a number, as in 1.f”.
func prefixStart(src string, i int) (start int, certain bool) {
	start = i
	for start > 0 && i-start < 3 && classes[src[start-1]]-byteName <= 1 {
		start--
	}
	if start == i || i-start > 2 || isDigit(src[start]) || !isPrefix(src[start:i]) {
		return i, true
	}
	if start > 1 && src[start-1] == '.' && (isDigit(src[start-2]) || src[start-2] == '.') {
		return i, false
	}
	return start, true
}
