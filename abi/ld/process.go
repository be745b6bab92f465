package ld

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Bounds of a closure. Debian's torch, the largest known, has 300 objects and some thousand dependencies.
const (
	maxObjects      = 4096
	maxDependencies = 1 << 17
)

// A Process is a program with its closure loaded: the global scope. It never changes and is safe for concurrent use.
type Process struct {
	system  *System
	program *object
	objects []*object // in the order of _ns_loaded
	scope   []*object // the global one
	index   index
	tls     tlsSpace
	stack   bool      // is executable
	proofs  *sync.Map // *file -> *proofs
	symbols *symbolTable
}

// An index finds loaded objects.
type index struct {
	names   map[string]int // the names by which they were asked for, and their paths
	sonames map[string]int
	files   map[identity]int
}

func newIndex() index {
	return index{map[string]int{}, map[string]int{}, map[identity]int{}}
}

func put[K comparable](m map[K]int, key K, at int) {
	if _, taken := m[key]; !taken {
		m[key] = at
	}
}

// Start predicts the start of the program at path executable. A program whose libraries can't be loaded gives a
// *StartError with the loader's words; one without program interpreter ErrNotDynamic.
func (s *System) Start(executable string) (*Process, error) {
	f, fault := s.open(executable)
	if fault != nil {
		return nil, &StartError{Result{Verdict: fault.verdict, Message: fault.message(executable), Needed: executable}}
	}
	if f.interp == "" {
		return nil, fmt.Errorf("%s: %w", executable, ErrNotDynamic)
	}
	// The program's $ORIGIN is the link's target: /proc/self/exe (_dl_get_origin).
	program := &object{file: f, path: executable, name: executable, origin: s.originOf(f.real), how: ByPath, global: true}
	l := &loading{system: s, program: program, start: true, own: newIndex()}
	l.add(program)
	put(l.own.names, "", 0) // the name that link maps have for the program
	loader := &object{file: s.habits.loader, path: s.habits.interpreter, name: s.habits.interpreter,
		origin: s.originOf(s.habits.interpreter), how: ByLoader, by: program, loader: program}
	l.add(loader)
	put(l.own.names, loader.soname, 1)
	l.stack = f.executableStack()
	scope, fail := l.startScope()
	if fail == nil {
		fail = l.check(scope, scope)
	}
	if fail != nil {
		return nil, &StartError{l.result(fail)}
	}
	for _, o := range scope {
		o.global = true
	}
	p := &Process{system: s, program: program, objects: l.objects, scope: scope, index: l.own, stack: l.stack, proofs: &sync.Map{}, symbols: &symbolTable{}}
	p.tls = s.startTLS(l.objects)
	return p, nil
}

// startScope maps the preloaded objects and the closure of all.
func (l *loading) startScope() ([]*object, *failure) {
	roots := []*object{l.program}
	if l.system.habits.musl {
		return l.muslClosure(roots)
	}
	for _, name := range l.system.preloads() {
		o, fail := l.load(name, l.program, ByPreload)
		if fail != nil {
			if fail.killed {
				return nil, fail
			}
			continue // "object ... from LD_PRELOAD cannot be preloaded (...): ignored."
		}
		if !slices.Contains(roots, o) {
			roots = append(roots, o)
		}
	}
	return l.closure(roots)
}

// preloads returns LD_PRELOAD, then /etc/ld.so.preload (do_preload, elf/rtld.c).
func (s *System) preloads() []string {
	names := slices.Clone(s.options.Preload)
	b, err := s.view.ReadFile("/etc/ld.so.preload", 1<<20)
	if err != nil {
		return names
	}
	for _, line := range strings.Split(string(b), "\n") {
		line, _, _ = strings.Cut(line, "#")
		names = append(names, strings.FieldsFunc(line, func(c rune) bool { return strings.ContainsRune(" \t:", c) })...)
	}
	return names
}

