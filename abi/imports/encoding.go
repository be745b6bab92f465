package imports

import "strings"

// unreadable says why a text is no source that this lexer reads (PEP 263; null bytes are an error to Python too).
func unreadable(src string) string {
	if strings.Contains(src, "\x00") {
		return "source code cannot contain null bytes"
	}
	if name := cookie(src); name != "" && !asciiBased(name) {
		return "its encoding " + name + " is not read"
	}
	return ""
}

// cookie returns the encoding that one of the first two lines declares.
func cookie(src string) string {
	for range 2 {
		line, rest, _ := strings.Cut(src, "\n")
		line = strings.TrimLeft(line, " \t\f")
		if !strings.HasPrefix(line, "#") {
			if line != "" {
				return ""
			}
		} else if m := cookiePattern.FindStringSubmatch(line); m != nil {
			return strings.ToLower(strings.ReplaceAll(m[1], "_", "-"))
		}
		src = rest
	}
	return ""
}

// asciiBased says whether the bytes of ASCII characters mean them alone.
func asciiBased(name string) bool {
	for _, prefix := range []string{"utf-8", "utf8", "u8", "latin", "iso-8859", "iso8859", "l1", "cp125", "cp437", "cp850", "windows-125", "ascii", "us-ascii", "koi8", "mac", "euc", "8859"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
