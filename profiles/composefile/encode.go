package composefile

import (
	"bytes"
	"errors"
	"fmt"

	"go.yaml.in/yaml/v3"

	"hostrun.dev/hostrun/profiles"
)

// encode is the text of the file as it is by now. It is read again: the encoder writes some comments so that the text is no YAML any more, and
// folded lines so that they are others.
func (c *converter) encode() ([]byte, error) {
	mend(c.root, map[*yaml.Node]bool{})
	sayNull(c.root, map[*yaml.Node]bool{})
	for range maxRounds {
		stack, err := c.write()
		if err != nil {
			return nil, err
		}
		back, err := profiles.Parse(stackName, stack)
		switch {
		case err != nil && c.bare:
			return nil, err
		case err != nil:
			c.bare = true
			uncomment(c.root, map[*yaml.Node]bool{})
		case faithful(c.root, back):
			return stack, nil
		}
	}
	return nil, errors.New("write the stack: it would be read as another one")
}

func (c *converter) write() ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(c.root); err != nil {
		return nil, fmt.Errorf("write the stack: %w", err)
	}
	if err := e.Close(); err != nil {
		return nil, fmt.Errorf("write the stack: %w", err)
	}
	text := spaced(b.Bytes())
	if c.foot != "" && !c.bare {
		text = fmt.Appendf(text, "\n%s\n", c.foot)
	}
	return text, nil
}

// faithful compares the scalars of a tree with those that its text was read as, and puts those into quotes that came back as others.
func faithful(n, back *yaml.Node) bool {
	if n.Kind == yaml.AliasNode {
		return true
	}
	if n.Kind == yaml.ScalarNode {
		if back.Kind != yaml.ScalarNode || n.Value == back.Value || n.Style == yaml.DoubleQuotedStyle {
			return true
		}
		if n.Style&yaml.FoldedStyle != 0 {
			n.Style = yaml.LiteralStyle
		} else {
			n.Style = yaml.DoubleQuotedStyle
		}
		return false
	}
	same := true
	for i := range min(len(n.Content), len(back.Content)) {
		same = faithful(n.Content[i], back.Content[i]) && same
	}
	return same
}

// uncomment takes the comments away.
func uncomment(n *yaml.Node, seen map[*yaml.Node]bool) {
	if seen[n] {
		return
	}
	seen[n] = true
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	for _, child := range n.Content {
		uncomment(child, seen)
	}
}

// sayNull writes null for a value that is not there in {a: , b: }: the encoder would make an empty text of it.
func sayNull(n *yaml.Node, seen map[*yaml.Node]bool) {
	if seen[n] {
		return
	}
	seen[n] = true
	for _, child := range n.Content {
		if n.Style&yaml.FlowStyle != 0 && child.Kind == yaml.ScalarNode && child.Value == "" && child.ShortTag() == "!!null" {
			child.Value = "null"
		}
		sayNull(child, seen)
	}
}

// spaced puts an empty line in front of each key of the root and each profile: the encoder leaves none.
func spaced(text []byte) []byte {
	var out, held bytes.Buffer // held are the comments of what follows
	section, first := "", true
	for line := range bytes.Lines(text) {
		depth := len(line) - len(bytes.TrimLeft(line, " "))
		comment := line[depth] == '#'
		key := !comment && line[depth] != '-' && line[depth] != '\n'
		if comment && depth <= 2 {
			held.Write(line)
			continue
		}
		switch {
		case depth == 0 && key:
			if out.Len() > 0 {
				out.WriteByte('\n')
			}
			section, first = string(line), true
		case depth == 2 && key && section == profilesKey+":\n":
			if !first {
				out.WriteByte('\n')
			}
			first = false
		}
		held.WriteTo(&out)
		out.Write(line)
	}
	held.WriteTo(&out)
	return out.Bytes()
}

// footComment are the comments at the end of a text that belong to nothing.
func footComment(text []byte) string {
	var doc yaml.Node
	if yaml.Unmarshal(text, &doc) != nil {
		return ""
	}
	return doc.FootComment
}
