package composefile

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/pattern"
	"hostrun.dev/hostrun/profiles"
)

// maxRounds bounds how often the stack is read again: what one round takes away may have hidden something.
const maxRounds = 20

// stackName is the file of a text that is read before it is written.
const stackName = ".hostrun-import.yaml"

// settle reads the stack as hostrun would, and takes away what it does not do. What remains is for a person.
func (c *converter) settle() ([]byte, error) {
	for range maxRounds {
		stack, err := c.encode()
		if err != nil {
			return nil, err
		}
		problems, _, err := c.problems(stack, c.supposed(stack))
		if err != nil {
			return nil, err
		}
		places, err := locate(stack, problems)
		if err != nil {
			return nil, err
		}
		c.lines = c.linesOf(stack)
		if c.reread(places, problems) {
			continue
		}
		var gone []place
		for i, at := range places {
			if at == nil || problems[i].service != "" {
				continue
			}
			if p := problems[i]; p.ID == finding.ProfileNotYet && p.Key != "provider" || profiles.Never(p.Key) != "" {
				gone = append(gone, at)
				c.note(at, p, Dropped)
			}
		}
		if len(gone) == 0 {
			for i, at := range places {
				if !c.guessed(at) {
					c.note(at, problems[i], Open)
				}
			}
			_, beside, err := c.problems(stack, c.opt.Env) // what is supposed would hide those of .env
			if err != nil {
				return nil, err
			}
			for _, p := range beside {
				name := p.File
				if below, err := filepath.Rel(filepath.Dir(c.file.Path), name); err == nil && filepath.IsAbs(name) {
					name = below
				}
				note := fmt.Sprintf("%s:%d: %s", name, p.Line, p.Message)
				if p.Remedy != "" {
					note += ": " + p.Remedy
				}
				c.fields = append(c.fields, Field{Key: filepath.Base(p.File), Outcome: Open, Note: note})
			}
			return stack, nil
		}
		c.remove(gone)
	}
	return nil, errors.New("the stack can't be read to its end: too much of it is nothing that hostrun does")
}

// reread writes values as the text that YAML and compose read them as, where that is another one than what stands there: hostrun would
// ask which is meant. It reports whether there was any.
func (c *converter) reread(places []place, problems []problem) (any bool) {
	for i, at := range places {
		if at == nil || problems[i].Read == "" {
			continue
		}
		var parent *yaml.Node
		var last int
		c.walk(at, func(n *yaml.Node, i int) { parent, last = n, i })
		if parent.Kind != yaml.MappingNode {
			continue
		}
		v := followed(parent.Content[last+1])
		v.SetString(problems[i].Read)
		v.Style = yaml.DoubleQuotedStyle
		c.note(at, problems[i], Changed)
		any = true
	}
	return any
}

// A problem is what hostrun says of the stack; of a service as a whole, where it names no place.
type problem struct {
	profiles.Problem
	service string
}

// problems are those of all profiles of the text, each once; and those of files beside it that it reads, as .env and what env_file names. env are the
// caller's variables.
func (c *converter) problems(stack []byte, env map[string]string) (all, beside []problem, err error) {
	path := filepath.Join(filepath.Dir(c.file.Path), stackName)
	opt := c.opt
	opt.Text = map[string][]byte{path: stack}
	opt.Env = env
	seen := map[string]bool{}
	names := []string{path}
	for _, s := range c.services() {
		names = append(names, path+":"+s.name)
	}
	for _, name := range names {
		_, err := profiles.Load(opt, name)
		_, service, _ := strings.Cut(strings.TrimPrefix(name, path), ":")
		var whole *profiles.StackError
		var invalid *profiles.InvalidError
		switch {
		case err == nil, errors.As(err, &whole):
		case errors.As(err, &invalid):
			for _, p := range invalid.Problems {
				found := problem{Problem: p}
				if p.File == path && p.Line <= 1 && p.Column <= 1 { // it is nowhere in particular
					found.service = service
				}
				id := fmt.Sprint(found.service, p.File, p.Line, p.Column, p.Message)
				switch {
				case seen[id]:
				case p.File == path:
					all = append(all, found)
				default:
					beside = append(beside, found)
				}
				seen[id] = true
			}
		default:
			return nil, nil, err
		}
	}
	return all, beside, nil
}

// linesOf are the lines of the compose file for those of the stack, where they are known.
func (c *converter) linesOf(stack []byte) map[string]string {
	lines := map[string]string{}
	var walk func(n, back *yaml.Node)
	walk = func(n, back *yaml.Node) {
		if at := strconv.Itoa(back.Line); n.Line > 0 && lines[at] == "" {
			lines[at] = strconv.Itoa(n.Line)
		}
		for i := range min(len(n.Content), len(back.Content)) {
			walk(n.Content[i], back.Content[i])
		}
	}
	if back, err := profiles.Parse(stackName, stack); err == nil {
		walk(c.root, back)
	}
	return lines
}

var lineWords = pattern.New(`\bline ([0-9]+)`)

// ofTheFile are words of hostrun's about the stack as words about the compose file.
func (c *converter) ofTheFile(text string) string {
	text = strings.ReplaceAll(text, filepath.Join(filepath.Dir(c.file.Path), stackName), c.file.Shown)
	text = strings.ReplaceAll(text, stackName, c.file.Shown)
	return lineWords.ReplaceAllStringFunc(text, func(s string) string {
		if line := c.lines[strings.TrimPrefix(s, "line ")]; line != "" {
			return "line " + line
		}
		return s
	})
}

