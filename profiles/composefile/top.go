package composefile

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// shared are the keys beside services: that a stack has, too.
var shared = []string{"services", "name", "networks", "volumes", "secrets", "configs"}

// top rewrites what stands beside services:.
func (c *converter) top() {
	if k, _ := entry(c.root, "version"); k != nil {
		c.say(k, "", "version", Changed, "left out: compose ignores it, too")
		drop(c.root, "version")
	}
	for _, p := range pairs(c.root) {
		if name := p.key.Value; !slices.Contains(shared, name) && !strings.HasPrefix(name, "x-") {
			c.say(p.key, "", name, Dropped, "a stack has no such key")
			drop(c.root, name)
		}
	}
	c.networks()
	c.owned("volumes", "the data of docker's stays where it is: docker volume inspect %[1]s names the directory, hostrun's is /var/lib/hostrun/volumes/%[1]s")
	k, _ := entry(c.root, "services")
	k.Value = profilesKey
}

// machineNetworks finds the networks of the file that are docker's own by name, and takes them away: hostrun calls them network_mode.
func (c *converter) machineNetworks() {
	k, all := entry(c.root, "networks")
	all = followed(all)
	for _, p := range pairsOf(all) {
		one := followed(p.value)
		if one == nil || one.Kind != yaml.MappingNode {
			continue
		}
		_, external := entry(one, "external")
		if external = followed(external); external == nil || external.Value == "false" {
			continue
		}
		name := p.key.Value
		for _, n := range []*yaml.Node{one, external} {
			if v := value(n, "name"); v != "" {
				name = v
			}
		}
		if name != "host" && name != "none" {
			continue
		}
		c.hosts[p.key.Value] = name
		drop(all, p.key.Value)
		c.say(p.key, "", "networks."+p.key.Value, Changed, "left out: it is network_mode: %s of the services on it", name)
	}
	if len(c.hosts) > 0 && len(all.Content) == 0 {
		c.said[k] = true
		drop(c.root, "networks")
	}
}

// networks describes the stack's own network, and gives each the name that it has with compose.
func (c *converter) networks() {
	used := false
	for _, s := range c.services() {
		if n := c.lookup(s.body, "networks"); n != nil {
			for _, name := range namesIn(n) {
				used = used || name == "default"
			}
		}
	}
	k, all := entry(c.root, "networks")
	if all != nil && empty(all) {
		drop(c.root, "networks")
		all = nil
	}
	if all == nil {
		if !used {
			return
		}
		all = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		put(c.root, "networks", all)
	}
	if _, described := entry(followed(all), "default"); described == nil && used {
		put(followed(all), "default", flow())
	}
	if k != nil {
		c.said[k] = true
	}
	c.owned("networks", "")
}

// owned gives the networks or volumes of the file the names that compose gives them: PROJECT_NAME. So two stacks that call theirs
// alike do not share it.
func (c *converter) owned(key, note string) {
	k, all := entry(c.root, key)
	if all = followed(all); all == nil || all.Kind != yaml.MappingNode {
		return
	}
	c.said[k] = true
	for _, p := range pairs(all) {
		one := followed(p.value)
		if empty(one) || one.Kind == yaml.MappingNode && len(one.Content) == 0 {
			one = flow()
			put(all, p.key.Value, one)
		}
		if one.Kind != yaml.MappingNode {
			continue
		}
		at := key + "." + p.key.Value
		if _, external := entry(one, "external"); external != nil && followed(external).Value != "false" {
			c.say(p.key, "", at, Changed, "docker's is not hostrun's: it has to be one that another stack or profile describes, or be put into this one")
			continue
		}
		if _, name := entry(one, "name"); name != nil {
			c.say(p.key, "", at, Carried, "")
			continue
		}
		full := c.project + "_" + p.key.Value
		put(one, "name", text(full))
		if p.key.Line == 0 { // ours
			continue
		}
		outcome := "called " + full + ", as compose calls it"
		if note != "" {
			c.say(p.key, "", at, Changed, outcome+"; "+note, full)
		} else {
			c.say(p.key, "", at, Changed, "%s", outcome)
		}
	}
}
