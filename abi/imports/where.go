package imports

import (
	"context"
	"strings"

	"hostrun.dev/hostrun/rootfs"
)

// Where returns the places in which the module is found, in the order of the search: the first is imported, the others are
// hidden by it. A namespace package has all of its directories. The command of r gives sys.path its first entry. Nothing
// found is no error.
func Where(ctx context.Context, view *rootfs.View, r Request, module string) ([]Candidate, error) {
	if !isModuleName(module) {
		return nil, ctx.Err()
	}
	s := &scanner{ctx: ctx, view: view, r: r, finder: newFinder(view, r.Python), merged: map[string]int{}, misses: map[string]int{}}
	defer s.finder.close()
	s.loader = newLoader(ctx, s.finder, newFacts(r.Python), nil, nil)
	defer s.loader.close()
	root := Root{Kind: "code"}
	if roots, _ := understand(view, r); len(roots) > 0 {
		root = roots[0]
	}
	made := s.site(root.Flags)
	p := newProcess(s.loader, made, made.path, false)
	if own, ok := s.ownEntry(root); ok {
		p.begin(own)
	}
	return s.candidates(p, module), ctx.Err()
}

// candidates looks the module up below its parents.
func (s *scanner) candidates(p *process, name string) []Candidate {
	if p.known(name) != "" {
		return []Candidate{s.candidate(p.find(name, p.path, nil))}
	}
	search := p.path
	var parent *module
	full := ""
	parts := strings.Split(name, ".")
	for _, part := range parts[:len(parts)-1] {
		full = strings.TrimPrefix(full+"."+part, ".")
		found := p.find(full, search, parent)
		if found == nil || !found.isPkg {
			return nil
		}
		parent, search = &module{spec: found}, found.path
	}
	var all []Candidate
	first := p.find(name, search, parent)
	if first == nil {
		return nil
	}
	if first.kind != Namespace {
		all = append(all, s.candidate(first))
	}
	for _, other := range s.finder.all(name, search) {
		if other.place() != first.place() || first.kind == Namespace {
			all = append(all, s.candidate(other))
		}
	}
	if len(all) == 0 {
		all = append(all, s.candidate(first))
	}
	return all
}

func (s *scanner) candidate(found *spec) Candidate {
	return Candidate{Entry: found.entry, File: found.place(), Kind: found.kind, Side: s.side(found.place())}
}
