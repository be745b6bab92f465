package frameworks

import (
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// A requirement is one Requires-Dist of a distribution's metadata (PEP 508).
type requirement struct {
	text       string // as it is written, without the marker
	name       string // normalised
	extras     []string
	specifiers string // "==2.6.0", "" for any version
	marker     string
}

var requirementPattern = pattern.New(`^([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[([^\]]*)\])?\s*\(?([^;()@]*)\)?\s*(@[^;]*)?(?:;(.*))?$`)

// parseRequirement reads one. Those that name an address instead of versions ask for any version.
func parseRequirement(text string) (requirement, bool) {
	m := requirementPattern.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return requirement{}, false
	}
	r := requirement{name: normalise(m[1]), specifiers: strings.ReplaceAll(m[3], " ", ""), marker: strings.TrimSpace(m[5])}
	for extra := range strings.SplitSeq(m[2], ",") {
		if extra = strings.TrimSpace(extra); extra != "" {
			r.extras = append(r.extras, normalise(extra))
		}
	}
	r.text, _, _ = strings.Cut(strings.TrimSpace(text), ";")
	r.text = strings.TrimSpace(r.text)
	return r, true
}

// A marker is read by recursive descent: or, and, parentheses, comparisons (PEP 508, "Environment markers").
type marker struct {
	tokens []string
	known  bool
	vars   map[string]string
}

var markerToken = pattern.New(`\(|\)|'[^']*'|"[^"]*"|[<>=!~]=?=?|[A-Za-z_.]+`)

// applies says whether a requirement holds in an environment: variables of PEP 508 by name. What can't be read, or names
// what is not known, does not: nothing is claimed then.
func (r requirement) applies(vars map[string]string) bool {
	if r.marker == "" {
		return true
	}
	m := &marker{known: true, vars: vars}
	for _, token := range markerToken.FindAllStringSubmatch(r.marker, 256) {
		m.tokens = append(m.tokens, token[0])
	}
	holds := m.or(0)
	return holds && m.known && len(m.tokens) == 0
}

func (m *marker) next() string {
	if len(m.tokens) == 0 {
		m.known = false
		return ""
	}
	token := m.tokens[0]
	m.tokens = m.tokens[1:]
	return token
}

func (m *marker) is(word string) bool { return len(m.tokens) > 0 && m.tokens[0] == word }

func (m *marker) or(depth int) bool {
	holds := m.and(depth)
	for m.is("or") {
		m.next()
		right := m.and(depth)
		holds = holds || right
	}
	return holds
}

func (m *marker) and(depth int) bool {
	holds := m.atom(depth)
	for m.is("and") {
		m.next()
		right := m.atom(depth)
		holds = holds && right
	}
	return holds
}

func (m *marker) atom(depth int) bool {
	if m.is("(") && depth < 16 {
		m.next()
		holds := m.or(depth + 1)
		if m.next() != ")" {
			m.known = false
		}
		return holds
	}
	left, operator := m.value(m.next()), m.next()
	if operator == "not" {
		operator += " " + m.next()
	}
	return m.compare(left, operator, m.value(m.next()))
}

// value is that of a quoted text or of a variable.
func (m *marker) value(token string) string {
	if len(token) > 1 && strings.ContainsAny(token[:1], `'"`) {
		return token[1 : len(token)-1]
	}
	value, ok := m.vars[token]
	if !ok {
		m.known = false
	}
	return value
}

func (m *marker) compare(left, operator, right string) bool {
	switch operator {
	case "in":
		return strings.Contains(right, left)
	case "not in":
		return !strings.Contains(right, left)
	}
	if holds, known := allows(operator+right, left); known {
		return holds
	}
	switch operator {
	case "==":
		return left == right
	case "!=":
		return left != right
	}
	m.known = false
	return false
}

var runs = pattern.New(`[-_.]+`)

// normalise gives a distribution's name as it is compared (PEP 503).
func normalise(name string) string { return strings.ToLower(runs.ReplaceAllString(name, "-")) }
