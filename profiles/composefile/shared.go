package composefile

import (
	"slices"

	"go.yaml.in/yaml/v3"
)

// This file gives places that share a node their own where one of them is written anew: what is right for one service may be wrong for
// the next one that has the same anchor.

// sections are the mappings beside each other whose entries are rewritten, each for itself.
var sections = []string{"services", "networks", "volumes", "secrets", "configs"}

// copyOf is a deep copy without anchors and comments. Aliases in it lead where they led.
func copyOf(n *yaml.Node) *yaml.Node {
	made := *n
	made.Anchor, made.HeadComment, made.LineComment, made.FootComment = "", "", "", ""
	made.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		made.Content[i] = copyOf(child)
	}
	return &made
}

// own makes an alias the node itself, in the place of another's.
func own(n *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		line, column := n.Line, n.Column
		*n = *copyOf(followed(n))
		n.Line, n.Column = line, column
	}
}

// inline writes what the merge keys of a mapping bring into it.
func inline(m *yaml.Node) {
	for _, of := range allMerged(m) {
		for _, p := range pairs(of) {
			if k, _ := entry(m, p.key.Value); k == nil {
				m.Content = append(m.Content, copyOf(p.key), copyOf(p.value))
			}
		}
	}
	for {
		before := len(m.Content)
		if drop(m, mergeKey); len(m.Content) == before {
			return
		}
	}
}

// unshareSections makes each network, volume and service a node of its own.
func (c *converter) unshareSections() {
	for _, key := range sections {
		_, all := entry(c.root, key)
		if all == nil {
			continue
		}
		own(all)
		if all.Kind != yaml.MappingNode {
			continue
		}
		inline(all)
		for _, p := range pairs(all) {
			own(p.value)
		}
	}
}

// unshareKeys gives each service its own of the keys that are rewritten for it, where it has them of a mapping that it merges.
func (c *converter) unshareKeys() {
	bodies, templates := map[*yaml.Node]bool{}, map[*yaml.Node]bool{}
	onHost := false
	for _, s := range c.services() {
		bodies[s.body] = true
		ipc := c.lookup(s.body, "ipc")
		onHost = onHost || ipc != nil && ipc.Value == "host"
	}
	rewritten := []struct {
		key string
		is  bool
	}{{"container_name", true}, {"shm_size", onHost}, {"networks", len(c.hosts) > 0}}
	for _, s := range c.services() {
		for _, of := range allMerged(s.body) {
			if of == s.body {
				continue
			}
			templates[of] = !bodies[of]
			for _, r := range rewritten {
				k, v := entry(of, r.key)
				if has, _ := entry(s.body, r.key); k != nil && has == nil && (r.is || bodies[of]) { // another service's is rewritten for that one
					s.body.Content = append(s.body.Content, copyOf(k), copyOf(v))
				}
			}
		}
	}
	for of, is := range templates {
		for _, r := range rewritten {
			if is && r.is {
				drop(of, r.key)
			}
		}
	}
}

// allMerged are the mappings that a mapping merges, and those that these merge, in the order of their precedence.
func allMerged(m *yaml.Node) (all []*yaml.Node) {
	var add func(m *yaml.Node)
	add = func(m *yaml.Node) {
		for _, of := range merged(m) {
			if !slices.Contains(all, of) {
				all = append(all, of)
				add(of)
			}
		}
	}
	add(m)
	return all
}

// mend makes aliases stand for themselves whose anchor has gone, or comes behind them by now. within are the anchors that n is a copy of.
func mend(n *yaml.Node, met map[*yaml.Node]bool, within ...*yaml.Node) {
	if n.Kind == yaml.AliasNode {
		if met[n.Alias] {
			return
		}
		of := n.Alias
		if slices.Contains(within, of) { // no YAML that can be read
			*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}
			return
		}
		own(n)
		within = append(within[:len(within):len(within)], of)
	}
	met[n] = true
	for _, child := range n.Content {
		mend(child, met, within...)
	}
}
