package proof

import (
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi/ld"
	"hostrun.dev/hostrun/pattern"
)

// maxNamesakes bounds the files of which is read by which name the loader would know them.
const maxNamesakes = 64

// loadable are the names of libraries as programs load them: libfoo.so.bak is somebody's copy.
var loadable = pattern.New(`\.so(\.[0-9]+)*$`)

// providers are files of the host's packages that satisfy a need of name once a program has loaded them: those that are called
// so, else those that say so themselves (DT_SONAME: pyexiv2 loads lib/libexiv2.so for libexiv2.so.28). Of the latter those
// whose names begin alike are looked at, not all.
func (p *prover) providers(name string) []string {
	if have := p.tree.libraries[name]; len(have) > 0 || p.system == nil {
		return have
	}
	if known, ok := p.namesakes[name]; ok {
		return known
	}
	stem, _, _ := strings.Cut(name, ".so")
	var alike, found []string
	for file, paths := range p.tree.libraries {
		if strings.HasPrefix(file, stem) && loadable.MatchString(file) {
			alike = append(alike, paths...)
		}
	}
	for _, m := range p.tree.modules {
		if strings.HasPrefix(path.Base(m.Path), stem) {
			alike = append(alike, m.Path)
		}
	}
	slices.Sort(alike)
	for _, file := range alike[:min(len(alike), maxNamesakes)] {
		if p.system.Soname(file) == name {
			found = append(found, file)
		}
	}
	if p.namesakes == nil {
		p.namesakes = map[string][]string{}
	}
	p.namesakes[name] = found
	return found
}

// lendToProvider mends what keeps a provider from being loaded, if the host can: true when another try may end otherwise.
func (p *prover) lendToProvider(m *Module, result ld.Result, provider string) bool {
	if p.lender == nil || provider == "" || result.Verdict != ld.Missing {
		return false
	}
	_, failed, _ := p.provided(p.loaded, provider, map[string]bool{})
	return failed.Verdict != ld.OK && p.lend(m.Name, provider, failed)
}
