package composefile

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"hostrun.dev/hostrun/profiles"
)

// binds has the directories made that are not there yet, as compose does; in a profile that has to be said.
func (c *converter) binds(s service, m *yaml.Node) {
	key, list := entry(m, "volumes")
	if list = followed(list); list == nil || list.Kind != yaml.SequenceNode {
		return
	}
	for i, item := range list.Content {
		if c.dockerSocket(s, item) {
			continue
		}
		if item.Kind == yaml.AliasNode {
			own(item)
		}
		switch item.Kind {
		case yaml.ScalarNode:
			if long := c.longBind(item.Value); long != nil {
				long.HeadComment, long.LineComment, long.Line = item.HeadComment, item.LineComment, item.Line
				list.Content[i] = long
				if foot := item.FootComment; foot != "" && i+1 < len(list.Content) { // the encoder writes none below a mapping
					list.Content[i+1].HeadComment = strings.TrimPrefix(list.Content[i+1].HeadComment+"\n"+foot, "\n")
				} else if foot != "" {
					key.FootComment = foot
				}
				_, source := entry(long, "source")
				c.say(long, s.name, "volumes", Changed, "%s is not there: it is made at the start, as compose does (bind.create_host_path)", source.Value)
			}
		case yaml.MappingNode:
			// Compose makes it where there is a bind: (compose-go, transform/volume.go).
			kind, source := value(item, "type"), value(item, "source")
			if kind == "volume" && c.isPath(source) { // compose's library can't tell before a variable has its value
				put(item, "type", text("bind"))
				drop(item, "volume")
				put(item, "bind", flow())
				kind = "bind"
			}
			_, bind := entry(item, "bind")
			if bind = followed(bind); kind != "bind" || bind == nil || bind.Kind != yaml.MappingNode || !c.missing(source) {
				continue
			}
			if _, create := entry(bind, "create_host_path"); create == nil {
				put(bind, "create_host_path", boolean(true))
				c.say(item, s.name, "volumes", Changed, "%s is not there: it is made at the start, as compose does (bind.create_host_path)", source)
			}
		}
	}
}

// dockerSocket tells of a container that is to talk to docker. Nothing is made where its socket is not: that would be a directory.
func (c *converter) dockerSocket(s service, item *yaml.Node) bool {
	source := colons(item.Value)[0]
	if item.Kind == yaml.MappingNode {
		source = value(item, "source")
	}
	path, err := profiles.Interpolate(source, c.all)
	switch {
	case err != nil || filepath.Base(path) != "docker.sock":
		return false
	case c.missing(source):
		c.say(item, s.name, "volumes", Open, "%s is not there: hostrun has no such socket; without docker, what asks it can't be run", source)
	default:
		c.say(item, s.name, "volumes", Changed, "what asks docker there finds none of hostrun's containers")
	}
	return true
}

func value(m *yaml.Node, key string) string {
	if _, v := entry(m, key); v != nil {
		return followed(v).Value
	}
	return ""
}

// propagations are mount(8)'s words that stand among a volume's options.
var propagations = []string{"rprivate", "private", "rshared", "shared", "rslave", "slave"}

// longBind is the long form of SOURCE:TARGET[:OPTIONS], for a directory of the host that is missing; nil for all others.
func (c *converter) longBind(short string) *yaml.Node {
	parts := colons(short)
	if len(parts) < 2 || len(parts) > 3 || !c.isPath(parts[0]) || !c.missing(parts[0]) {
		return nil
	}
	bind := flow(text("create_host_path"), boolean(true))
	long := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{text("type"), text("bind"), text("source"), text(parts[0]), text("target"), text(parts[1])}}
	if len(parts) == 3 {
		for _, option := range strings.Split(parts[2], ",") {
			switch {
			case option == "ro":
				put(long, "read_only", boolean(true))
			case option == "z" || option == "Z":
				put(bind, "selinux", text(option))
			case slices.Contains(propagations, option):
				put(bind, "propagation", text(option))
			case option == "rw" || option == "cached" || option == "delegated" || option == "consistent":
			default:
				return nil
			}
		}
	}
	put(long, "bind", bind)
	return long
}

// missing reports whether nothing is at a path of the host. Of one with variables that have no value yet it can't be told.
func (c *converter) missing(source string) bool {
	path, err := profiles.Interpolate(source, c.all)
	switch {
	case err != nil || path == "":
		return false
	case path == "~" || strings.HasPrefix(path, "~/"):
		path = filepath.Join(c.opt.Env["HOME"], path[1:])
	case !strings.HasPrefix(path, "/"):
		path = filepath.Join(filepath.Dir(c.file.Path), path)
	}
	_, err = os.Stat(path)
	return os.IsNotExist(err)
}

// isPath reports whether a source is a path of the host, and no name of a volume.
func (c *converter) isPath(source string) bool {
	path, err := profiles.Interpolate(source, c.all)
	return err == nil && (strings.HasPrefix(path, ".") || strings.HasPrefix(path, "/") || strings.HasPrefix(path, "~"))
}

// colons splits at the colons that are not in ${...}.
func colons(s string) []string {
	var parts []string
	depth, start := 0, 0
	for i := range len(s) {
		switch {
		case s[i] == '{' && i > 0 && s[i-1] == '$':
			depth++
		case s[i] == '}' && depth > 0:
			depth--
		case s[i] == ':' && depth == 0:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
