package composefile

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"hostrun.dev/hostrun/profiles"
)

// profilesKey is what services: is called in a stack.
const profilesKey = "profiles"

// A service is one of the file.
type service struct {
	name string
	key  *yaml.Node
	body *yaml.Node // its mapping
}

// services are those of the file, before and after the key has its new name. What is no mapping is left for the reader of the stack.
func (c *converter) services() []service {
	_, all := entry(c.root, "services")
	if all == nil {
		_, all = entry(c.root, profilesKey)
	}
	var found []service
	for _, p := range pairs(followed(all)) {
		if body := followed(p.value); body.Kind == yaml.MappingNode {
			found = append(found, service{p.key.Value, p.key, body})
		}
	}
	return found
}

// layers are the mappings that a service is made of, those that win first: itself, what it merges, what it extends in this file.
func (c *converter) layers(body *yaml.Node) []*yaml.Node {
	var all []*yaml.Node
	seen := map[*yaml.Node]bool{}
	var add func(m *yaml.Node)
	add = func(m *yaml.Node) {
		if m == nil || seen[m] {
			return
		}
		seen[m] = true
		all = append(all, m)
		for _, n := range merged(m) {
			add(n)
		}
		if _, v := entry(m, "extends"); v != nil {
			name := extended(v)
			for _, s := range c.services() {
				if s.name == name {
					add(s.body)
				}
			}
		}
	}
	add(body)
	return all
}

// lookup is what a service has under a key, wherever it comes from; nil without.
func (c *converter) lookup(body *yaml.Node, key string) *yaml.Node {
	for _, m := range c.layers(body) {
		if _, v := entry(m, key); v != nil {
			return followed(v)
		}
	}
	return nil
}

// A written is what a service says that is rewritten for it, and that others may have of it.
type written struct {
	called   string     // container_name, where it is not the service's
	networks *yaml.Node // nil for none
}

// asWritten looks at all services before any is rewritten.
func (c *converter) asWritten() {
	c.written = map[string]written{}
	for _, s := range c.services() {
		var w written
		if v := c.lookup(s.body, "container_name"); v != nil && v.Value != s.name && v.Value != "" {
			w.called = v.Value
		}
		if v := c.lookup(s.body, "networks"); v != nil && len(namesIn(v)) > 0 { // an empty list is the network of all
			w.networks = copyOf(v)
		}
		c.written[s.name] = w
	}
}

func (c *converter) service(s service) {
	c.one(s)
	c.containerName(s)
	c.network(s)
	c.sharedMemory(s)
	for _, m := range append([]*yaml.Node{s.body}, merged(s.body)...) {
		if !c.visited[m] {
			c.visited[m] = true
			c.twice(s, m)
			c.binds(s, m)
			c.tags(s, m)
		}
	}
}

// twice takes away what a later entry of a list sets anew: compose lets the last one count, hostrun asks which is meant.
func (c *converter) twice(s service, m *yaml.Node) {
	for _, key := range []string{"environment", "labels", "annotations", "sysctls"} {
		_, list := entry(m, key)
		if list = followed(list); list == nil || list.Kind != yaml.SequenceNode {
			continue
		}
		last := map[string]int{}
		for i, item := range list.Content {
			name, _, _ := strings.Cut(followed(item).Value, "=")
			last[name] = i
		}
		var kept []*yaml.Node
		for i, item := range list.Content {
			if name, _, _ := strings.Cut(followed(item).Value, "="); last[name] != i {
				c.say(item, s.name, key+"."+name, Changed, "left out: it is set again in line %d, which counts", list.Content[last[name]].Line)
				continue
			}
			kept = append(kept, item)
		}
		list.Content = kept
	}
}

// sharedMemory takes shm_size away where docker ignores it, and hostrun asks which of the two is meant.
func (c *converter) sharedMemory(s service) {
	if ipc := c.lookup(s.body, "ipc"); ipc == nil || ipc.Value != "host" {
		return
	}
	for _, m := range c.layers(s.body) {
		if k, _ := entry(m, "shm_size"); k != nil {
			c.say(k, s.name, "shm_size", Changed, "left out: with ipc: host docker ignores it")
			drop(m, "shm_size")
		}
	}
}

// builtImages names what is built as compose does: the profile's name alone, which is hostrun's default, could be that of another
// stack's image. Who extends or merges a service that builds gets a name of its own.
func (c *converter) builtImages() {
	var unnamed []service
	for _, s := range c.services() {
		if c.lookup(s.body, "build") != nil && c.nothing(c.lookup(s.body, "image")) {
			unnamed = append(unnamed, s)
		}
	}
	for _, s := range unnamed {
		name := c.project + "-" + s.name
		put(s.body, "image", text(name))
		c.say(s.key, s.name, "image", Changed, "image: %s is written out: it is what compose calls the image that is built", name)
	}
}

// nothing says whether a text is not there, or empty for compose: its variables are not set.
func (c *converter) nothing(v *yaml.Node) bool {
	if v == nil {
		return true
	}
	text, err := profiles.Interpolate(v.Value, c.all)
	return err == nil && text == ""
}

