package abi

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A PthLine is a line of a .pth file that is no comment.
type PthLine struct {
	Text   string // without trailing white space
	Code   bool   // executed by site
	Number int    // 1-based
}

// ParsePth applies Lib/site.py's addpackage to a file's content. Its rules changed with the versions: from 3.13 the
// text is decoded as utf-8-sig and cut by str.splitlines, before it was read as a text file in the locale's encoding.
func ParsePth(content []byte, v Version) []PthLine {
	modern := !v.before(3, 13)
	if modern {
		content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	}
	var all []PthLine
	for i, line := range splitLines(string(content), modern) {
		if strings.HasPrefix(line, "#") || strings.TrimFunc(line, pySpace) == "" {
			continue
		}
		code := strings.HasPrefix(line, "import ") || strings.HasPrefix(line, "import\t")
		all = append(all, PthLine{Text: strings.TrimRightFunc(line, pySpace), Code: code, Number: i + 1})
	}
	return all
}

// splitLines cuts at \n, \r\n and \r (universal newlines), and where all is set at everything that str.splitlines
// takes as a boundary.
func splitLines(s string, all bool) []string {
	var lines []string
	start := 0
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		if !lineBoundary(r, all) {
			i += size
			continue
		}
		lines = append(lines, s[start:i])
		i += size
		if r == '\r' && i < len(s) && s[i] == '\n' {
			i++
		}
		start = i
	}
	if start < len(s) {
		lines = append(lines, s[start:])
	}
	return lines
}

func lineBoundary(r rune, all bool) bool {
	switch r {
	case '\n', '\r':
		return true
	case '\v', '\f', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029:
		return all
	}
	return false
}

// pySpace is str.isspace, which counts the separators U+001C to U+001F too.
func pySpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// SkipsHiddenPth says whether site leaves .pth files out whose name begins with a dot: gh-113659, since 3.8.19,
// 3.9.19, 3.10.14, 3.11.8, 3.12.2 and 3.13.
func SkipsHiddenPth(v Version) bool {
	first := map[int]int{8: 19, 9: 19, 10: 14, 11: 8, 12: 2}
	micro, known := first[v.Minor]
	if !known {
		return v.Major > 3 || v.Minor > 12
	}
	return v.Micro >= micro
}
