package ld

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// The rules of musl's loader (ldso/dynlink.c), as far as they tell which files it refuses, and by which words.

// readMuslPath reads where musl looks: /etc/ld-musl-ARCH.path, else its own list.
func (s *System) readMuslPath(interpreter string) error {
	name := strings.TrimPrefix(path.Base(interpreter), "ld-musl-")
	arch, _, _ := strings.Cut(name, ".so")
	s.habits.directories = []string{"/lib/", "/usr/local/lib/", "/usr/lib/"}
	b, err := s.view.ReadFile("/etc/ld-musl-"+arch+".path", 64<<10)
	if err != nil {
		return nil //nolint:nilerr // absent as a rule
	}
	dirs := strings.FieldsFunc(string(b), func(c rune) bool { return c == ':' || c == '\n' })
	s.habits.directories = s.directories(dirs, &object{})
	return nil
}

// muslReserved are the libraries that musl's own file stands for.
var muslReserved = []string{"c", "pthread", "rt", "m", "dl", "util", "xnet"}

func muslItself(name string) bool {
	rest, ok := strings.CutPrefix(name, "lib")
	base, _, dot := strings.Cut(rest, ".")
	return ok && dot && slices.Contains(muslReserved, base)
}

// muslClosure maps the dependencies of roots, breadth first.
func (l *loading) muslClosure(roots []*object) ([]*object, *failure) {
	list := slices.Clone(roots)
	for at := 0; at < len(list); at++ {
		for _, d := range list[at].needed {
			if d.tag != dtNeeded {
				continue
			}
			dep, fail := l.muslLoad(d.name, list[at])
			if fail != nil {
				return list, fail
			}
			if !slices.Contains(list, dep) && !l.isOld(dep) {
				list = append(list, dep)
			}
		}
	}
	return list, nil
}

// muslLoad is load_library.
func (l *loading) muslLoad(name string, by *object) (*object, *failure) {
	if muslItself(name) {
		return l.muslLoader(), nil
	}
	if at, ok := l.byName(name); ok {
		return l.objects[at], nil
	}
	at, f := l.muslFind(name, by)
	if f != nil {
		text := "Error loading shared library " + name + ": " + f.text
		if by != nil {
			text += " (needed by " + by.path + ")"
		}
		r := Result{Needed: name}
		if by != nil {
			r.Object = by.path
		}
		return nil, failed(&fault{verdict: f.verdict, text: text, killed: f.killed}, "", r)
	}
	if known, ok := l.byFile(at.file.id); ok {
		return l.objects[known], nil
	}
	if f := l.tooLarge(at.file); f != nil {
		return nil, failed(f, name, Result{Object: at.path})
	}
	if at.file.truncated {
		return nil, failed(busError(), name, Result{Object: at.path})
	}
	o := &object{file: at.file, path: at.path, name: name, origin: l.system.originOf(at.path), loader: by, by: by, how: at.how}
	if strings.Contains(name, "/") {
		o.name = o.path
	}
	l.add(o)
	return o, nil
}

func (l *loading) muslLoader() *object {
	for _, o := range l.objects {
		if o.how == ByLoader {
			return o
		}
	}
	return l.objects[0]
}

// muslFind searches LD_LIBRARY_PATH, the run paths of the object and its loaders, and the system's directories.
func (l *loading) muslFind(name string, by *object) (found, *fault) {
	s := l.system
	if strings.Contains(name, "/") {
		f, fault := s.open(name)
		return found{f, name, ByPath}, muslFault(fault)
	}
	look := &lookup{system: s, name: name}
	steps := []struct {
		how  How
		dirs []string
	}{{ByLibraryPath, s.directories(s.options.LibraryPath, l.program)}}
	for o := by; o != nil; o = o.loader {
		list := o.runpath
		if list == "" {
			list = o.rpath
		}
		steps = append(steps, struct {
			how  How
			dirs []string
		}{ByRunPath, s.directories(split(list), o)})
	}
	steps = append(steps, struct {
		how  How
		dirs []string
	}{ByDefault, s.habits.directories})
	for _, step := range steps {
		for _, dir := range step.dirs {
			if at, f, ok := look.try(dir+name, step.how); ok {
				return at, muslFault(f)
			}
		}
	}
	return found{}, &fault{verdict: Missing, text: "No such file or directory"}
}

// muslFault says what musl says: ENOEXEC for all that it can't map.
func muslFault(f *fault) *fault {
	switch {
	case f == nil:
		return nil
	case f.killed:
		return f
	case f.errno == "Too many levels of symbolic links":
		return &fault{verdict: Missing, text: "Symbolic link loop"}
	case f.verdict == Missing:
		return &fault{verdict: Missing, text: f.errno}
	}
	return &fault{verdict: f.verdict, text: "Exec format error"}
}

// muslOpen is dlopen. Versions of symbols are not looked at.
func (l *loading) muslOpen(name string) (Result, []*object) {
	root, fail := l.muslLoad(name, nil)
	if fail != nil {
		return l.result(fail), nil
	}
	if l.isOld(root) {
		return Result{Verdict: OK}, nil
	}
	list, fail := l.muslClosure([]*object{root})
	if fail != nil {
		return l.result(fail), nil
	}
	for _, o := range list {
		fail := l.muslKinds(o, list)
		if fail == nil {
			fail = l.muslBind(o, list)
		}
		if fail == nil {
			fail = l.muslTLS(o, list)
		}
		if fail != nil {
			return l.result(fail), nil
		}
	}
	return l.result(nil), list
}

