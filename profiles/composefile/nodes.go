package composefile

import "go.yaml.in/yaml/v3"

// A pair is one key of a mapping, as it is written.
type pair struct{ key, value *yaml.Node }

const mergeKey = "<<"

// pairs are the keys of a mapping, without merge keys.
func pairs(m *yaml.Node) []pair {
	var all []pair
	if m.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value != mergeKey {
			all = append(all, pair{m.Content[i], m.Content[i+1]})
		}
	}
	return all
}

// pairsOf are those of a mapping that may not be there.
func pairsOf(m *yaml.Node) []pair {
	if m == nil {
		return nil
	}
	return pairs(m)
}

// entry is one key of a mapping itself; nil without.
func entry(m *yaml.Node, key string) (k, v *yaml.Node) {
	for _, p := range pairs(m) {
		if p.key.Value == key {
			return p.key, p.value
		}
	}
	return nil, nil
}

// merged are the mappings that the merge keys of m name, in the order of their precedence.
func merged(m *yaml.Node) []*yaml.Node {
	var all []*yaml.Node
	for i := 0; m.Kind == yaml.MappingNode && i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value != mergeKey {
			continue
		}
		m.Content[i].Tag = "" // else it is written as !!merge <<
		of := []*yaml.Node{m.Content[i+1]}
		if of[0].Kind == yaml.SequenceNode {
			of = of[0].Content
		}
		for _, n := range of {
			all = append(all, followed(n))
		}
	}
	return all
}

func followed(n *yaml.Node) *yaml.Node {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// drop removes a key.
func drop(m *yaml.Node, key string) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			m.Content = append(m.Content[:i:i], m.Content[i+2:]...)
			return
		}
	}
}

// put sets a key, behind all others where it is new.
func put(m *yaml.Node, key string, value *yaml.Node) {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			m.Content[i+1] = value
			return
		}
	}
	m.Content = append(m.Content, text(key), value)
}

func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

func boolean(yes bool) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: "false"}
	if yes {
		n.Value = "true"
	}
	return n
}

// flow makes a mapping on one line: {name: value}.
func flow(keysAndValues ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Style: yaml.FlowStyle, Content: keysAndValues}
}

func flowList(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Style: yaml.FlowStyle, Content: items}
}

// empty reports whether a value is nothing: "key:".
func empty(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }
