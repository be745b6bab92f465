package composefile

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"hostrun.dev/hostrun/pattern"
)

// plain is a variable without a word for the case that it is not set. $$ is no variable.
var plain = pattern.New(`\$\$|\$\{[A-Za-z_][A-Za-z0-9_]*\}|\$[A-Za-z_][A-Za-z0-9_]*`)

// variables gives those without a default an empty one, which is what compose takes, with a warning; hostrun would not start. Those that
// the .env beside the file sets stay.
func (c *converter) variables() {
	seen := map[*yaml.Node]bool{}
	first := map[string]*yaml.Node{}
	var names []string
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if seen[n] || n.Kind == yaml.AliasNode { // an anchor is walked where it stands
			return
		}
		seen[n] = true
		if n.Kind == yaml.ScalarNode && strings.ContainsRune(n.Value, '$') {
			n.Value = plain.ReplaceAllStringFunc(n.Value, func(s string) string {
				name := strings.Trim(s, "${}")
				if _, set := c.env[name]; set || name == "" {
					return s
				}
				if first[name] == nil {
					first[name] = n
					names = append(names, name)
				}
				if name == projectVariable {
					return "${" + name + ":-" + c.project + "}"
				}
				return "${" + name + ":-}"
			})
		}
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				continue // keys have no variables
			}
			walk(child)
		}
	}
	walk(c.root)
	for _, name := range names {
		if name == projectVariable {
			c.fields = append(c.fields, Field{Key: "$" + name, Line: first[name].Line, Outcome: Changed, Note: "${" + name + ":-" + c.project + "}: compose sets it by itself"})
			continue
		}
		c.fields = append(c.fields, Field{Key: "$" + name, Line: first[name].Line, Outcome: Changed, Note: "${" + name + ":-}: empty where it is not set, as compose takes it; ${" + name + ":?why} would say so"})
	}
}

// required finds variables; the second group is not empty where there is a word for the case that it is not set.
var required = pattern.New(`\$\{?([A-Za-z_][A-Za-z0-9_]*)(:?-[^}])?`)
