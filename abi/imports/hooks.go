package imports

import "strings"

// hooks are loaded modules that write to the import system's tables, in the order of their loading. Each may give a place to
// what lies below its package, and to what stands in it as a string.
type hooks struct {
	known  map[*unit]bool
	names  []string
	named  map[string]int // string -> the first whose text has it, as index of names
	owners map[string]int // top-level package -> the first that belongs to it
}

func newHooks() hooks {
	return hooks{known: map[*unit]bool{}, named: map[string]int{}, owners: map[string]int{}}
}

func (h *hooks) add(u *unit, name string) {
	if h.known[u] {
		return
	}
	h.known[u] = true
	at := len(h.names)
	h.names = append(h.names, name)
	owner, _, _ := strings.Cut(name, ".")
	put(h.owners, owner, at)
	for _, text := range u.literals {
		put(h.named, text, at)
	}
}

func put(m map[string]int, key string, at int) {
	if _, taken := m[key]; !taken {
		m[key] = at
	}
}

// first names the first that may give full its place, "" for none. top is its top-level package, below says that it is
// not that itself.
func (h *hooks) first(full, top string, below bool) string {
	first := len(h.names)
	if at, ok := h.named[full]; ok {
		first = at
	}
	if at, ok := h.owners[top]; ok && below {
		first = min(first, at)
	}
	if first == len(h.names) {
		return ""
	}
	return h.names[first]
}
