package imports

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// An editable is a finder of editable installs, which stands behind PathFinder in sys.meta_path.
type editable struct {
	finder     string // its file
	mapping    map[string]string
	namespaces map[string][]string // setuptools: directories of namespace packages
	hook       string              // setuptools: the entry of sys.path that leads to namespaces
	files      bool                // mapping names files, of top-level modules alone (project editables)
}

// addFinder installs a finder of setuptools (setuptools/command/editable_wheel.py, _FINDER_TEMPLATE).
func (s *site) addFinder(file string) {
	b, err := s.view.ReadFile(file, maxPth)
	if err != nil {
		return
	}
	e := &editable{finder: file, mapping: map[string]string{}, namespaces: map[string][]string{}}
	for lex := newLexer(string(b)); lex.next(); {
		switch toks := lex.tokens; toks[0].text {
		case "MAPPING":
			eachItem(toks, func(key string, value []string) { e.mapping[key] = value[0] })
		case "NAMESPACES":
			eachItem(toks, func(key string, value []string) { e.namespaces[key] = value })
		case "PATH_PLACEHOLDER":
			for _, t := range toks {
				text, _ := t.value()
				e.hook += text
			}
		}
	}
	s.editing = append(s.editing, e)
	if len(e.namespaces) > 0 && e.hook != "" {
		s.join(e.hook)
	}
}

// eachItem goes through the first literal dictionary of a line: keys are strings, values strings or lists of them. A value
// without a string is passed on for lists alone.
func eachItem(toks []token, each func(key string, value []string)) {
	i := slices.IndexFunc(toks, func(t token) bool { return t.text == "{" })
	for i++; i > 0 && i+2 < len(toks) && toks[i+1].text == ":"; i++ {
		key, ok := toks[i].value()
		if !ok {
			return
		}
		var value []string
		list := toks[i+2].text == "["
		for i += 2; i < len(toks) && toks[i].text != "}" && (list || toks[i].text != ","); i++ {
			if text, ok := toks[i].value(); ok {
				value = append(value, text)
			}
			if toks[i].text == "]" {
				list = false
			}
		}
		if value != nil || toks[min(i, len(toks))-1].text == "]" {
			each(key, value)
		}
	}
}

// addRedirects understands a module that a .pth line imports for its effect: what editables writes (used by hatchling and
// pdm), and scikit-build-core. It says whether it is one.
func (s *site) addRedirects(file string) bool {
	b, err := s.view.ReadFile(file, maxPth)
	if err != nil {
		return false
	}
	text := string(b)
	switch {
	case strings.HasPrefix(text, "from editables.redirector import RedirectingFinder as F\n"):
		e := &editable{finder: file, mapping: map[string]string{}, files: true}
		for lex := newLexer(text); lex.next(); {
			toks := lex.tokens
			if len(toks) < 7 || toks[2].text != "map_module" {
				continue
			}
			name, ok1 := toks[4].value()
			target, ok2 := toks[6].value()
			if ok1 && ok2 {
				e.mapping[name] = target
			}
		}
		s.editing = append(s.editing, e)
		return true
	case strings.Contains(text, "class ScikitBuildRedirectingFinder"):
		return s.addScikitBuild(file, text)
	}
	return false
}

// A redirect is where a finder that goes before all others has a module.
type redirect struct {
	file   string
	path   []string // further directories of a package
	finder string   // the file of the finder
}

