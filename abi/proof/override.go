package proof

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi/imports"
	"hostrun.dev/hostrun/finding"
)

// overridden tells of libraries that LD_LIBRARY_PATH leads to although the host's packages bring their own of the same
// name: DT_RUNPATH, which NVIDIA's wheels have, counts after it (ld.so(8)).
func (p *prover) overridden() []finding.Finding {
	if p.process == nil || p.r.Env["LD_LIBRARY_PATH"] == "" {
		return nil
	}
	var all []finding.Finding
	for _, file := range slices.Sorted(maps.Keys(p.files)) {
		own := p.tree.libraries[path.Base(file)]
		if len(own) == 0 || !p.byLibraryPath(file) || p.same(file, own) {
			continue
		}
		all = append(all, p.override(file, own[0]))
	}
	return all
}

func (p *prover) byLibraryPath(file string) bool {
	return slices.ContainsFunc(splitPath(p.r.Env["LD_LIBRARY_PATH"]), func(dir string) bool {
		return path.IsAbs(dir) && path.Clean(dir) == path.Dir(file)
	})
}

// same says whether a file is one of the packages' own.
func (p *prover) same(file string, own []string) bool {
	at, err := p.view.Resolve(file)
	return err != nil || slices.ContainsFunc(own, func(o string) bool {
		r, err := p.view.Resolve(o)
		return err == nil && r.Real == at.Real
	})
}

// override is an error where a module that the command imports fails for want of what the packages' own library has.
func (p *prover) override(file, own string) finding.Finding {
	f := finding.Finding{ID: finding.LibraryOverridden, Severity: finding.Warning, Subject: path.Base(file), Got: p.named(file) + " by LD_LIBRARY_PATH=" + p.r.Env["LD_LIBRARY_PATH"],
		Want: p.named(own) + ", which the packages bring", Remedy: "take " + path.Dir(file) + " out of LD_LIBRARY_PATH: what needs the toolkit finds it by ld.so.cache"}
	f.Message = fmt.Sprintf("LD_LIBRARY_PATH leads to %s in place of the packages' own %s", file, path.Base(own))
	for _, at := range p.order {
		m := p.judged[at]
		reached := m.Reach == imports.Required || m.Reach == imports.Attempted
		if reached && m.Doubt == "" && (m.Verdict == Version || m.Verdict == Undefined) && (m.Library == file || strings.Contains(m.Message, path.Base(file))) {
			f.Severity = finding.Error
			f.Message += "; " + m.Name + " fails for it: " + m.Message
			break
		}
	}
	return f
}

// named is a file and, where a link leads to it, its own name, which bears its version.
func (p *prover) named(file string) string {
	if r, err := p.view.Resolve(file); err == nil && path.Base(r.Path) != path.Base(file) {
		return file + " (" + path.Base(r.Path) + ")"
	}
	return file
}

// splitPath takes LD_LIBRARY_PATH apart (elf/dl-load.c, _dl_init_paths).
func splitPath(list string) []string {
	return strings.FieldsFunc(list, func(c rune) bool { return c == ':' || c == ';' })
}