// tags gives compose's profiles: the name that they have here, where a profile is a service.
func (c *converter) tags(s service, m *yaml.Node) {
	if k, v := entry(m, profilesKey); k != nil {
		names := namesIn(followed(v))
		if active := strings.Split(c.env["COMPOSE_PROFILES"], ","); slices.ContainsFunc(names, func(name string) bool { return slices.Contains(active, name) || slices.Contains(active, "*") }) {
			drop(m, profilesKey)
			c.say(k, s.name, profilesKey, Changed, "left out: COMPOSE_PROFILES in .env has it started with the others")
			return
		}
		k.Value = "tags"
		c.say(k, s.name, profilesKey, Changed, "called tags: hostrun up --tag %s starts it with the stack", strings.Join(names, ", or --tag "))
	}
}

// containerName takes container_name away, where it is another name than the service's: that of a container is its profile's.
func (c *converter) containerName(s service) {
	if c.written[s.name].called == "" {
		return
	}
	if k, _ := entry(s.body, "container_name"); k != nil {
		drop(s.body, "container_name")
		c.say(k, s.name, "container_name", Changed, "the container is called %s, as its profile", s.name)
	}
	if v := c.lookup(s.body, "container_name"); v != nil && v.Value != s.name { // of a service that this one is made of
		put(s.body, "container_name", text(s.name))
	}
}

// one takes the number of containers away where it is 1 and the container has a name: with a number hostrun counts them, and calls the first NAME-1.
func (c *converter) one(s service) {
	if c.lookup(s.body, "container_name") == nil && c.written[s.name].called == "" {
		return
	}
	is := func(v *yaml.Node) bool {
		n, err := profiles.Interpolate(followed(v).Value, c.all)
		return err == nil && n == "1"
	}
	if k, v := entry(s.body, "scale"); k != nil && is(v) {
		drop(s.body, "scale")
		c.say(k, s.name, "scale", Changed, "left out: it is one anyway")
	}
	_, deploy := entry(s.body, "deploy")
	if deploy = followed(deploy); deploy == nil {
		return
	}
	if k, v := entry(deploy, "replicas"); k != nil && is(v) {
		drop(deploy, "replicas")
		c.say(k, s.name, "deploy.replicas", Changed, "left out: it is one anyway")
	}
}

// network puts a service that names none on the stack's own network, as compose does: a profile's default is the machine's.
func (c *converter) network(s service) {
	c.noMode(s)
	called, networks := c.written[s.name].called, c.written[s.name].networks
	mode := c.lookup(s.body, "network_mode")
	if mode == nil && c.onMachine(s, networks) {
		return
	}
	switch {
	case mode != nil:
		c.sharedNetwork(s)
		return
	case networks == nil:
		networks = flowList(text("default"))
		at, _ := entry(s.body, "networks")
		if at == nil {
			at = s.key
		}
		put(s.body, "networks", networks)
		c.say(at, s.name, "networks", Changed, "networks: [default] is written out: without it, hostrun uses the machine's network")
	}
	if called == "" {
		return
	}
	aliases := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, name := range namesIn(networks) {
		at := flow()
		if _, v := entry(networks, name); v != nil && followed(v).Kind == yaml.MappingNode {
			at = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: append([]*yaml.Node(nil), followed(v).Content...)}
		}
		list := []*yaml.Node{text(called)}
		if _, v := entry(at, "aliases"); v != nil {
			list = append(list, followed(v).Content...)
		}
		put(at, "aliases", flowList(list...))
		aliases.Content = append(aliases.Content, text(name), at)
	}
	put(s.body, "networks", aliases)
}

// noMode takes a network_mode away that comes to nothing: compose puts the service on a network then.
func (c *converter) noMode(s service) {
	for _, m := range c.layers(s.body) {
		k, v := entry(m, "network_mode")
		if k == nil {
			continue
		}
		if mode, err := profiles.Interpolate(followed(v).Value, c.all); err == nil && strings.TrimSpace(mode) == "" {
			drop(m, "network_mode")
			c.say(k, s.name, "network_mode", Changed, "left out: it is empty")
			continue
		}
		return
	}
}

// onMachine gives a service that is on one of docker's own networks, host or none, the network_mode that this is.
func (c *converter) onMachine(s service, networks *yaml.Node) bool {
	names := []string{"default"}
	if networks != nil {
		names = namesIn(networks)
	}
	if len(names) != 1 || c.hosts[names[0]] == "" {
		return false
	}
	mode := c.hosts[names[0]]
	at := s.key
	for _, m := range c.layers(s.body) {
		if k, _ := entry(m, "networks"); k != nil {
			drop(m, "networks")
			at = k
		}
	}
	put(s.body, "network_mode", text(mode))
	c.say(at, s.name, "networks", Changed, "network_mode: %s, which is docker's network of that name", mode)
	return true
}

// namesIn are the names of a list or the keys of a mapping.
func namesIn(n *yaml.Node) []string {
	var names []string
	for _, p := range pairs(n) {
		names = append(names, p.key.Value)
	}
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			names = append(names, followed(item).Value)
		}
	}
	return names
}
