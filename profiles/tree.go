package profiles

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Bounds on what a profile may hold. Nobody writes such a file by hand; YAML aliases reach any size in a few lines.
const (
	maxFile  = 1 << 20 // bytes
	maxNodes = 5000    // values, after aliases
	maxDepth = 64
)

type kind int

const (
	scalar kind = iota
	list
	mapping
)

// A node is a value of a profile's file: aliases resolved, merge keys merged, variables substituted.
type node struct {
	kind  kind
	tag   string // of a scalar: "str", "int", "float", "bool", "null"
	text  string // of a scalar: as written, variables substituted
	pos   Position
	dir   string // of the file: relative paths are taken from it
	items []*node
	pairs []pair
	lost  []string // keys of a mapping whose values could not be read
	full  bool     // reading stopped at a bound
}

// A pair is one key of a mapping.
type pair struct {
	key   string
	pos   Position
	value *node
}

func (n *node) pair(key string) *pair {
	for i := range n.pairs {
		if n.pairs[i].key == key {
			return &n.pairs[i]
		}
	}
	return nil
}

// empty is YAML's null, a key without a value.
func (n *node) empty() bool { return n.kind == scalar && n.tag == "null" }

// blank is a text without anything in it: what ${MORE:-} comes to.
func (n *node) blank() bool {
	return n.kind == scalar && n.tag == "str" && strings.TrimSpace(n.text) == ""
}

// said is the pair of a key that has a value.
func (n *node) said(key string) *pair {
	if p := n.pair(key); p != nil && !p.value.empty() {
		return p
	}
	return nil
}

// describe says in words what n is.
func (n *node) describe() string {
	switch n.kind {
	case list:
		return "a list"
	case mapping:
		return "a mapping"
	}
	switch n.tag {
	case "int", "float":
		return "the number " + abridged(n.text)
	case "bool":
		return "the boolean " + abridged(n.text)
	case "null":
		return "empty"
	}
	return fmt.Sprintf("the text %q", abridged(n.text))
}

// any returns n as plain Go values, as Extensions holds them.
func (n *node) any() any {
	switch n.kind {
	case list:
		all := make([]any, len(n.items))
		for i, item := range n.items {
			all[i] = item.any()
		}
		return all
	case mapping:
		m := make(map[string]any, len(n.pairs))
		for _, p := range n.pairs {
			m[p.key] = p.value.any()
		}
		return m
	}
	return scalarValue(n)
}

// scalarValue returns the Go value of a scalar by YAML's rules.
func scalarValue(n *node) any {
	if n.tag == "str" {
		return n.text
	}
	var v any
	if err := (&yaml.Node{Kind: yaml.ScalarNode, Tag: "!!" + n.tag, Value: n.text}).Decode(&v); err != nil {
		return n.text
	}
	return v
}

// A grower makes nodes of one file's YAML.
type grower struct {
	file string // as shown
	dir  string
	find lookup // nil: variables stay as they are
	// verbatim reports whether the variables of a key of the file's root stay as they are.
	verbatim func(key string) bool
	report   *report
	nodes    int
	open     map[*yaml.Node]bool // anchors being expanded
	full     bool
}

func (g *grower) at(y *yaml.Node) Position { return Position{g.file, y.Line, y.Column} }

func (g *grower) bad(y *yaml.Node, remedy, format string, args ...any) {
	g.report.add(Problem{Position: g.at(y), Message: fmt.Sprintf(format, args...), Remedy: remedy})
}

// grow returns nil where nothing can be made of y; the problem is reported then.
func (g *grower) grow(y *yaml.Node, depth int) *node {
	if g.nodes++; g.nodes > maxNodes || depth > maxDepth {
		if !g.full {
			g.bad(y, "a profile is a short file: take aliases (*name) out", "the file holds too much: more than %d values, or deeper than %d levels", maxNodes, maxDepth)
		}
		g.full = true
		return nil
	}
	switch y.Kind {
	case yaml.AliasNode:
		return g.alias(y, depth)
	case yaml.SequenceNode:
		return g.list(y, depth)
	case yaml.MappingNode:
		n := &node{kind: mapping, pos: g.at(y), dir: g.dir}
		g.checkTag(y, "!!map")
		g.fill(n, y, depth)
		return n
	}
	return g.scalar(y)
}

func (g *grower) alias(y *yaml.Node, depth int) *node {
	if g.open[y.Alias] {
		g.bad(y, "remove the alias *"+y.Value, "the anchor &%s contains itself", y.Value)
		return nil
	}
	if g.open == nil {
		g.open = map[*yaml.Node]bool{}
	}
	g.open[y.Alias] = true
	defer delete(g.open, y.Alias)
	return g.grow(y.Alias, depth+1)
}

func (g *grower) list(y *yaml.Node, depth int) *node {
	n := &node{kind: list, pos: g.at(y), dir: g.dir}
	g.checkTag(y, "!!seq")
	for _, c := range y.Content {
		if item := g.grow(c, depth+1); item != nil {
			n.items = append(n.items, item)
		}
		if g.full {
			break
		}
	}
	return n
}

// fill adds the pairs of y to n. Keys that come with << give way to those that stand in the mapping itself, and the
// first of a list of merged mappings wins (yaml.org/type/merge.html).
func (g *grower) fill(n *node, y *yaml.Node, depth int) {
	var merges []*yaml.Node
	for i := 0; i+1 < len(y.Content) && !g.full; i += 2 {
		k, v := y.Content[i], y.Content[i+1]
		if k.Tag == "!!merge" {
			merges = append(merges, v)
			continue
		}
		key, ok := g.key(k)
		if !ok {
			continue
		}
		if first := n.pair(key); first != nil {
			g.bad(k, "remove one of the two", "key %q stands twice: first in line %d", key, first.pos.Line)
			continue
		}
		if value := g.value(key, v, depth+1); value != nil {
			n.pairs = append(n.pairs, pair{key, g.at(k), value})
		} else {
			n.lost = append(n.lost, key)
		}
	}
	for _, m := range merges {
		g.merge(n, m, depth)
	}
	n.full = g.full
}

func (g *grower) value(key string, y *yaml.Node, depth int) *node {
	if depth == 1 && g.verbatim != nil && g.verbatim(key) {
		find := g.find
		g.find = nil
		defer func() { g.find = find }()
	}
	return g.grow(y, depth)
}

func (g *grower) key(k *yaml.Node) (string, bool) {
	for k.Kind == yaml.AliasNode {
		k = k.Alias
	}
	if k.Kind != yaml.ScalarNode {
		g.bad(k, "write the key as plain text", "a key is %s", map[yaml.Kind]string{yaml.SequenceNode: "a list", yaml.MappingNode: "a mapping"}[k.Kind])
		return "", false
	}
	if tag := k.ShortTag(); tag != "!!str" && tag != "!!timestamp" {
		g.bad(k, fmt.Sprintf("put it in quotes: %q", k.Value), "the key %q is no text for YAML", abridged(k.Value))
		return "", false
	}
	return k.Value, true
}

func (g *grower) merge(n *node, y *yaml.Node, depth int) {
	m := g.grow(y, depth+1)
	if m == nil {
		return
	}
	sources := []*node{m}
	if m.kind == list {
		sources = m.items
	}
	for _, source := range sources {
		if source.kind != mapping {
			g.bad(y, "write <<: *anchor, or <<: [*one, *two]", "the merge key << takes a mapping, not %s", source.describe())
			continue
		}
		for _, p := range source.pairs {
			if n.pair(p.key) == nil {
				n.pairs = append(n.pairs, p)
			}
		}
	}
}

func (g *grower) scalar(y *yaml.Node) *node {
	n := &node{kind: scalar, text: y.Value, pos: g.at(y), dir: g.dir}
	switch tag := y.ShortTag(); tag {
	case "!!int", "!!float", "!!bool", "!!null", "!!str":
		n.tag = tag[2:]
	case "!!timestamp", "!!merge": // text that looks like a date or like <<; profiles know neither
		n.tag = "str"
	default:
		g.checkTag(y, "")
		return nil
	}
	if g.find == nil || !strings.Contains(n.text, "$") {
		return n
	}
	text, err := interpolate(n.text, g.find)
	if err != nil {
		g.bad(y, remedyOf(err), "%v", err)
		return nil
	}
	n.text = text
	return n
}

// checkTag refuses explicit tags such as compose's !reset, which works on files merged by -f.
func (g *grower) checkTag(y *yaml.Node, want string) {
	if tag := y.ShortTag(); tag != want {
		g.bad(y, "remove the tag", "the tag %s means nothing in a profile", abridged(tag))
	}
}
