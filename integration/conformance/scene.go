package main

import "strings"

// A scene is one case: services that both sides get, and what is done with them.
type scene struct {
	name  string // of the case and of its first service; @ stands for it in the texts below
	group string
	about string // what is looked at

	service string            // the service's mapping: a service of the compose file, and the whole of a profile
	others  map[string]string // further services by name
	compose string            // what compose wants besides at the file's top level: networks, volumes
	whole   bool              // needs every capability, which docker asks for by name
	image   string            // "": the plain one. "none": the text names it, or has none
	// files are a whole compose.yaml and what it names: hostrun runs what it imports of it. There is no service then.
	files map[string]string

	// play does something and notes what is seen; nil starts the probe, takes its report, looks from outside, and ends it.
	play func(*player)

	differ []difference // intended ones of this case
}

// A difference is one that is meant.
type difference struct {
	field  string // a name of what is compared, * for anything
	docker string // its value there; "" is any
	ours   string // and here
	reason string
}

// only takes one service, and looks.
func observed(group, name, about, service string, differ ...difference) scene {
	return scene{group: group, name: name, about: about, service: service, differ: differ}
}

// played takes one service and does something with it.
func played(group, name, about, service string, play func(*player), differ ...difference) scene {
	return scene{group: group, name: name, about: about, service: service, play: play, differ: differ}
}

// with adds a further service.
func (s scene) with(name, service string) scene {
	others := map[string]string{name: service}
	for n, text := range s.others {
		others[n] = text
	}
	s.others = others
	return s
}

// top adds to what compose wants at its top level.
func (s scene) top(text string) scene { s.compose += text; return s }

// all says that it can be compared only where the machine has every capability.
func (s scene) all() scene { s.whole = true; return s }

// but adds intended differences.
func (s scene) but(differ ...difference) scene {
	s.differ = append(s.differ[:len(s.differ):len(s.differ)], differ...)
	return s
}

// of takes another image.
func (s scene) of(image string) scene { s.image = image; return s }

// services are the case's, by name, with their image.
func (s scene) services() map[string]string {
	all := map[string]string{s.name: s.complete(s.service)}
	for name, text := range s.others {
		all[s.fill(name)] = s.complete(text)
	}
	return all
}

func (s scene) complete(text string) string {
	text = strings.TrimSpace(s.fill(text)) + "\n"
	switch s.image {
	case "":
		return "image: " + imageName + "\n" + text
	case "none":
		return text
	}
	return "image: " + s.image + "\n" + text
}

func (s scene) fill(text string) string { return strings.ReplaceAll(text, "@", s.name) }

// names are the names of its services, its own first.
func (s scene) names() []string {
	names := []string{s.name}
	if s.files != nil {
		return names // the file has the others
	}
	for _, name := range sortedKeys(s.others) {
		names = append(names, s.fill(name))
	}
	return names
}
