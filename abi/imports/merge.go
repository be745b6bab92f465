package imports

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// merge adds what a program imports to the report.
func (s *scanner) merge(p *process, root Root) {
	s.report.Modules = slices.Grow(s.report.Modules, len(p.order))
	for _, name := range p.order {
		m := p.modules[name]
		key := name + "\x00" + m.spec.file
		at, there := s.merged[key]
		if !there {
			s.merged[key] = len(s.report.Modules)
			s.report.Modules = append(s.report.Modules, Module{Name: name, File: m.spec.place(), Kind: m.spec.kind, Reach: m.level.reach(), Fails: m.failure != nil,
				Side: s.side(m.spec.place()), By: m.by, Order: len(s.report.Modules), Entry: m.spec.entry})
			continue
		}
		if have := &s.report.Modules[at]; rank(have.Reach) < m.level {
			have.Reach = m.level.reach()
		}
	}
	for _, m := range p.misses {
		m.root = len(s.report.Roots)
		s.addMissing(*m)
	}
	s.shadows(p, root)
	s.report.NotChecked = append(s.report.NotChecked, p.checked...)
	s.strange += p.strange
}

func (s *scanner) addMissing(m Missing) {
	key := m.Name + "\x00" + m.At.String()
	i, there := s.misses[key]
	switch {
	case !there:
		s.misses[key] = len(s.report.Missing)
		s.report.Missing = append(s.report.Missing, m)
	case s.report.Missing[i].rank() < m.rank():
		s.report.Missing[i] = m
	}
}

// place is the file of a module, or the first directory of a namespace package.
func (s *spec) place() string {
	if s.file == "" && len(s.path) > 0 {
		return s.path[0]
	}
	return s.file
}

func (s *scanner) side(file string) string {
	for _, dir := range s.r.HostDirs {
		if within(file, dir) {
			return "host"
		}
	}
	return "image"
}

func within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

func rank(r Reach) level {
	for _, l := range []level{deferred, perhaps, attempted, required} {
		if l.reach() == r {
			return l
		}
	}
	return 0
}

// rank orders failures: those that end the command are alike.
func (m Missing) rank() int {
	if m.fatal() {
		return int(required)
	}
	return int(m.level)
}

// finish sorts and counts.
func (s *scanner) finish() {
	r := &s.report
	slices.SortStableFunc(r.Missing, func(a, b Missing) int {
		return cmp.Or(b.rank()-a.rank(), cmp.Compare(a.root, b.root), a.order-b.order)
	})
	for _, m := range r.Modules {
		r.Counts.Modules++
		switch m.Reach {
		case Required:
			r.Counts.Required++
		case Attempted:
			r.Counts.Attempted++
		case Possible:
			r.Counts.Possible++
		default:
			r.Counts.Deferred++
		}
	}
	if n := r.Counts.Deferred; n > 0 {
		r.NotChecked = append(r.NotChecked, NotChecked{What: "deferred", Name: fmt.Sprintf("%d modules", n), Reach: Deferred,
			Why: "functions import them when they are called; they were looked up, and what they import in turn was not followed"})
	}
	if s.strange > 0 {
		r.NotChecked = append(r.NotChecked, NotChecked{What: "name", Name: fmt.Sprintf("%d names", s.strange), Reach: Possible,
			Why: "statements take them from modules that have names from elsewhere (a star, globals(), __getattr__); whether they are there was not looked up"})
	}
	s.watch()
	r.Counts.Files, r.Counts.Bytes = int(s.loader.files.Load()), s.loader.bytes.Load()
}

// watch lists what was read, and what was looked for and is not there.
func (s *scanner) watch() {
	r := &s.report
	r.Real = map[string]string{}
	add := func(file, real string) {
		r.Watch = append(r.Watch, file)
		if real != "" {
			r.Real[file] = real
		}
	}
	for file, real := range s.loader.read.all() {
		add(file, real)
	}
	for dir, e := range s.finder.entries.all() {
		add(dir, e.read(s.finder, dir).real)
	}
	slices.Sort(r.Watch)
	r.Watch = slices.Compact(r.Watch)
}
