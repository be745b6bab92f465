package imports

import (
	"io/fs"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// A Lost source is where an editable install, a .pth line or a link leads, and nothing is there.
type Lost struct {
	Kind   string `json:"kind"` // "editable", "pth", "link"
	Name   string `json:"name"` // module, or what the line says
	File   string `json:"file"` // the finder, the .pth file, the link
	Line   int    `json:"line,omitempty"`
	Target string `json:"target"` // the path that is not there
}

// An Autoload is an entry point that a package loads by itself when it is imported.
type Autoload struct {
	Group string `json:"group"` // torch.backends
	Dist  string `json:"dist"`  // the directory of its metadata
	Name  string `json:"name"`
	Value string `json:"value"` // module:function
}

// A Duplicate is a distribution with more than one directory of metadata in one place.
type Duplicate struct {
	Name string   `json:"name"`
	Dirs []string `json:"dirs"`
}

// extras looks for what else of the import system's state a person should know.
func (s *scanner) extras() {
	made := s.site("")
	s.lost(made)
	for _, entry := range made.path {
		s.duplicates(entry)
	}
	if torch := s.module("torch"); torch != nil && torch.Kind == Source {
		s.report.TorchCUDA = s.torchCUDA(path.Dir(torch.File))
		for _, entry := range made.path {
			s.autoloads(entry, "torch.backends")
		}
	}
}

func (s *scanner) module(name string) *Module {
	i := slices.IndexFunc(s.report.Modules, func(m Module) bool { return m.Name == name && m.Reach != Deferred })
	if i < 0 {
		return nil
	}
	return &s.report.Modules[i]
}

// lost lists what leads nowhere: targets of editable installs, lines of .pth files, and links that bear the name of a
// missing module.
func (s *scanner) lost(made *site) {
	for _, e := range made.editing {
		for _, name := range sortedKeys(e.mapping) {
			if target := e.mapping[name]; !s.view.Exists(target) && (e.files || s.finder.editable(name, target) == nil) {
				s.lostSource(name, e.finder, target)
			}
		}
		for _, name := range sortedKeys(e.namespaces) {
			for _, dir := range e.namespaces[name] {
				if e.mapping[name] != dir && !s.view.Exists(dir) {
					s.lostSource(name, e.finder, dir)
				}
			}
		}
	}
	for _, name := range sortedKeys(made.redirects) {
		if r := made.redirects[name]; !s.view.Exists(r.file) {
			s.lostSource(name, r.finder, r.file)
		}
	}
	for _, line := range made.absent {
		target := absolute(path.Dir(line.file), line.text)
		s.report.Lost = append(s.report.Lost, Lost{Kind: "pth", Name: line.text, File: line.file, Line: line.line, Target: target})
	}
	for _, m := range s.report.Missing {
		if top := m.Name; !strings.Contains(top, ".") && m.level > deferred {
			s.danglingLinks(made.path, top)
		}
	}
}

// lostSource lists a place of an editable install: of a package its directory.
func (s *scanner) lostSource(name, finder, target string) {
	if path.Base(target) == "__init__.py" {
		target = path.Dir(target)
	}
	s.report.Lost = append(s.report.Lost, Lost{Kind: "editable", Name: name, File: finder, Target: target})
}

func (s *scanner) danglingLinks(search []string, name string) {
	for _, entry := range search {
		l := s.finder.list(entry)
		for _, end := range append([]suffix{{text: ""}}, s.finder.suffixes...) {
			p := path.Join(entry, name+end.text)
			if mode, ok := l.names[name+end.text]; !ok || mode&fs.ModeSymlink == 0 || s.view.Exists(p) {
				continue
			}
			target, _ := s.view.Readlink(p)
			s.report.Lost = append(s.report.Lost, Lost{Kind: "link", Name: name, File: p, Target: absolute(entry, target)})
		}
	}
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// duplicates finds distributions with several directories of metadata: a failed upgrade leaves them.
func (s *scanner) duplicates(entry string) {
	byName := map[string][]string{}
	for _, file := range s.metadata(entry) {
		base, _, _ := strings.Cut(file, "-")
		byName[normalise(base)] = append(byName[normalise(base)], path.Join(entry, file))
	}
	var found []Duplicate
	for name, dirs := range byName {
		if len(dirs) > 1 {
			found = append(found, Duplicate{name, dirs})
		}
	}
	slices.SortFunc(found, func(a, b Duplicate) int { return strings.Compare(a.Name, b.Name) })
	s.report.Duplicates = append(s.report.Duplicates, found...)
}

// metadata are the names of the *.dist-info directories of an entry, sorted.
func (s *scanner) metadata(entry string) []string {
	var names []string
	for name := range s.finder.list(entry).names {
		if strings.HasSuffix(name, ".dist-info") && strings.Contains(name, "-") && !strings.HasPrefix(name, "~") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// autoloads reads the entry points of a group (packaging.python.org, "Entry points specification").
func (s *scanner) autoloads(entry, group string) {
	for _, dist := range s.metadata(entry) {
		b, err := s.view.ReadFile(path.Join(entry, dist, "entry_points.txt"), maxPth)
		if err != nil || !strings.Contains(string(b), group) {
			continue
		}
		for _, e := range entryPoints(string(b), group) {
			s.report.Autoloads = append(s.report.Autoloads, Autoload{group, path.Join(entry, dist), e[0], e[1]})
		}
	}
}

// entryPoints returns name and value of each entry of a group.
func entryPoints(text, group string) [][2]string {
	var found [][2]string
	section := ""
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") && strings.HasSuffix(line, "]") {
			section = line[1 : len(line)-1]
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if ok && section == group && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ";") {
			found = append(found, [2]string{strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
	return found
}

var torchCUDALine = pattern.New(`(?m)^cuda(?:\s*:[^=\n]*)?\s*=\s*(None|'([^'\n]*)'|"([^"\n]*)")`)

// torchCUDA reads the CUDA version of torch/version.py: "none" where the build has none, "" where files do not tell.
func (s *scanner) torchCUDA(dir string) string {
	b, err := s.view.ReadFile(path.Join(dir, "version.py"), maxPth)
	if err != nil {
		return ""
	}
	m := torchCUDALine.FindStringSubmatch(string(b))
	switch {
	case m == nil:
		return ""
	case m[1] == "None":
		return "none"
	}
	return m[2] + m[3]
}
