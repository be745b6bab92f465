package network

import "fmt"

// Ephemeral ports are those that Linux gives out by itself (net.ipv4.ip_local_port_range), of which docker takes too.
const (
	ephemeralFirst = 32768
	ephemeralLast  = 60999
)

// bindings settles the ports of the host. An entry that leaves a choice gets the first that is free, of the host and of the
// other containers.
func bindings(ports []Port, others []Entry, free func(Binding) bool) ([]Binding, error) {
	var all, held []Binding
	owner := map[Binding]string{}
	for _, o := range others {
		for _, b := range o.Bindings {
			held = append(held, b)
			owner[b] = o.name()
		}
	}
	next := ephemeralFirst
	for _, p := range ports {
		if fixed := p.Fixed(); fixed != nil {
			for _, b := range fixed {
				if by, taken := colliding(b, held); taken {
					return nil, &Conflict{Kind: PortTaken, Holder: owner[by], Binding: b, Text: fmt.Sprintf("port %s/%s is in use by %s", b.Address(), b.Protocol, owner[by])}
				}
			}
			all, held = append(all, fixed...), append(held, fixed...)
			continue
		}
		for i := range p.Targets() {
			first, last := int(p.First), int(p.Last)
			if first == 0 {
				first, last = next, ephemeralLast
			}
			b, ok := firstFree(Binding{HostIP: p.HostIP, Port: p.Target + uint16(i), Protocol: p.Proto()}, first, last, held, free)
			if !ok {
				return nil, &Conflict{Kind: PortTaken, Binding: b, Text: fmt.Sprintf("none of the ports %d to %d of the host is free for %s", first, last, p)}
			}
			if p.First == 0 {
				next = int(b.HostPort) + 1
			}
			all, held = append(all, b), append(held, b)
		}
	}
	return all, nil
}

func firstFree(b Binding, first, last int, held []Binding, free func(Binding) bool) (Binding, bool) {
	for port := first; port <= last; port++ {
		b.HostPort = uint16(port)
		if _, taken := colliding(b, held); !taken && (free == nil || free(b)) {
			return b, true
		}
	}
	return b, false
}

func colliding(b Binding, held []Binding) (Binding, bool) {
	for _, h := range held {
		if b.Collides(h) {
			return h, true
		}
	}
	return Binding{}, false
}

// Holders are the bindings that other containers have, each with its container's name: what a request collides with.
func Holders(want []Binding, others []Entry) map[Binding]string {
	taken := map[Binding]string{}
	for _, o := range others {
		for _, h := range o.Bindings {
			for _, b := range want {
				if b.Collides(h) {
					taken[b] = o.ID
				}
			}
		}
	}
	return taken
}
