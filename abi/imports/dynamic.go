package imports

import "strings"

// dynamic finds calls in a statement that import what their arguments say. A constant argument is followed.
func (p *parser) dynamic(toks []token) {
	if !p.lex.calls {
		return
	}
	for i, t := range toks {
		if t.kind != tokName || i+1 >= len(toks) || toks[i+1].text != "(" || i > 0 && toks[i-1].text == "def" || !isDynamic(t.text) {
			continue
		}
		s := statement{action: doDynamic, line: t.line, name: t.text}
		if t.text == "import_module" || t.text == "__import__" || t.text == "importorskip" {
			if name, ok := argument(toks[i+2:]); ok {
				s.action, s.soft = doImport, true
				s.name = strings.TrimLeft(name, ".")
				s.level = int32(len(name) - len(s.name))
			}
		}
		p.add(s)
	}
}

// isDynamic knows functions that import what their argument names.
func isDynamic(name string) bool {
	switch name {
	case "import_module", "__import__", "spec_from_file_location", "entry_points", "run_path", "run_module", "exec", "walk_packages",
		"load_entry_point", "load_module", "importorskip", "resolve_name":
		return true
	}
	return false
}

// argument returns the constant first argument of a call that names a module.
func argument(toks []token) (string, bool) {
	if len(toks) < 2 || toks[1].text != ")" && toks[1].text != "," {
		return "", false
	}
	name, ok := toks[0].value()
	return name, ok && isModuleName(strings.TrimLeft(name, "."))
}
