package imports

import (
	"slices"
	"strings"
)

// unbound reports a name that a from statement takes from a module whose text does not have it: a package of another version.
// It is claimed only where nothing tells of names that come from elsewhere.
func (p *process) unbound(name string, names []string, lvl level, at At) *failure {
	m := p.modules[name]
	if m == nil || m.vague || m.running || m.failure != nil || m.spec.kind != Source || m.spec.name != name || p.known(name) != "" || p.site.alias[name] != "" {
		return nil
	}
	u := p.loader.unit(m.spec)
	if u == nil || u.open || u.hook || u.problem != "" {
		return nil
	}
	text := ""
	for _, n := range names {
		if n == "*" || strings.HasPrefix(n, "__") || u.binds(n) || m.has[n] || p.modules[name+"."+n] != nil {
			continue
		}
		if text == "" {
			b, _, err := p.loader.text(m.spec, nil)
			if text = string(b); err != nil || hasWord(text, giving...) || p.nativeAround(name) || givesName(text) {
				m.vague = true
				return nil
			}
		}
		if !isPlain(n) || hasWord(text, n) || p.provider(name+"."+n, m) != "" {
			if m.has == nil {
				m.has = map[string]bool{}
			}
			m.has[n] = true
			continue
		}
		return p.notNamed(n, m, lvl, at)
	}
	return nil
}

// giving are words of modules that may have names which their text does not show.
var giving = []string{"__getattr__", "globals", "locals", "vars", "exec", "eval", "setattr", "__dict__", "__class__", "modules", "_convert", "_convert_", "_getframe", "currentframe", "__import__", "__builtins__", "builtins"}

// givesName says that a module hands its own name to a function that may fill it; to ask for a logger is not meant.
func givesName(text string) bool {
	for i := strings.Index(text, "__name__"); i >= 0; {
		before := strings.TrimRight(text[:i], " \t\n")
		after := strings.TrimLeft(text[i+len("__name__"):], " \t")
		asked := strings.HasSuffix(before, "getLogger(") || strings.HasSuffix(before, "get_logger(")
		if !asked && (strings.HasSuffix(before, "(") || strings.HasSuffix(before, ",") || strings.HasSuffix(before, "=")) && !strings.HasPrefix(after, "==") {
			return true
		}
		next := strings.Index(text[i+1:], "__name__")
		if next < 0 {
			break
		}
		i += 1 + next
	}
	return false
}

// hasWord says that one of some words stands in a text, wherever: in a string or a comment, too.
func hasWord(text string, words ...string) bool {
	return slices.ContainsFunc(words, func(word string) bool {
		for at := 0; ; {
			i := strings.Index(text[at:], word)
			if i < 0 {
				return false
			}
			start := at + i
			end := start + len(word)
			if (start == 0 || classes[text[start-1]]-byteName > 1) && (end == len(text) || classes[text[end]]-byteName > 1) {
				return true
			}
			at = end
		}
	})
}

func isPlain(name string) bool {
	return !strings.ContainsFunc(name, func(r rune) bool { return r >= 0x80 })
}

// nativeAround says that native code of the module's package, or of one around it, has been loaded: it may put names into any of its modules.
func (p *process) nativeAround(name string) bool {
	for _, loaded := range p.order {
		if m := p.modules[loaded]; m.spec.kind == Extension || m.spec.kind == Bytecode {
			if parent := parentName(loaded); parent != "" && (name == parent || strings.HasPrefix(name, parent+".")) {
				return true
			}
		}
	}
	return false
}