// supposed is the environment with a value for each variable that has none and needs one: the stack is read, not started.
func (c *converter) supposed(stack []byte) map[string]string {
	env := maps.Clone(c.opt.Env)
	if env == nil {
		env = map[string]string{}
	}
	for _, m := range required.FindAllStringSubmatch(string(stack), -1) {
		if _, set := c.env[m[1]]; !set && env[m[1]] == "" && c.unknown(m) {
			env[m[1]] = "1"
			c.supposedly[m[1]] = true
		}
	}
	return env
}

// guessed reports whether the value at a place holds a variable whose value was supposed: what is wrong with it is not known.
func (c *converter) guessed(at place) bool {
	if len(at) == 0 {
		return false
	}
	var parent *yaml.Node
	var last int
	value := c.walk(at, func(n *yaml.Node, i int) { parent, last = n, i })
	if parent.Kind == yaml.MappingNode {
		value = parent.Content[last+1]
	}
	for _, m := range required.FindAllStringSubmatch(value.Value, -1) {
		if c.supposedly[m[1]] {
			return true
		}
	}
	return false
}

// A place is the way from the root to a node: indices into Content. It ends at a key, or at an item of a list.
type place []int

// locate finds where problems are: the key that begins there, or the item of a list; nil for what is nowhere.
func locate(stack []byte, problems []problem) ([]place, error) {
	root, err := profiles.Parse(stackName, stack)
	if err != nil {
		return nil, err
	}
	found := make([]place, len(problems))
	var walk func(n *yaml.Node, at place)
	walk = func(n *yaml.Node, at place) {
		for i, child := range n.Content {
			here := append(at[:len(at):len(at)], i)
			for j, p := range problems {
				if p.service != "" {
					if len(here) == 2 && i%2 == 0 && root.Content[here[0]-1].Value == profilesKey && child.Value == p.service {
						found[j] = here
					}
					continue
				}
				if child.Line != p.Line || child.Column != p.Column {
					continue
				}
				// A mapping begins where its first key does: the key's own name tells which one is meant.
				named := n.Kind == yaml.MappingNode && i%2 == 0 && strings.HasSuffix("."+p.Key, "."+child.Value)
				if found[j] == nil || named {
					found[j] = ending(n, here)
				}
			}
			walk(child, here)
		}
	}
	walk(root, nil)
	return found, nil
}

// ending is the place of a value's key, where n is a mapping.
func ending(n *yaml.Node, at place) place {
	last := len(at) - 1
	if n.Kind == yaml.MappingNode && at[last]%2 == 1 {
		return append(at[:last:last], at[last]-1)
	}
	return at
}

// walk calls with each node on the way, the root first, and the index that is taken there.
func (c *converter) walk(at place, call func(parent *yaml.Node, index int)) (end *yaml.Node) {
	end = c.root
	for _, i := range at {
		call(end, i)
		end = end.Content[i]
	}
	return end
}

// ofSwarms are the keys of deploy that docker compose does not act on without a swarm.
var ofSwarms = []string{"deploy.endpoint_mode", "deploy.labels", "deploy.mode", "deploy.placement", "deploy.rollback_config", "deploy.update_config", "deploy.restart_policy.delay", "deploy.restart_policy.window"}

// note tells what became of the node at a place.
func (c *converter) note(at place, p problem, outcome Outcome) {
	text := strings.TrimPrefix(p.Message, p.Key+": ")
	if p.Remedy != "" && outcome == Open {
		text += ": " + p.Remedy
	}
	text = c.ofTheFile(text)
	if p.Read != "" && outcome == Changed {
		text += ", and that is what compose passes on"
	}
	if why := profiles.Never(p.Key); why != "" {
		text = why
	}
	if outcome == Dropped && slices.Contains(ofSwarms, p.Key) {
		outcome, text = Changed, "left out: it is for a swarm, and docker compose ignores it without one"
	}
	service, depth := "", 0
	end := c.walk(at, func(parent *yaml.Node, index int) {
		if depth++; depth == 2 && parent == c.profilesNode() {
			service = parent.Content[index-index%2].Value
		}
	})
	if end.Line == 0 && len(at) > 0 { // we wrote it: its key is the compose file's
		end = c.root
		for _, i := range at {
			if end = end.Content[i]; end.Line != 0 {
				break
			}
		}
	}
	if c.undescribed[service+" "+p.Key] {
		return
	}
	c.say(end, service, p.Key, outcome, "%s", text)
}

func (c *converter) profilesNode() *yaml.Node {
	_, n := entry(c.root, profilesKey)
	return followed(n)
}

// remove takes keys and items away, and what holds nothing without them.
func (c *converter) remove(places []place) {
	gone := map[*yaml.Node]bool{}
	for _, at := range places {
		gone[c.walk(at, func(*yaml.Node, int) {})] = true
	}
	prune(c.root, gone, "")
}

// memberships are the mappings whose keys mean something by themselves: a network of a service has no options, and is one.
var memberships = []string{profilesKey, "networks", "volumes", "secrets", "configs"}

// prune removes the nodes of a tree that are gone; it reports whether n, which stands under a key, holds nothing any more that held something.
func prune(n *yaml.Node, gone map[*yaml.Node]bool, key string) bool {
	if len(n.Content) == 0 || n.Kind == yaml.AliasNode {
		return false
	}
	var kept []*yaml.Node
	step := 1
	if n.Kind == yaml.MappingNode {
		step = 2
	}
	for i := 0; i+step <= len(n.Content); i += step {
		of := n.Content[i : i+step]
		below := ""
		if step == 2 {
			below = of[0].Value
		}
		if gone[of[0]] {
			continue
		}
		if prune(of[step-1], gone, below) {
			if step != 2 || !slices.Contains(memberships, key) {
				continue
			}
			of[1].Style |= yaml.FlowStyle // {}
		}
		kept = append(kept, of...)
	}
	n.Content = kept
	return len(kept) == 0
}
