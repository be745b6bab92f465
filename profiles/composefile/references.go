package composefile

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"hostrun.dev/hostrun/pattern"
)

// This file deals with names by which a service means another one, or what the file describes.

// sharedNetwork tells where a name of another container is one of docker's, and of the network that is docker's own.
func (c *converter) sharedNetwork(s service) {
	k, mode := entry(s.body, "network_mode")
	if k == nil || c.said[k] {
		return // told where it stands
	}
	if name, ok := strings.CutPrefix(followed(mode).Value, "container:"); ok && c.serviceCalled(name) == "" && !c.isService(name) {
		c.say(k, s.name, "network_mode", Changed, "it has to be a container of hostrun's: %s", name)
	}
	if followed(mode).Value == "bridge" {
		c.say(k, s.name, "network_mode", Changed, "it is on the stack's own network, default; docker's bridge is one for all projects")
	}
}

// containers gives those who name another container of the file by its container_name the name that it has here.
func (c *converter) containers() {
	for _, s := range c.services() {
		for _, m := range append([]*yaml.Node{s.body}, allMerged(s.body)...) {
			for _, key := range []string{"network_mode", "pid", "ipc", "uts"} {
				k, v := entry(m, key)
				if k == nil {
					continue
				}
				if name, ok := strings.CutPrefix(followed(v).Value, "container:"); ok {
					c.renamed(s, k, followed(v), key, name, "container:", "")
				}
			}
			for _, key := range []string{"volumes_from", "external_links"} {
				_, list := entry(m, key)
				if list = followed(list); list == nil || list.Kind != yaml.SequenceNode {
					continue
				}
				for _, item := range list.Content {
					rest, container := strings.CutPrefix(followed(item).Value, "container:")
					if key == "volumes_from" && !container {
						continue // a service's
					}
					name, after, more := strings.Cut(rest, ":")
					if more {
						after = ":" + after
					}
					c.renamed(s, item, followed(item), key, name, "", after)
				}
			}
		}
	}
}

// renamed writes the service's name for that of its container.
func (c *converter) renamed(s service, at, v *yaml.Node, key, name, before, after string) {
	service := c.serviceCalled(name)
	if service == "" {
		return
	}
	v.SetString(before + service + after)
	c.say(at, s.name, key, Changed, "the container is called %s, as its profile", service)
}

// serviceCalled is the service with this container_name; "" for none.
func (c *converter) serviceCalled(name string) string {
	for _, s := range c.services() {
		if c.written[s.name].called == name {
			return s.name
		}
	}
	return ""
}

func (c *converter) isService(name string) bool {
	_, is := c.written[name]
	return is
}

// volumeName is what docker lets a volume be called (moby, volume/names); a single letter is a drive of Windows'.
var volumeName = pattern.New(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// undefined tells of names that nothing in the file has, which compose refuses; in a stack they could be another one's.
func (c *converter) undefined() {
	defined := map[string]map[string]bool{"depends_on": {}}
	for _, s := range c.services() {
		defined["depends_on"][s.name] = true
	}
	keys := []string{"networks", "volumes", "secrets", "configs"}
	for _, key := range keys {
		defined[key] = map[string]bool{}
		_, all := entry(c.root, key)
		for _, p := range pairsOf(followed(all)) {
			defined[key][p.key.Value] = true
		}
	}
	defined["networks"]["default"] = true
	for name := range c.hosts {
		defined["networks"][name] = true
	}
	for _, s := range c.services() {
		for _, key := range append(keys, "depends_on") {
			k, list := entry(s.body, key)
			if k == nil {
				continue
			}
			for _, name := range c.names(key, followed(list)) {
				if !defined[key][name] && !strings.Contains(name, "$") {
					what := key
					if key == "depends_on" {
						what = "services"
					}
					c.undescribed[s.name+" "+key+"."+name] = true
					c.say(k, s.name, key, Open, "%s is none of the file's %s:, and compose refuses it: correct the name, or describe it there", name, what)
				}
			}
		}
	}
}

// names are those that a service has under a key, as far as they are names of what the file describes.
func (c *converter) names(key string, list *yaml.Node) (names []string) {
	if key == "networks" || key == "depends_on" {
		return namesIn(list)
	}
	for _, item := range list.Content {
		item = followed(item)
		switch {
		case key == "volumes" && item.Kind == yaml.ScalarNode:
			if parts := colons(item.Value); len(parts) > 1 && volumeName.MatchString(parts[0]) {
				names = append(names, parts[0])
			}
		case key == "volumes":
			if source := value(item, "source"); value(item, "type") == "volume" && source != "" {
				names = append(names, source)
			}
		case item.Kind == yaml.ScalarNode:
			names = append(names, item.Value)
		case item.Kind == yaml.MappingNode:
			names = append(names, value(item, "source"))
		}
	}
	return names
}