// addScikitBuild notes where an editable install of scikit-build-core has its modules
// (scikit_build_core/resources/_editable_redirect.py): sources, what CMake built, directories. One that builds at the first
// import is not known.
func (s *site) addScikitBuild(finder, text string) bool {
	for lex := newLexer(text); lex.next(); {
		toks := lex.tokens
		if lex.indent > 0 || toks[0].text != "install" || len(toks) < 4 || toks[2].text != "{" {
			continue
		}
		if s.redirects == nil {
			s.redirects = map[string]*redirect{}
		}
		for dict := 0; len(toks) > 0 && dict < 3; dict++ {
			end := slices.IndexFunc(toks, func(t token) bool { return t.text == "}" })
			if end < 0 {
				break
			}
			eachItem(toks[:end+1], func(name string, files []string) {
				for i := range files {
					if !path.IsAbs(files[i]) {
						files[i] = path.Join(path.Dir(finder), files[i])
					}
				}
				switch r := s.redirects[name]; {
				case dict < 2:
					s.redirects[name] = &redirect{file: files[0], finder: finder}
				case r != nil:
					r.path = files
				}
			})
			toks = toks[end+1:]
		}
		builds := slices.ContainsFunc(pairsOf(toks), func(p [2]token) bool { return p[0].kind == tokString && p[1].text == "True" })
		if builds {
			s.redirects = nil
		}
		return !builds && len(s.redirects) > 0
	}
	return false
}

// pairsOf are the arguments of a call that stand beside each other.
func pairsOf(toks []token) (all [][2]token) {
	for i := 2; i < len(toks); i++ {
		if toks[i-1].text == "," {
			all = append(all, [2]token{toks[i-2], toks[i]})
		}
	}
	return all
}

// redirected looks a name up in what goes before all other finders.
func (s *site) redirected(f *finder, name string) *spec {
	r := s.redirects[name]
	if r == nil {
		return nil
	}
	found := f.at(name, r.file)
	if found.isPkg {
		for _, dir := range r.path {
			if !slices.Contains(found.path, dir) {
				found.path = append(found.path, dir)
			}
		}
	}
	return found
}

// findEditable looks a name up as the finders of editable installs do.
func (s *site) findEditable(f *finder, name string) *spec {
	for _, e := range s.editing {
		target, ok := e.mapping[name]
		switch {
		case !ok:
		case e.files && !strings.Contains(name, "."):
			return f.at(name, target)
		case !e.files:
			if found := f.editable(name, target); found != nil {
				return found
			}
		}
	}
	return nil
}

// space is _EditableNamespaceFinder.find_spec of setuptools.
func (e *editable) space(name string) *spec {
	dirs, ok := e.namespaces[name]
	if !ok {
		return nil
	}
	if target, mapped := e.mapping[name]; len(dirs) == 0 && mapped {
		dirs = []string{target}
	}
	return &spec{name: name, kind: Namespace, isPkg: true, entry: e.hook, path: append(slices.Clone(dirs), e.hook)}
}

// editable is _EditableFinder._find_spec of setuptools: a package, or a module by one of all suffixes.
func (f *finder) editable(name, target string) *spec {
	if f.isFile(f.list(target), "__init__.py") {
		return f.at(name, path.Join(target, "__init__.py"))
	}
	l, base := f.list(path.Dir(target)), path.Base(target)
	base = strings.TrimSuffix(base, filepath.Ext(base)) // pathlib's with_suffix
	for _, s := range slices.Concat(f.suffixes[len(f.suffixes)-2:], f.suffixes[:len(f.suffixes)-2]) {
		if f.isFile(l, base+s.text) {
			return f.at(name, path.Join(path.Dir(target), base+s.text))
		}
	}
	return nil
}

// at is importlib.util.spec_from_file_location, of a file that need not be there.
func (f *finder) at(name, file string) *spec {
	dir, base := path.Split(file)
	dir = path.Clean(dir)
	s := &spec{name: name, file: file, entry: dir, kind: Source, absent: !f.isFile(f.list(dir), base), real: f.list(dir).realOf(base)}
	for _, end := range f.suffixes {
		if strings.HasSuffix(base, end.text) {
			s.kind = end.kind
			break
		}
	}
	if stem, _, _ := strings.Cut(base, "."); stem == "__init__" {
		s.isPkg, s.path, s.entry = true, []string{dir}, path.Dir(dir)
	}
	return s
}
