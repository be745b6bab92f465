package ld

// Lend lets the loader find a library as if ld.so.cache named it: what a cache that is written later will hold. An entry of that
// name gives way. It must not run beside other methods; processes that were started before keep what they have loaded.
func (s *System) Lend(name, path string) {
	if s.habits.cache == nil {
		s.habits.cache = cacheIndex{}
	}
	s.habits.cache[name] = path
}

// Unlend takes back what Lend gave: the library is found at old again, or with "" not by the cache.
func (s *System) Unlend(name, old string) {
	delete(s.habits.cache, name)
	if old != "" {
		s.habits.cache[name] = old
	}
}

// Cached returns the path that ld.so.cache has for a library, "" for none.
func (s *System) Cached(name string) string { return s.cached(name) }

// Loader returns the path of the loader itself, as programs name it.
func (s *System) Loader() string { return s.habits.interpreter }

// SameMachine says whether both trees are for processors of one kind and word size.
func (s *System) SameMachine(other *System) bool {
	return s.habits.code == other.habits.code && s.habits.wide == other.habits.wide && s.habits.order == other.habits.order
}

// Closure returns the libraries that a dlopen of name maps into a process that has none yet, breadth first, itself first:
// where each is found, not whether their versions and symbols fit. The text is the loader's, about what is missing; "" when
// nothing is.
func (s *System) Closure(name string) ([]Object, string) {
	nobody := &object{file: &file{image: &image{machine: s.habits.machine}}}
	l := &loading{system: s, program: nobody, own: newIndex(), placed: map[*object]bool{}}
	loader := &object{file: s.habits.loader, path: s.habits.interpreter, name: s.habits.interpreter, origin: s.originOf(s.habits.interpreter), how: ByLoader}
	l.add(loader) // every process has it, wherever it lies
	put(l.own.names, loader.soname, 0)
	root, fail := l.load(name, nobody, "")
	if fail == nil {
		_, fail = l.closure([]*object{root})
	}
	r := l.result(fail)
	return r.Loaded[1:], r.Message
}

// A VersionNeed is one version that a file asks of a library (DT_VERNEED).
type VersionNeed struct{ Library, Version string }

// Versions are what a file asks of others, weak needs left out, and what it defines itself (DT_VERDEF).
type Versions struct {
	Needs   []VersionNeed
	Defines []string
}

// Versions reads the version tables of the file at a path; false where it can't be read.
func (s *System) Versions(path string) (Versions, bool) {
	f, fault := s.open(path)
	if fault != nil || f.load() != nil {
		return Versions{}, false
	}
	var v Versions
	for _, need := range f.versions.needs {
		for _, one := range need.versions {
			if !one.weak {
				v.Needs = append(v.Needs, VersionNeed{need.file, one.name})
			}
		}
	}
	for _, d := range f.versions.defs {
		v.Defines = append(v.Defines, d.name)
	}
	return v, true
}

// Size returns the bytes of the file at a path, 0 where it can't be read.
func (s *System) Size(path string) int64 {
	f, fault := s.open(path)
	if fault != nil {
		return 0
	}
	return f.size
}
