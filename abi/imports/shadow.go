package imports

import (
	"path"
	"strings"
)

// shadows looks for modules that hide others: of the command's own directory, and of one side before the other.
func (s *scanner) shadows(p *process, root Root) {
	own, hasOwn := s.ownEntry(root)
	for _, name := range p.order {
		m := p.modules[name]
		if strings.Contains(name, ".") || m.spec.entry == "" || m.spec.kind == Namespace || name == "__main__" {
			continue
		}
		var hidden []string
		stdlib := false
		for _, other := range s.finder.all(name, p.path) {
			if other.entry == m.spec.entry || other.kind == Namespace {
				continue
			}
			isStd := within(other.entry, s.r.Python.Stdlib) && !s.inSite(other.entry)
			stdlib = stdlib || isStd
			if !isStd && within(m.by.File, other.entry) && !within(m.by.File, m.spec.entry) {
				p.skip("mixed", name, m.by, "comes from "+m.spec.entry+", and is used from "+other.entry+", which has one of its own: versions that it compares at run time", m.level)
			}
			hidden = append(hidden, other.place())
		}
		local := hasOwn && m.spec.entry == own
		if len(hidden) > 0 && m.level != deferred && (local || stdlib || s.side(hidden[0]) != s.side(m.spec.file)) {
			s.report.Shadowed = append(s.report.Shadowed, Shadowed{Name: name, File: m.spec.place(), Hidden: hidden, Local: local, Stdlib: stdlib})
		}
	}
}

func (s *scanner) inSite(entry string) bool {
	return path.Base(entry) == "site-packages" || path.Base(entry) == "dist-packages"
}

// all returns what each entry has under a name, in the order of the search.
func (f *finder) all(name string, search []string) []*spec {
	var found []*spec
	for _, entry := range search {
		if s := f.findIn(name, entry); s != nil {
			found = append(found, s)
		}
	}
	return found
}

// distributionModules reads the top-level modules of the first distribution of a name: top_level.txt, else RECORD.
func (s *scanner) distributionModules(p *process, name string) []string {
	for _, entry := range p.path {
		l := s.finder.list(entry)
		for file := range l.names {
			base, _, ok := strings.Cut(file, "-")
			if !ok || !strings.HasSuffix(file, ".dist-info") || normalise(base) != normalise(name) {
				continue
			}
			if b, err := s.view.ReadFile(path.Join(entry, file, "top_level.txt"), maxPth); err == nil {
				return strings.Fields(string(b))
			}
			return s.recordModules(path.Join(entry, file, "RECORD"))
		}
	}
	return nil
}

// recordModules are the packages and modules at the top of a RECORD (PEP 376).
func (s *scanner) recordModules(file string) []string {
	b, err := s.view.ReadFile(file, maxSource)
	if err != nil {
		return nil
	}
	seen := map[string]bool{}
	var names []string
	for line := range strings.SplitSeq(string(b), "\n") {
		name, _, _ := strings.Cut(line, ",")
		top, rest, dir := strings.Cut(name, "/")
		if dir && rest != "__init__.py" {
			continue
		}
		top = strings.TrimSuffix(top, ".py")
		if isModuleName(top) && !strings.Contains(top, ".") && !seen[top] {
			seen[top] = true
			names = append(names, top)
		}
	}
	return names
}

// normalise is PEP 503's.
func normalise(name string) string {
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r == '.' || r == '_' {
			return '-'
		}
		return r
	}, name))
}
