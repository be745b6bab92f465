package imports

import "hostrun.dev/hostrun/pattern"

var cookiePattern = pattern.New(`^[ \t\f]*#.*?coding[:=][ \t]*([-_.a-zA-Z0-9]+)`) // PEP 263

// taggedSuffix is that of a native module which says for which interpreter it was made (PEP 3149).
var taggedSuffix = pattern.New(`^(cpython-\d+[a-z]*|pypy\d+-pp\d+|abi3t?)(-[A-Za-z0-9_.-]+)?\.so$`)

// isModuleName knows names of ASCII letters that dots part.
func isModuleName(s string) bool {
	start := true
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.' && !start:
			start = true
		case c >= 0x80 || !isNameByte(c) || start && isDigit(c):
			return false
		default:
			start = false
		}
	}
	return !start
}
