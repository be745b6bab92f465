package ld

import "slices"

// A loading is one dlopen, or the start of a program, in progress.
type loading struct {
	system  *System
	program *object
	parent  *Process // nil at the start
	objects []*object
	own     index // of what this loading adds
	edges   int   // dependencies of what it adds
	start   bool
	stack   bool
	tls     tlsSpace
	placed  map[*object]bool // in the static TLS block
}

// A failure is a fault and where it was met.
type failure struct {
	*fault
	Result
}

func (l *loading) result(fail *failure) Result {
	r := Result{Verdict: OK}
	if fail != nil {
		r = fail.Result
	}
	old := 0
	if l.parent != nil {
		old = len(l.parent.objects)
	}
	for _, o := range l.objects[old:] {
		r.Loaded = append(r.Loaded, o.describe())
	}
	return r
}

// failed makes a failure with the loader's message about the object name.
func failed(f *fault, name string, r Result) *failure {
	r.Verdict, r.Message, r.Killed = f.verdict, f.message(name), f.killed
	return &failure{f, r}
}

func (l *loading) isOld(o *object) bool {
	return l.parent != nil && slices.Contains(l.parent.objects, o)
}

// byName finds a loaded object by a name that it was asked for by.
func (l *loading) byName(name string) (int, bool) {
	if l.parent != nil {
		if at, ok := l.parent.index.names[name]; ok {
			return at, true
		}
	}
	at, ok := l.own.names[name]
	return at, ok
}

func (l *loading) bySoname(name string) (int, bool) {
	if l.parent != nil {
		if at, ok := l.parent.index.sonames[name]; ok {
			return at, true
		}
	}
	at, ok := l.own.sonames[name]
	return at, ok
}

func (l *loading) byFile(id identity) (int, bool) {
	if l.parent != nil {
		if at, ok := l.parent.index.files[id]; ok {
			return at, true
		}
	}
	at, ok := l.own.files[id]
	return at, ok
}

// loaded finds the first loaded object that has the name, or that has it as DT_SONAME and has the name from then on.
func (l *loading) loaded(name string) *object {
	at, known := l.byName(name)
	if so, ok := l.bySoname(name); ok && (!known || so < at) {
		put(l.own.names, name, so)
		at, known = so, true
	}
	if !known {
		return nil
	}
	return l.objects[at]
}

func (l *loading) add(o *object) {
	at := len(l.objects)
	l.objects = append(l.objects, o)
	put(l.own.names, o.name, at)
	put(l.own.names, o.path, at)
	if o.soname != "" {
		put(l.own.sonames, o.soname, at)
	}
	put(l.own.files, o.id, at)
}

// load maps the object that by needs under the name (_dl_map_object, elf/dl-load.c).
func (l *loading) load(name string, by *object, how How) (*object, *failure) {
	if o := l.loaded(name); o != nil {
		return o, nil
	}
	at, f := l.system.find(name, by, l.program)
	if f != nil {
		return nil, l.notFound(f, name, at.path, by, how)
	}
	if known, ok := l.byFile(at.file.id); ok {
		put(l.own.names, name, known)
		return l.objects[known], nil
	}
	if f := l.tooLarge(at.file); f != nil {
		return nil, failed(f, name, Result{Object: at.path})
	}
	if f := l.admit(at.file); f != nil {
		return nil, failed(f, name, Result{Object: at.path})
	}
	o := &object{file: at.file, path: at.path, name: name, origin: l.system.originOf(at.path), loader: by, how: at.how}
	if how == ByPath {
		o.by = nil
	} else {
		o.by = by
	}
	if how == ByPreload {
		o.how = ByPreload
	}
	l.add(o)
	return o, nil
}

// tooLarge holds the bounds of a closure.
func (l *loading) tooLarge(f *file) *fault {
	if l.edges += len(f.needed); len(l.objects) >= maxObjects || l.edges > maxDependencies {
		return corrupt("the closure has more than %d objects or %d dependencies", maxObjects, maxDependencies)
	}
	return nil
}

// notFound says what was missing. A file that is there and is damaged is named by its own path.
func (l *loading) notFound(f *fault, name, at string, by *object, how How) *failure {
	if f.verdict == Corrupt {
		return failed(f, at, Result{Object: at})
	}
	r := Result{Needed: name}
	if by != nil && how != ByPath {
		r.Object = by.path
	}
	return failed(f, name, r)
}

