package host

import (
	"bytes"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"hostrun.dev/hostrun/abi"
)

// maxPth bounds one .pth file, in bytes; real ones have a few lines.
const maxPth = 4 << 20

// A pthLine is a line of a .pth file that is no comment.
type pthLine struct {
	Text string // without trailing white space
	Code bool   // executed by site
}

// parsePth applies Lib/site.py's addpackage to a file's content. Its rules changed with the versions: from 3.13 the
// text is decoded as utf-8-sig and cut by str.splitlines, before it was read as a text file in the locale's encoding.
func parsePth(content []byte, v abi.Version) []pthLine {
	modern := v.Major > 3 || v.Major == 3 && v.Minor >= 13
	if modern {
		content = bytes.TrimPrefix(content, []byte("\xef\xbb\xbf"))
	}
	var all []pthLine
	for _, line := range splitLines(string(content), modern) {
		if strings.HasPrefix(line, "#") || strings.TrimFunc(line, pySpace) == "" {
			continue
		}
		code := strings.HasPrefix(line, "import ") || strings.HasPrefix(line, "import\t")
		all = append(all, pthLine{Text: strings.TrimRightFunc(line, pySpace), Code: code})
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

// skipsHiddenPth says whether site leaves .pth files out whose name begins with a dot: gh-113659, since 3.8.19,
// 3.9.19, 3.10.14, 3.11.8, 3.12.2 and 3.13.
func skipsHiddenPth(v abi.Version) bool {
	first := map[int]int{8: 19, 9: 19, 10: 14, 11: 8, 12: 2}
	micro, known := first[v.Minor]
	if !known {
		return v.Major > 3 || v.Minor > 12
	}
	return v.Micro >= micro
}

// sysPath is sys.path while site builds it.
type sysPath struct {
	m       machine
	version abi.Version
	known   map[string]bool // known_paths: normalised, links not resolved
	sites   []Site
	lines   []pthEntry
}

// A pthEntry is a line of a .pth file that names a path.
type pthEntry struct {
	Site, File, Text string
	Path             string // absolute
	Exists           bool
}

// add is site.addsitedir: the directory, then what its .pth files add, sorted by name.
func (s *sysPath) add(dir, kind string) {
	dir = path.Clean(dir)
	site := Site{Path: dir, Kind: kind}
	at := -1
	if !s.known[dir] {
		s.known[dir] = true
		at = len(s.sites)
		s.sites = append(s.sites, site)
	}
	entries, _ := s.m.view.ReadDir(dir)
	var pth []PthFile
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".pth") || strings.HasPrefix(name, ".") && skipsHiddenPth(s.version) {
			continue
		}
		content, err := s.m.view.ReadFile(path.Join(dir, name), maxPth)
		if err != nil {
			continue // addpackage returns on OSError
		}
		pth = append(pth, s.addPth(dir, name, content))
	}
	if at >= 0 {
		s.sites[at].Pth = pth
	}
}

func (s *sysPath) addPth(dir, name string, content []byte) PthFile {
	f := PthFile{Name: name}
	for _, line := range parsePth(content, s.version) {
		if line.Code {
			f.Imports++
			continue
		}
		p := line.Text
		if !path.IsAbs(p) {
			p = path.Join(dir, p)
		}
		p = path.Clean(p)
		exists := !strings.ContainsRune(p, 0) && s.m.view.Exists(p)
		s.lines = append(s.lines, pthEntry{dir, name, line.Text, p, exists})
		switch {
		case !exists:
			f.Missing = append(f.Missing, line.Text)
		case s.known[p]:
		default:
			s.known[p] = true
			f.Paths = append(f.Paths, p)
			if s.m.view.IsDir(p) {
				s.sites = append(s.sites, Site{Path: p, Kind: kindPth})
			}
		}
	}
	return f
}
