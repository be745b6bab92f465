package host

import (
	"path"
	"strings"

	"hostrun.dev/hostrun/abi"
)

// maxPth bounds one .pth file, in bytes; real ones have a few lines.
const maxPth = 4 << 20

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
		if !strings.HasSuffix(name, ".pth") || strings.HasPrefix(name, ".") && abi.SkipsHiddenPth(s.version) {
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
	for _, line := range abi.ParsePth(content, s.version) {
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
