package imports

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/rootfs"
)

// maxPth bounds one .pth file, and what else of the site directories is read as text, in bytes.
const maxPth = 4 << 20

// A site is the state of the import system when site is done.
type site struct {
	view    *rootfs.View
	env     map[string]string
	py      abi.Python
	path    []string
	known   map[string]bool
	code    []pthCode
	editing []editable        // finders of editable installs, in the order of their installation
	alias   map[string]string // modules that a hook gives other names: distutils -> setuptools._distutils
	preset  map[string]string // namespace packages that a .pth line makes: name -> directory
	absent  []pthCode         // lines that name a directory which is not there
	mark    int               // length of path when hostrun's own file began, -1 outside of it
}

// A pthCode is a line of a .pth file.
type pthCode struct {
	file string
	line int
	text string
}

// An editable is what one finder of setuptools maps (setuptools/command/editable_wheel.py).
type editable struct {
	finder  string // its file
	mapping map[string]string
}

// options say what of the environment the interpreter heeds.
type options struct {
	ignoreEnv bool // -E, -I
	noSite    bool // -S
	env       map[string]string
	cwd       string
}

// newSite walks through site.main() (Lib/site.py).
func newSite(view *rootfs.View, py abi.Python, o options) *site {
	s := &site{view: view, env: o.env, py: py, known: map[string]bool{}, alias: map[string]string{}, preset: map[string]string{}, mark: -1}
	if list := o.env["PYTHONPATH"]; list != "" && !o.ignoreEnv {
		for _, dir := range strings.Split(list, ":") {
			s.join(absolute(o.cwd, dir))
		}
	}
	s.join(stdlibZip(py))
	s.join(py.Stdlib)
	if py.Dynload != "" {
		s.join(py.Dynload)
	}
	if !o.noSite {
		dirs := py.SiteDirsDeclared // one that the interpreter's facts lack may be a mount's
		if len(dirs) == 0 {
			dirs = py.SiteDirs
		}
		for _, dir := range dirs {
			s.addSiteDir(dir)
		}
	}
	return s
}

// absolute is where a path of the process leads; an empty one is its working directory.
func absolute(cwd, p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join("/", cwd, p)
}

// join appends an entry of sys.path that is not there yet.
func (s *site) join(dir string) {
	if s.known[dir] {
		return
	}
	s.known[dir] = true
	s.path = append(s.path, dir)
}

// stdlibZip is where getpath.py puts the archive of the standard library, whether it is there or not.
func stdlibZip(py abi.Python) string {
	return path.Join(path.Dir(py.Stdlib), fmt.Sprintf("python%d%d.zip", py.Version.Major, py.Version.Minor))
}

// SysPath returns sys.path as site leaves it (Lib/site.py), without the command's own entry: PYTHONPATH, the standard
// library, the site directories with what their .pth files add. The user's site directory is left out: hostrun sets
// PYTHONNOUSERSITE.
func SysPath(view *rootfs.View, python abi.Python, env map[string]string) []string {
	return newSite(view, python, options{env: env}).path
}

// addSiteDir is site.addsitedir.
func (s *site) addSiteDir(dir string) {
	dir = path.Clean(dir)
	entries, err := s.view.ReadDir(dir)
	if err != nil {
		return
	}
	s.join(dir)
	for _, e := range entries {
		name := e.Name()
		if !strings.HasSuffix(name, ".pth") || strings.HasPrefix(name, ".") && abi.SkipsHiddenPth(s.py.Version) {
			continue
		}
		content, err := s.view.ReadFile(path.Join(dir, name), maxPth)
		if err != nil {
			continue
		}
		s.addPth(dir, path.Join(dir, name), content)
	}
}

func (s *site) addPth(dir, file string, content []byte) {
	for _, line := range abi.ParsePth(content, s.py.Version) {
		at := pthCode{file, line.Number, line.Text}
		if line.Code {
			s.execute(dir, at)
			continue
		}
		p := line.Text
		if !path.IsAbs(p) {
			p = path.Join(dir, p)
		}
		p = path.Clean(p)
		switch {
		case s.known[p]:
		case strings.ContainsRune(p, 0) || !s.view.Exists(p):
			s.absent = append(s.absent, at)
		default:
			s.join(p)
		}
	}
}

