package profiles

import (
	"fmt"
	"strings"
)

// An entry is one NAME=VALUE of compose's list_or_dict: environment, labels, annotations, sysctls.
type entry struct {
	name  string
	value string
	bare  bool // a name without a value
	pos   Position
}

// named reads a mapping of names to values, or a list of NAME=VALUE.
func (d *decoder) named(n *node, path string, each func(entry)) {
	seen := map[string]Position{}
	once := func(e entry) {
		if first, twice := seen[e.name]; twice {
			d.badAt(e.pos, join(path, e.name), "remove one of the two", "%s stands twice: first in line %d", e.name, first.Line)
			return
		}
		seen[e.name] = e.pos
		d.mark(join(path, e.name), e.pos)
		each(e)
	}
	switch {
	case n.kind == mapping:
		for _, p := range n.pairs {
			if value, bare, ok := d.namedValue(p, path); ok {
				once(entry{p.key, value, bare, p.pos})
			}
		}
	case n.kind == list:
		set := *n
		set.items = nil
		for _, item := range n.items {
			if !item.blank() { // of "${MORE:-}"
				set.items = append(set.items, item)
			}
		}
		d.texts(&set, path, false, func(item *node, s string) {
			name, value, found := strings.Cut(s, "=")
			if name == "" || strings.TrimSpace(name) != name {
				d.bad(item, path, "write NAME=VALUE, without spaces around the =", "%q has no name before the =", abridged(s))
				return
			}
			once(entry{name, value, !found, item.pos})
		})
	default:
		d.bad(n, path, "write NAME: VALUE, or - NAME=VALUE, on lines of their own", "expected a mapping or a list, got %s", n.describe())
	}
}

// namedValue reads a value as compose does: numbers and booleans become text, null is a name without a value. Where
// that text is not what was written (1.10 becomes 1.1, 0x10 becomes 16), nobody can tell which was meant.
func (d *decoder) namedValue(p pair, path string) (value string, bare, ok bool) {
	n := p.value
	if n.kind != scalar || p.key == "" {
		d.bad(n, join(path, p.key), "write one value; in quotes if it has brackets or colons", "expected text, a number or true or false, got %s", n.describe())
		return "", false, false
	}
	if n.tag == "null" {
		return "", true, true
	}
	if read := fmt.Sprint(scalarValue(n)); n.tag != "str" && read != n.text {
		d.report.add(Problem{Position: n.pos, Key: join(path, p.key), Read: read, Message: fmt.Sprintf("%s: YAML reads %s as %s", join(path, p.key), n.text, read),
			Remedy: fmt.Sprintf("put it in quotes: %q", n.text)})
		return "", false, false
	}
	return n.text, false, true
}