func (l *loading) muslBind(o *object, scope []*object) *failure {
	if f := o.load(); f != nil {
		return failed(f, o.path, Result{Object: o.path})
	}
	b := &binding{loading: l, object: o, scope: l.scopeOf(scope), unversioned: true}
	fail := b.run()
	if fail == nil || fail.verdict != Undefined {
		return fail
	}
	r := fail.Result
	r.Version = ""
	return failed(&fault{verdict: Undefined, text: "Error relocating " + o.path + ": " + r.Symbol + ": symbol not found"}, "", r)
}

// muslKinds refuses what musl's do_relocs does not do: symbols that a function chooses (STT_GNU_IFUNC), and before 1.2.4
// packed relocations. Such a library runs its constructors by addresses that nobody has adjusted.
func (l *loading) muslKinds(o *object, scope []*object) *failure {
	var fail *failure
	b := &binding{loading: l, object: o, scope: l.scopeOf(scope), unversioned: true}
	if f := o.load(); f != nil {
		return failed(f, o.path, Result{Object: o.path})
	}
	f := o.eachRelocation(pltFirst, func(r relocation) bool {
		name := ""
		switch {
		case irelative(o.code, r.kind):
			fail = failed(&fault{verdict: Gate, text: fmt.Sprintf("Error relocating %s: unsupported relocation type %d", o.path, r.kind)}, "", Result{Object: o.path})
		case o.ownIfunc(r.symbol):
			if name = o.symbolName(r.symbol); b.lookup(&search{name: []byte(name), hash: gnuHash([]byte(name)), anyVersion: true}, nil) != nil {
				return true // another library's function
			}
			fail = failed(&fault{verdict: Undefined, text: "Error relocating " + o.path + ": " + name + ": symbol not found"}, "", Result{Object: o.path, Symbol: name})
		}
		return fail == nil
	})
	switch {
	case f != nil:
		return failed(f, o.path, Result{Object: o.path})
	case fail != nil:
		return fail
	}
	if l.system.habits.noRelr && o.packedConstructors() {
		f := &fault{verdict: Gate, text: "packed relocations (DT_RELR), which musl knows since 1.2.4: the process dies of SIGSEGV (Segmentation fault)", killed: true}
		return failed(f, o.path, Result{Object: o.path})
	}
	return nil
}

// irelative is R_*_IRELATIVE.
func irelative(machine uint16, kind uint32) bool {
	return machine == 62 && kind == 37 || machine == 183 && kind == 1032
}

// ownIfunc says that the symbol at an index is defined here, is not local, and is an IFUNC.
func (o *file) ownIfunc(index uint32) bool {
	var b [24]byte
	n := o.symbolSize()
	if index == 0 || !o.peek(b[:n], o.dynamic[dtSymtab]+uint64(index)*n) {
		return false
	}
	s := o.symbol(b[:n])
	return s.info&0xf == sttIfunc && s.section != shnUndef && s.info>>4 != stbLocal
}

// packedConstructors says that the first entry of DT_INIT_ARRAY is adjusted by DT_RELR.
func (o *file) packedConstructors() bool {
	first, ok := o.dynamic[dtInitArray]
	if !ok || o.dynamic[dtInitArraySz] == 0 || o.dynamic[dtRelrSz] == 0 || o.dynamic[dtRelrSz] > maxHashBytes {
		return false
	}
	b, f := o.at(o.dynamic[dtRelr], o.dynamic[dtRelrSz])
	if f != nil {
		return false
	}
	word := o.wordSize()
	at := uint64(0)
	for ; len(b) >= word; b = b[word:] { // generic ABI, "Relative relocation table"
		entry := o.word(b)
		if entry&1 == 0 {
			if entry == first {
				return true
			}
			at = entry + uint64(word)
			continue
		}
		if first >= at && (first-at)%uint64(word) == 0 {
			if bit := (first-at)/uint64(word) + 1; bit < uint64(8*word) && entry>>bit&1 == 1 {
				return true
			}
		}
		at += uint64((8*word - 1) * word)
	}
	return false
}

// muslVersion is the release that a text of musl's file says: "1.2.3".
var muslVersion = pattern.New("\\x00(\\d+)\\.(\\d+)\\.(\\d+)\\x00")

// readMuslVersion decides about rules that have changed. A file that does not tell its release has the newest rules.
func (s *System) readMuslVersion(interpreter string) {
	b, err := s.view.ReadFile(interpreter, maxMusl)
	if err != nil {
		return
	}
	m := muslVersion.FindStringSubmatch(string(b))
	if m == nil {
		return
	}
	var v [3]int
	for i := range v {
		v[i], _ = strconv.Atoi(m[i+1])
	}
	s.habits.noRelr = slices.Compare(v[:], []int{1, 2, 4}) < 0
}

// maxMusl bounds musl's own file, which has under 1 MB.
const maxMusl = 16 << 20

// muslTLS refuses variables of later objects in the static block: musl has no room left there.
func (l *loading) muslTLS(o *object, scope []*object) *failure {
	if o.dynamic[dtFlags]&dfStaticTLS == 0 {
		return nil
	}
	var fail *failure
	f := o.eachRelocation(eager, func(r relocation) bool {
		if !staticTLSKind(o.code, r.kind) {
			return true
		}
		owner := l.owner(o, r.symbol, scope)
		if owner == nil || l.isOld(owner) {
			return true
		}
		name := o.symbolName(r.symbol)
		text := "Error relocating " + o.path + ": " + name + ": initial-exec TLS resolves to dynamic definition in " + owner.path
		fail = failed(&fault{verdict: Gate, text: text}, "", Result{Object: o.path, Symbol: name})
		return false
	})
	if f != nil {
		return failed(f, o.path, Result{Object: o.path})
	}
	return fail
}