var (
	versionGuard = pattern.New(`sys\.version_info\[:2\] == \((\d+), (\d+)\)`)
	addSiteCall  = pattern.New(`site\.addsitedir\((?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")`)
	appendCall   = pattern.New(`sys\.path\.append\((?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")\)`)
	frontCall    = pattern.New(`sys\.path\.index\((?:'((?:[^'\\]|\\.)*)')\)`)
	markCall     = pattern.New(`sys\._hostrun = len\(sys\.path\)`)
	shimCall     = pattern.New(`os\.environ\.get\(var, '(\w+)'\) == 'local'; enabled and __import__\('_distutils_hack'\)\.add_shim`)
	finderImport = pattern.New(`^import (__editable__\w*_finder);`)
	nspkgWords   = pattern.New(`sitedir'\], \*\(([^)]*)\)\)`)
	quotedWord   = pattern.New(`'(\w+)'`)
)

// execute does what known shapes of code in .pth files do to sys.path. Any other line's imports are followed, and it is
// listed as not checked.
func (s *site) execute(dir string, at pthCode) {
	if m := versionGuard.FindStringSubmatch(at.text); m != nil {
		if m[1] != strconv.Itoa(s.py.Version.Major) || m[2] != strconv.Itoa(s.py.Version.Minor) {
			return
		}
	}
	switch {
	case markCall.MatchString(at.text):
		s.mark = len(s.path)
	case addSiteCall.MatchString(at.text):
		s.addSiteDir(unquoted(addSiteCall.FindStringSubmatch(at.text)))
	case appendCall.MatchString(at.text):
		if p := path.Clean(unquoted(appendCall.FindStringSubmatch(at.text))); !slices.Contains(s.path, p) {
			s.join(p)
		}
	case frontCall.MatchString(at.text) && s.mark >= 0:
		s.moveFront(unquoted(frontCall.FindStringSubmatch(at.text)))
	case finderImport.MatchString(at.text):
		s.addFinder(path.Join(dir, finderImport.FindStringSubmatch(at.text)[1]+".py"))
	case nspkgWords.MatchString(at.text):
		s.addNamespace(dir, nspkgWords.FindStringSubmatch(at.text)[1])
	case shimCall.MatchString(at.text):
		if cmp.Or(s.env["SETUPTOOLS_USE_DISTUTILS"], shimCall.FindStringSubmatch(at.text)[1]) == "local" {
			s.alias["distutils"] = "setuptools._distutils"
		}
		s.code = append(s.code, at)
	default:
		s.code = append(s.code, at)
	}
}

// moveFront puts what was added since the mark before an entry, as the last line of hostrun's own file does.
func (s *site) moveFront(before string) {
	added := slices.Clone(s.path[s.mark:])
	s.path, s.mark = s.path[:s.mark], -1
	at := slices.Index(s.path, before)
	if at < 0 {
		at = len(s.path)
	}
	s.path = slices.Insert(s.path, at, added...)
}

func unquoted(m []string) string {
	text := strings.Join(m[1:], "")
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			out.WriteByte(text[i])
			continue
		}
		i++
		width := map[byte]int{'x': 2, 'u': 4, 'U': 8}[text[i]]
		if n, err := strconv.ParseUint(text[i+1:min(len(text), i+1+width)], 16, 32); err == nil && width > 0 {
			out.WriteRune(rune(n))
			i += width
			continue
		}
		out.WriteByte(text[i])
	}
	return out.String()
}

func (s *site) addFinder(file string) {
	b, err := s.view.ReadFile(file, maxPth)
	if err != nil {
		return
	}
	s.editing = append(s.editing, editable{file, mappingOf(string(b))})
}

// mappingOf reads the literal MAPPING of an editable install's finder.
func mappingOf(text string) map[string]string {
	mapping := map[string]string{}
	for lex := newLexer(text); lex.next(); {
		toks := lex.tokens
		if toks[0].text != "MAPPING" {
			continue
		}
		open := slices.IndexFunc(toks, func(t token) bool { return t.text == "{" })
		for i := max(open, 0); i+3 < len(toks); i += 4 {
			key, ok1 := toks[i+1].value()
			value, ok2 := toks[i+3].value()
			if !ok1 || !ok2 || toks[i+2].text != ":" {
				break
			}
			mapping[key] = value
		}
		break
	}
	return mapping
}

// addNamespace notes the package that a *-nspkg.pth file of setuptools makes.
func (s *site) addNamespace(dir, words string) {
	var parts []string
	for _, m := range quotedWord.FindAllStringSubmatch(words, -1) {
		parts = append(parts, m[1])
		s.preset[strings.Join(parts, ".")] = path.Join(append([]string{dir}, parts...)...)
	}
}

// findEditable looks a top-level name up as the finders of editable installs do, which stand behind PathFinder.
func (s *site) findEditable(f *finder, name string) *spec {
	for _, e := range s.editing {
		if target, ok := e.mapping[name]; ok {
			if found := f.findIn(path.Base(target), path.Dir(target)); found != nil {
				found.name = name
				return found
			}
		}
	}
	return nil
}
