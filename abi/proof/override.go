package proof

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"hostrun.dev/hostrun/abi/imports"
	"hostrun.dev/hostrun/abi/ld"
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

// override is an error where a module that the command imports certainly fails, and would load without LD_LIBRARY_PATH. A
// program that loads the packages' own library first, by its path, gets that: the loader takes what is loaded already.
func (p *prover) override(file, own string) finding.Finding {
	f := finding.Finding{ID: finding.LibraryOverridden, Severity: finding.Warning, Subject: path.Base(file), Got: p.named(file) + " by LD_LIBRARY_PATH=" + p.r.Env["LD_LIBRARY_PATH"],
		Want: p.named(own) + ", which the packages bring", Remedy: "take " + path.Dir(file) + " out of LD_LIBRARY_PATH: what needs the toolkit finds it by ld.so.cache"}
	f.Message = fmt.Sprintf("LD_LIBRARY_PATH leads to %s in place of the packages' own %s", file, path.Base(own))
	for _, at := range p.order {
		m := p.judged[at]
		reached := m.Reach == imports.Required || m.Reach == imports.Attempted
		if !reached || m.Verdict != Version && m.Verdict != Undefined || !p.loadsWithout(m.Path) {
			continue
		}
		f.Message += "; " + m.Name + " loads without and fails with it: " + m.Message
		if m.Doubt == "" && m.Reach == imports.Required { // else the program catches it
			f.Severity = finding.Error
		}
		break
	}
	return f
}

// loadsWithout opens a module in a process that has no LD_LIBRARY_PATH.
func (p *prover) loadsWithout(file string) bool {
	interpreter, err := ld.Interpreter(p.view, p.r.Python.Real)
	if err != nil {
		return false
	}
	system, err := ld.NewSystem(p.view, interpreter, ld.Options{WorkingDirectory: p.r.WorkingDir, ISALevel: p.r.ISALevel})
	if err != nil {
		return false
	}
	defer system.Close()
	process, err := system.Start(p.r.Python.Real)
	if err != nil {
		return false
	}
	plain := &prover{view: p.view, tree: p.tree}
	_, result, _ := plain.provided(process, file, map[string]bool{})
	return result.Verdict == ld.OK
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