// Objects returns what is loaded: the program first, then its closure in the order of its scope.
func (p *Process) Objects() []Object {
	var all []Object
	for _, o := range p.objects {
		all = append(all, o.describe())
	}
	return all
}

// Open predicts dlopen(name, RTLD_NOW|RTLD_LOCAL), which is what CPython's import does (Python/dynload_shlib.c). A
// name without a slash is searched for as a library, as from the program itself. The process does not change.
func (p *Process) Open(name string) Result {
	r, _, _ := p.open(name)
	return r
}

// OpenAll is Open for each of names, by as many workers. The results are in the order of the names. Once ctx is done no
// other file is begun, and its error is returned.
func (p *Process) OpenAll(ctx context.Context, names []string, workers int) ([]Result, error) {
	results := make([]Result, len(names))
	var next atomic.Int64
	var wait sync.WaitGroup
	for range max(min(workers, len(names)), 1) {
		wait.Go(func() {
			for at := next.Add(1) - 1; at < int64(len(names)) && ctx.Err() == nil; at = next.Add(1) - 1 {
				results[at] = p.Open(names[at])
			}
		})
	}
	wait.Wait()
	return results, ctx.Err()
}

// Touch reads what an Open of the file would read of it and of its libraries, symbols excepted, so that a later one finds
// it done. It is for disks that are cold.
func (p *Process) Touch(file string) {
	if p.system.habits.musl {
		return
	}
	l := &loading{system: p.system, program: p.program, parent: p, objects: slices.Clip(p.objects), own: newIndex(), stack: p.stack, tls: p.tls, placed: map[*object]bool{}}
	root, fail := l.load(file, p.program, ByPath)
	if fail != nil || l.isOld(root) {
		return
	}
	root.loader = nil
	list, _ := l.closure([]*object{root})
	for _, o := range list {
		_ = o.load()
	}
}

func (p *Process) open(name string) (Result, *loading, []*object) {
	l := &loading{system: p.system, program: p.program, parent: p, objects: slices.Clip(p.objects), own: newIndex(), stack: p.stack, tls: p.tls, placed: map[*object]bool{}}
	if p.system.habits.musl {
		r, list := l.muslOpen(name)
		return r, l, list
	}
	by := p.program
	root, fail := l.load(name, by, ByPath)
	if fail != nil {
		return l.result(fail), l, nil
	}
	if l.isOld(root) {
		return Result{Verdict: OK}, l, root.scope
	}
	root.loader = nil // __RTLD_CALLMAP: the caller lends its search path alone
	list, fail := l.closure([]*object{root})
	if fail == nil {
		fail = l.check(list, list)
	}
	root.scope = list
	return l.result(fail), l, list
}

// With returns the process after a successful dlopen of name; global makes it RTLD_GLOBAL. The result is that of Open;
// where it is not OK, the process returned is p.
func (p *Process) With(name string, global bool) (*Process, Result) {
	r, l, list := p.open(name)
	if r.Verdict != OK {
		return p, r
	}
	next := &Process{system: p.system, program: p.program, objects: l.objects, scope: p.scope, tls: l.tls, stack: l.stack}
	next.proofs, next.symbols = p.proofs, p.symbols // the global scope is the same, which is all that these depend on
	next.index = index{maps.Clone(p.index.names), maps.Clone(p.index.sonames), maps.Clone(p.index.files)}
	for name, at := range l.own.names {
		put(next.index.names, name, at)
	}
	for name, at := range l.own.sonames {
		put(next.index.sonames, name, at)
	}
	for id, at := range l.own.files {
		put(next.index.files, id, at)
	}
	if global {
		next.scope = slices.Clone(p.scope)
		for _, o := range list {
			if !slices.Contains(next.scope, o) {
				next.scope = append(next.scope, o)
			}
		}
		next.proofs, next.symbols = &sync.Map{}, &symbolTable{}
	}
	return next, r
}
