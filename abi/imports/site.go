package imports

import (
	"cmp"
	"fmt"
	"io/fs"
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
	view      *rootfs.View
	env       map[string]string
	py        abi.Python
	path      []string
	known     map[string]bool
	code      []pthCode
	editing   []*editable          // finders of editable installs, in the order of their installation
	redirects map[string]*redirect // modules that a finder before all others has elsewhere
	alias     map[string]string    // modules that a hook gives other names: distutils -> setuptools._distutils
	preset    map[string]string    // namespace packages that a .pth line makes: name -> directory
	absent    []pthCode            // lines that name a directory which is not there
	blocking  []string             // .pth files that are pipes: site waits for who writes to them
	mark      int                  // length of path when a file of hostrun's or of easy_install's began, -1 outside of it
	egg       int                  // entries that easy_install's files have put in front (sys.__egginsert)
	fails     map[pthPlace]bool    // lines whose code is known to raise: site leaves the rest of such a file out
}

// A pthCode is a line of a .pth file.
type pthCode struct {
	file  string
	line  int
	text  string
	known bool // what it does to the import system is done here: only whether its imports fail is of interest
}

// A pthPlace is where a line of a .pth file stands.
type pthPlace struct {
	file string
	line int
}

func (c pthCode) place() pthPlace { return pthPlace{c.file, c.line} }

// options say what of the environment the interpreter heeds.
type options struct {
	ignoreEnv bool // -E, -I
	noSite    bool // -S
	env       map[string]string
	cwd       string
	fails     map[pthPlace]bool // see site.fails
}

// newSite walks through site.main() (Lib/site.py).
func newSite(view *rootfs.View, py abi.Python, o options) *site {
	s := &site{view: view, env: o.env, py: py, known: map[string]bool{}, alias: map[string]string{}, preset: map[string]string{}, mark: -1, fails: o.fails}
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
			if fi, err := s.view.Stat(path.Join(dir, name)); err == nil && fi.Mode()&fs.ModeNamedPipe != 0 {
				s.blocking = append(s.blocking, path.Join(dir, name))
			}
			continue
		}
		s.addPth(dir, path.Join(dir, name), content)
	}
}

func (s *site) addPth(dir, file string, content []byte) {
	for _, line := range abi.ParsePth(content, s.py.Version) {
		at := pthCode{file: file, line: line.Number, text: line.Text}
		if line.Code {
			s.execute(dir, at)
			if s.fails[at.place()] {
				break // "Remainder of file ignored" (Lib/site.py, addpackage)
			}
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
	pathCall = pattern.New(`^import [\w., ]+; ?(?:(sys\.version_info\[:2\] == \((\d+), (\d+)\)) and )?\(?(?:` + literal + ` in sys\.path or )?` +
		`(site\.addsitedir|sys\.path\.append|sys\.path\.insert)\((?:(\d+), ?)?(` + literal + `)\)\)?;?$`)
	frontCall    = pattern.New(`sys\.path\.index\((?:'((?:[^'\\]|\\.)*)')\)`)
	markCall     = pattern.New(`^import sys; sys\.(?:_hostrun|__plen) = len\(sys\.path\);?$`)
	eggCall      = pattern.New(`^import sys; new=sys\.path\[sys\.__plen:\]; del sys\.path\[sys\.__plen:\]; p=getattr\(sys,'__egginsert',0\); sys\.path\[p:p\]=new; sys\.__egginsert = p\+len\(new\)$`)
	shimCall     = pattern.New(`os\.environ\.get\(var, '(\w+)'\) == 'local'; enabled and __import__\('_distutils_hack'\)\.add_shim`)
	finderImport = pattern.New(`^import (__editable__\w*_finder); (__editable__\w*_finder)\.install\(\);?$`)
	plainImport  = pattern.New(`^import (\w+);?$`)
	nspkgWords   = pattern.New(`sitedir'\], \*\(([^)]*)\)\)`)
	quotedWord   = pattern.New(`'(\w+)'`)
)

// literal is a string literal of Python on one line.
const literal = `(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")`

// execute does what known shapes of code in .pth files do to the import system. What any other line does is listed as not
// checked. The imports of all are followed.
func (s *site) execute(dir string, at pthCode) {
	at.known = true
	switch m := pathCall.FindStringSubmatch(at.text); {
	case m != nil:
		if m[1] != "" && (m[2] != strconv.Itoa(s.py.Version.Major) || m[3] != strconv.Itoa(s.py.Version.Minor)) {
			return
		}
		s.callPath(m[4], m[5], unquoted(m[6]))
	case markCall.MatchString(at.text):
		s.mark = len(s.path)
	case s.mark >= 0 && eggCall.MatchString(at.text):
		s.egg += s.moveAdded(s.egg)
	case s.mark >= 0 && frontCall.MatchString(at.text):
		s.moveFront(unquoted("'" + frontCall.FindStringSubmatch(at.text)[1] + "'"))
	case finderImport.MatchString(at.text):
		s.addFinder(path.Join(dir, finderImport.FindStringSubmatch(at.text)[1]+".py"))
	case nspkgWords.MatchString(at.text):
		s.addNamespace(dir, nspkgWords.FindStringSubmatch(at.text)[1])
	case shimCall.MatchString(at.text):
		if cmp.Or(s.env["SETUPTOOLS_USE_DISTUTILS"], shimCall.FindStringSubmatch(at.text)[1]) == "local" {
			s.alias["distutils"] = "setuptools._distutils"
		}
		at.known = false
	case plainImport.MatchString(at.text):
		at.known = s.addRedirects(path.Join(dir, plainImport.FindStringSubmatch(at.text)[1]+".py"))
	default:
		at.known = false
	}
	s.code = append(s.code, at)
}

// callPath adds one entry to sys.path as the function of that name does.
func (s *site) callPath(function, index, entry string) {
	if entry = path.Clean(entry); !path.IsAbs(entry) {
		return // relative to a working directory that the program may leave
	}
	switch function {
	case "site.addsitedir":
		s.addSiteDir(entry)
	case "sys.path.append":
		if !slices.Contains(s.path, entry) {
			s.join(entry)
		}
	case "sys.path.insert":
		n, _ := strconv.Atoi(index)
		s.path = slices.Insert(s.path, min(n, len(s.path)), entry)
	}
}

// moveFront puts what was added since the mark before an entry, as the last line of hostrun's own file does.
func (s *site) moveFront(before string) {
	at := slices.Index(s.path[:s.mark], before)
	if at < 0 {
		at = s.mark
	}
	s.moveAdded(at)
}

// moveAdded puts what was added since the mark to an index before it, and says how much that is.
func (s *site) moveAdded(to int) int {
	added := slices.Clone(s.path[s.mark:])
	s.path = slices.Insert(s.path[:s.mark], min(to, s.mark), added...)
	s.mark = -1
	return len(added)
}

// unquoted is the value of a string literal.
func unquoted(text string) string {
	text = text[1 : len(text)-1]
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

// addNamespace notes the package that a *-nspkg.pth file of setuptools makes.
func (s *site) addNamespace(dir, words string) {
	var parts []string
	for _, m := range quotedWord.FindAllStringSubmatch(words, -1) {
		parts = append(parts, m[1])
		s.preset[strings.Join(parts, ".")] = path.Join(append([]string{dir}, parts...)...)
	}
}