// admit is the rest of _dl_map_object_from_fd: what may be mapped into a running process.
func (l *loading) admit(f *file) *fault {
	flags := f.flags1()
	switch {
	case f.kind == etExec:
		return &fault{verdict: Gate, text: "cannot dynamically load executable"}
	case f.truncated:
		return busError()
	case !l.start && flags&df1NoOpen != 0:
		return &fault{verdict: Gate, text: "shared object cannot be dlopen()ed"}
	case !l.start && flags&df1PIE != 0 && l.system.habits.minor >= 30:
		return &fault{verdict: Gate, text: "cannot dynamically load position-independent executable"}
	case !l.start && f.executableStack() && !l.stack && l.system.habits.minor >= 41:
		return &fault{verdict: Gate, text: "cannot enable executable stack as shared object requires", errno: "Invalid argument"}
	}
	l.stack = l.stack || f.executableStack()
	return nil
}

// closure maps the dependencies of roots, breadth first, and returns the search list (_dl_map_object_deps,
// elf/dl-deps.c). A filter's library comes before the filter, which dlopen does not survive before glibc 2.35.
func (l *loading) closure(roots []*object) ([]*object, *failure) {
	list, fail := l.breadthFirst(roots)
	if fail == nil && !l.start && list[0] != roots[0] && l.system.habits.before(35) {
		f := &fault{verdict: Gate, killed: true,
			text: "Inconsistency detected by ld.so: dl-deps.c: _dl_map_object_deps: Assertion `map->l_searchlist.r_list[0] == map' failed! (a filter can't be opened)"}
		return list, failed(f, "", Result{Object: roots[0].path})
	}
	return list, fail
}

// A searchList is a closure that grows.
type searchList struct {
	objects []*object
	seen    map[*object]bool
}

// take puts an object at the end, or for a filter before the place at, also when it stands behind that already.
func (list *searchList) take(dep *object, tag uint64, at int) {
	seen := list.seen[dep]
	list.seen[dep] = true
	if tag == dtNeeded {
		if !seen {
			list.objects = append(list.objects, dep)
		}
		return
	}
	if seen {
		old := slices.Index(list.objects, dep)
		if old <= at {
			return
		}
		list.objects = slices.Delete(list.objects, old, old+1)
	}
	list.objects = slices.Insert(list.objects, at, dep)
}

func (l *loading) breadthFirst(roots []*object) ([]*object, *failure) {
	list := &searchList{slices.Clone(roots), map[*object]bool{}}
	done := map[*object]bool{}
	for _, o := range roots {
		list.seen[o] = true
	}
	for at := 0; at < len(list.objects); {
		o := list.objects[at]
		if done[o] {
			at++
			continue
		}
		done[o] = true
		if fail := l.dependencies(list, o, at); fail != nil {
			return list.objects, fail
		}
	}
	return list.objects, nil
}

// dependencies maps what o needs, which stands at a place of the list.
func (l *loading) dependencies(list *searchList, o *object, at int) *failure {
	var direct []*object
	for _, d := range o.needed {
		dep, fail := l.dependency(o, d)
		if fail != nil && d.tag == dtAuxiliary && !fail.killed {
			continue
		}
		if fail != nil {
			return fail
		}
		if dep == nil {
			continue
		}
		direct = append(direct, dep)
		list.take(dep, d.tag, at)
	}
	if !l.isOld(o) {
		o.direct = direct
	}
	return nil
}

// dependency maps one dependency; nil for the kernel's own object.
func (l *loading) dependency(o *object, d dependency) (*object, *failure) {
	name, ok := l.system.expand(d.name, o)
	if !ok {
		if d.tag == dtAuxiliary {
			return nil, nil
		}
		return nil, failed(&fault{verdict: Missing, text: "empty dynamic string token substitution"}, o.path, Result{Object: o.path, Needed: d.name})
	}
	switch name {
	case "linux-vdso.so.1", "linux-gate.so.1", "linux-vdso64.so.1", "linux-vdso32.so.1":
		return nil, nil
	}
	return l.load(name, o, "")
}
