package composefile

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/profiles"
)

// plain is a variable without a word for the case that it is not set. $$ is no variable.
var plain = pattern.New(`\$\$|\$\{[A-Za-z_][A-Za-z0-9_]*\}|\$[A-Za-z_][A-Za-z0-9_]*`)

// variables gives those without a default an empty one, which is what compose takes, with a warning; hostrun would not start. Those that
// the .env beside the file sets stay.
func (c *converter) variables() {
	seen := map[*yaml.Node]bool{}
	first := map[string]*yaml.Node{}
	var names []string
	dollars, literal := 0, 0 // texts with dollar signs that begin no variable, and the line of the first
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if seen[n] || n.Kind == yaml.AliasNode { // an anchor is walked where it stands
			return
		}
		seen[n] = true
		if n.Kind == yaml.ScalarNode && strings.ContainsRune(n.Value, '$') {
			if escaped := profiles.EscapeDollars(n.Value); escaped != n.Value {
				n.Value = escaped
				if dollars++; dollars == 1 {
					literal = n.Line
				}
			}
			n.Value = plain.ReplaceAllStringFunc(c.projectForms(n), func(s string) string {
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
				c.emptied[name] = true
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
	if dollars > 0 {
		c.fields = append(c.fields, Field{Key: "$", Line: literal, Outcome: Changed, Note: fmt.Sprintf("$$: a dollar sign that begins no variable is meant itself, in %d of the file's texts", dollars)})
	}
	for _, name := range names {
		if name == projectVariable {
			c.fields = append(c.fields, Field{Key: "$" + name, Line: first[name].Line, Outcome: Changed, Note: "${" + name + ":-" + c.project + "}: compose sets it by itself"})
			continue
		}
		c.fields = append(c.fields, Field{Key: "$" + name, Line: first[name].Line, Outcome: Changed, Note: "${" + name + ":-}: empty where it is not set, as compose takes it; ${" + name + ":?why} would say so"})
	}
}

// projectForms is the text of a node in which $COMPOSE_PROJECT_NAME, which compose always sets, has the project's name instead of another default.
func (c *converter) projectForms(n *yaml.Node) string {
	const begin = "${" + projectVariable
	text, done := n.Value, strings.Builder{}
	for {
		i := strings.Index(text, begin)
		if i < 0 {
			done.WriteString(text)
			return done.String()
		}
		dollars := i - len(strings.TrimRight(text[:i], "$"))
		end, depth := i, 0
		for ; end < len(text); end++ {
			if text[end] == '{' {
				depth++
			} else if text[end] == '}' {
				if depth--; depth == 0 {
					break
				}
			}
		}
		word := strings.TrimPrefix(text[i+len(begin):min(end, len(text))], ":")
		if end == len(text) || dollars%2 != 0 || word == "" || !strings.ContainsRune("-?+", rune(word[0])) {
			done.WriteString(text[:i+len(begin)])
			text = text[i+len(begin):]
			continue
		}
		written := "${" + projectVariable + ":-" + c.project + "}"
		if word[0] == '+' {
			written = word[1:]
		}
		if written != text[i:end+1] {
			c.say(n, "", "$"+projectVariable, Changed, "%s: compose sets it by itself", written)
		}
		done.WriteString(text[:i] + written)
		text = text[end+1:]
	}
}

// required finds variables; the second group is there where there is a word for the case that it is not set, and the third where that is not empty.
var required = pattern.New(`\$\{?([A-Za-z_][A-Za-z0-9_]*)(:?-)?([^}])?`)

// unknown says whether the value of a variable that required has found is not known: none is set, and no default is the file's own.
func (c *converter) unknown(found []string) bool {
	return found[2] == "" || found[3] == "" && c.emptied[found[1]]
}
