package ld

import (
	"path"
	"strings"
)

// An object is one link map: a file as a process has loaded it.
type object struct {
	*file
	path   string // l_name: as opened, links not resolved
	name   string // by which it was asked for
	origin string // $ORIGIN
	loader *object
	how    How
	by     *object
	global bool      // part of the global scope
	direct []*object // its dependencies
	scope  []*object // of an object that was opened: its closure, breadth first
}

func (o *object) describe() Object {
	d := Object{Name: o.name, Path: o.path, How: o.how}
	if o.file != nil {
		d.Real, d.Soname = o.real, o.soname
	}
	if o.by != nil {
		d.By = o.by.path
	}
	return d
}

// A finding is where a name was found.
type found struct {
	file *file
	path string
	how  How
}

// expand replaces $ORIGIN, $LIB and $PLATFORM, with and without braces (_dl_dst_substitute, elf/dl-load.c). False when a
// value is not known.
func (s *System) expand(text string, o *object) (string, bool) {
	if !strings.Contains(text, "$") {
		return text, true
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "$")
		b.WriteString(before)
		if !ok {
			return b.String(), true
		}
		value, length := s.token(rest, o)
		if length > 0 && value == "" {
			return "", false
		}
		if length == 0 {
			b.WriteByte('$')
		}
		b.WriteString(value)
		text = rest[length:]
	}
}

// token returns the value of the token that rest begins with, and its length; 0 when it is none.
func (s *System) token(rest string, o *object) (string, int) {
	for name, value := range map[string]func() string{
		"ORIGIN":   func() string { return o.origin },
		"LIB":      func() string { return s.habits.lib },
		"PLATFORM": func() string { return s.habits.platform },
	} {
		if strings.HasPrefix(rest, "{"+name+"}") {
			return value(), len(name) + 2
		}
		if after, ok := strings.CutPrefix(rest, name); ok && (after == "" || !wordByte(after[0])) {
			return value(), len(name)
		}
	}
	return "", 0
}

func wordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// directories splits a path list as fillin_rpath does: each ends in a slash; an empty one is the working directory.
func (s *System) directories(list []string, o *object) []string {
	var dirs []string
	for _, dir := range list {
		dir, ok := s.expand(dir, o)
		if !ok {
			continue
		}
		if dir == "" {
			dir = "./"
		}
		dirs = append(dirs, strings.TrimRight(dir, "/")+"/")
	}
	return dirs
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	dirs := strings.SplitN(list, ":", maxDirectories+1)
	return dirs[:min(len(dirs), maxDirectories)]
}

// A lookup is one search for a file by name (_dl_map_object, elf/dl-load.c).
type lookup struct {
	system *System
	name   string
	class  bool // a file of another word size was passed over
	arch   bool // a file of another machine was
}

// try opens one candidate. ok is false where the search goes on.
func (l *lookup) try(p string, how How) (found, *fault, bool) {
	file, f := l.system.open(p)
	if f == nil {
		return found{file, p, how}, nil, true
	}
	l.class = l.class || f.class
	l.arch = l.arch || f.verdict == Arch
	if f.skip {
		return found{}, nil, false
	}
	return found{path: p}, f, true
}

// in searches directories, in each the hwcaps subdirectories first (open_path).
func (l *lookup) in(dirs []string, how How) (found, *fault, bool) {
	for _, dir := range dirs {
		if l.system.directory(dir) == "" {
			continue
		}
		for _, sub := range l.system.subdirectories(dir) {
			if at, f, ok := l.try(dir+sub+l.name, how); ok {
				return at, f, true
			}
		}
	}
	return found{}, nil, false
}

// find looks name up for the object by, which may be nil for none; program is the main program.
func (s *System) find(name string, by, program *object) (found, *fault) {
	l := &lookup{system: s, name: name}
	if strings.Contains(name, "/") {
		return l.byPath(by)
	}
	for _, step := range []func(by, program *object) (found, *fault, bool){l.rpath, l.libraryPath, l.runpath, l.cache, l.defaults} {
		if at, f, ok := step(by, program); ok {
			return at, f
		}
	}
	if len(name) > 255 { // NAME_MAX
		return found{}, l.missing("File name too long")
	}
	return found{}, l.missing("No such file or directory")
}

func (l *lookup) byPath(by *object) (found, *fault) {
	p, ok := l.name, true
	if by != nil {
		p, ok = l.system.expand(l.name, by)
	}
	if !ok {
		return found{}, l.missing("No such file or directory")
	}
	file, f := l.system.open(p)
	if f == nil {
		return found{file, p, ByPath}, nil
	}
	if !f.skip {
		return found{path: p}, f
	}
	l.class, l.arch = f.class, f.verdict == Arch
	if f.errno == "" {
		f = &fault{errno: "No such file or directory"}
	}
	return found{}, l.missing(f.errno)
}

func (l *lookup) missing(errno string) *fault {
	f := &fault{verdict: Missing, text: "cannot open shared object file", errno: errno}
	if l.arch || l.class {
		f.verdict = Arch
	}
	if l.class {
		f.text, f.errno = "wrong ELF class: ELFCLASS32", ""
		if !l.system.habits.wide {
			f.text = "wrong ELF class: ELFCLASS64"
		}
	}
	return f
}

// rpath is DT_RPATH of the object, of its loaders and of the program; not at all when the object has DT_RUNPATH.
func (l *lookup) rpath(by, program *object) (found, *fault, bool) {
	if by != nil && by.runpath != "" {
		return found{}, nil, false
	}
	seen := false
	for o := by; o != nil; o = o.loader {
		seen = seen || o == program
		if at, f, ok := l.in(l.system.directories(split(o.rpath), o), ByRPath); ok {
			return at, f, ok
		}
	}
	if !seen && program != nil {
		return l.in(l.system.directories(split(program.rpath), program), ByRPath)
	}
	return found{}, nil, false
}

func (l *lookup) libraryPath(_, program *object) (found, *fault, bool) {
	if program == nil {
		return found{}, nil, false
	}
	return l.in(l.system.directories(l.system.options.LibraryPath, program), ByLibraryPath)
}

func (l *lookup) runpath(by, _ *object) (found, *fault, bool) {
	if by == nil {
		return found{}, nil, false
	}
	return l.in(l.system.directories(split(by.runpath), by), ByRunPath)
}

// cache asks ld.so.cache. An object with DF_1_NODEFLIB takes nothing from it that lies in a default directory.
func (l *lookup) cache(by, _ *object) (found, *fault, bool) {
	p := l.system.cached(l.name)
	if p == "" || by != nil && by.flags1()&df1NoDefLib != 0 && l.system.inDefault(p) {
		return found{}, nil, false
	}
	return l.try(p, ByCache)
}

func (s *System) inDefault(p string) bool {
	for _, dir := range s.habits.directories {
		if strings.HasPrefix(p, dir) {
			return true
		}
	}
	return false
}

func (l *lookup) defaults(by, _ *object) (found, *fault, bool) {
	if by != nil && by.flags1()&df1NoDefLib != 0 {
		return found{}, nil, false
	}
	return l.in(l.system.habits.directories, ByDefault)
}

// originOf is the directory of the path as opened; the working directory comes before a relative one.
func (s *System) originOf(p string) string {
	if !path.IsAbs(p) {
		p = strings.TrimRight(s.options.workingDirectory(), "/") + "/" + p
	}
	dir := p[:strings.LastIndexByte(p, '/')]
	if dir == "" {
		return "/"
	}
	return dir
}
