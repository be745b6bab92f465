package network

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
)

// A Machine is what a request is settled on.
type Machine struct {
	Scope      string             // of bridges' names: hostrun's state directory
	Interfaces []Interfaces       // with their addresses and routes; nil is unknown
	Free       func(Binding) bool // whether a port of the host can be bound
}

// Interfaces is one interface of the host, with the subnets that it leads to.
type Interfaces struct {
	Name    string         `json:"name"`
	Of      string         `json:"of,omitempty"` // whose it is, if that is known: "Docker's network front"
	Subnets []netip.Prefix `json:"subnets"`
	// Addresses are its own.
	Addresses []netip.Addr `json:"addresses,omitempty"`
}

// Resolve settles what the request leaves open: bridges, subnets, ports. others are the entries of the machine. The error is
// a *Conflict where two want the same.
func Resolve(e Entry, others []Entry, m Machine) (Entry, error) {
	others = slices.DeleteFunc(slices.Clone(others), func(o Entry) bool { return o.Namespace == e.Namespace && o.ID == e.ID })
	e.Schema, e.Links, e.Bindings = 1, nil, nil
	for _, a := range e.Request.Attachments {
		l, err := link(e, a, append(slices.Clip(others), e), m) // its networks before this one have their subnets too
		if err != nil {
			return e, err
		}
		e.Links = append(e.Links, l)
	}
	if e.Request.Mode != Bridge || len(e.Links) > 0 && (e.Links[0].Internal || !e.Links[0].Bridged()) { // from which nothing is published, as by docker
		return e, nil
	}
	var err error
	e.Bindings, err = bindings(e.Request.Ports, others, m.Free)
	return e, err
}

func link(e Entry, a Attachment, others []Entry, m Machine) (Link, error) {
	l := Link{Network: a.Network.Name, Bridge: bridgeName(m.Scope, e.Namespace, a.Network.Name), Internal: a.Network.Internal,
		MTU: a.Network.MTU, Aliases: a.Aliases, MAC: a.MAC, Driver: a.Network.Driver, Parent: a.Network.Parent, Mode: a.Network.Mode, Reserved: a.Network.Reserved}
	for _, o := range others {
		have := o.On(a.Network.Name)
		if have == nil || o.Namespace != e.Namespace {
			continue
		}
		if err := agrees(a.Network, *have, o); err != nil {
			return l, err
		}
		l.Subnets, l.Reserved, l.Driver, l.Parent, l.Mode = have.Subnets, have.Reserved, have.Driver, have.Parent, have.Mode
		break
	}
	if err := mayBeParent(l, others, m); err != nil {
		return l, err
	}
	if l.Subnets == nil {
		if err := choose(&l, e, a.Network, others, m); err != nil {
			return l, err
		}
	}
	l.Reserved = append(slices.Clip(l.Reserved), parentsOwn(l, m)...)
	for _, ip := range []string{a.IPv4, a.IPv6} {
		if ip == "" {
			continue
		}
		if err := mayHave(l, ip, e.Namespace, others); err != nil {
			return l, err
		}
		l.Static = append(l.Static, ip)
	}
	return l, nil
}

// agrees refuses a network that another container has made with other properties.
func agrees(d Definition, have Link, o Entry) error {
	differs := func(what, got, want string) error {
		return &Conflict{Kind: Differs, Network: d.Name, Holder: o.name(),
			Text: fmt.Sprintf("the network %s is there with %s %s, of %s, and asked for with %s", d.Name, what, got, o.name(), want)}
	}
	for _, s := range d.Subnets {
		if !slices.ContainsFunc(have.Subnets, func(h Subnet) bool { return h.Subnet == s.Subnet }) {
			return differs("the subnet", have.Subnets[0].Subnet, s.Subnet)
		}
	}
	switch {
	case d.Internal != have.Internal:
		return differs("internal:", fmt.Sprint(have.Internal), fmt.Sprint(d.Internal))
	case d.IPv6 && !slices.ContainsFunc(have.Subnets, Subnet.is6):
		return differs("enable_ipv6:", "false", "true")
	case d.MTU != 0 && d.MTU != have.MTU:
		return differs("the MTU", fmt.Sprint(have.MTU), fmt.Sprint(d.MTU))
	case d.Driver != "" && d.Driver != have.Driver:
		return differs("the driver", cmp.Or(have.Driver, Bridge), d.Driver)
	case d.Parent != "" && d.Parent != have.Parent:
		return differs("the parent", have.Parent, d.Parent)
	case d.Mode != "" && d.Mode != have.Mode:
		return differs("the mode", cmp.Or(have.Mode, "of the driver's own choice"), d.Mode)
	}
	return nil
}

func (s Subnet) prefix() netip.Prefix {
	p, err := netip.ParsePrefix(s.Subnet)
	if err != nil {
		return netip.Prefix{}
	}
	return p.Masked()
}

func (s Subnet) is6() bool { return s.prefix().Addr().Is6() }

// choose takes the subnets that are asked for, or free ones.
func choose(l *Link, e Entry, d Definition, others []Entry, m Machine) error {
	taken := inUse(l.Bridge, others, m)
	asked := taken
	if !l.Bridged() { // it is on the parent's network, whose subnet it mostly has
		asked = inUse(l.Bridge, others, Machine{})
	}
	have4, have6 := false, false
	for _, s := range d.Subnets {
		if by, ok := overlap(s.prefix(), asked); ok {
			return &Conflict{Kind: SubnetTaken, Network: d.Name, Holder: by.name,
				Text: fmt.Sprintf("the subnet %s of the network %s overlaps with %s of %s", s.Subnet, d.Name, by.prefix, by.name)}
		}
		have4, have6 = have4 || !s.is6(), have6 || s.is6()
		l.Subnets = append(l.Subnets, s)
	}
	if !have4 {
		s, ok := freeSubnet(e.Namespace+"/"+d.Name, taken, pool4)
		if !ok {
			return &Conflict{Kind: SubnetTaken, Network: d.Name, Text: "no subnet of 10.210.0.0/15 is free for the network " + d.Name}
		}
		l.Subnets = append([]Subnet{s}, l.Subnets...)
	}
	if d.IPv6 && !have6 {
		s, ok := freeSubnet(e.Namespace+"/"+d.Name, taken, pool6)
		if !ok {
			return &Conflict{Kind: SubnetTaken, Network: d.Name, Text: "no subnet of fd68:6f73:7472::/55 is free for the network " + d.Name}
		}
		l.Subnets = append(l.Subnets, s)
	}
	return nil
}

// A use is a subnet with who has it.
type use struct {
	prefix netip.Prefix
	name   string
}

// inUse are the subnets of the machine but for the bridge's own.
func inUse(bridge string, others []Entry, m Machine) []use {
	var all []use
	bridges := map[string]bool{bridge: true}
	for _, o := range others {
		for _, l := range o.Links {
			if l.Bridge == bridge {
				continue
			}
			bridges[l.Bridge] = true
			for _, s := range l.Subnets {
				all = append(all, use{s.prefix(), "the network " + l.Network + " (" + o.name() + ")"})
			}
		}
	}
	for _, i := range m.Interfaces {
		if bridges[i.Name] {
			continue
		}
		for _, p := range i.Subnets {
			name := "the interface " + i.Name
			if i.Of != "" {
				name += " (" + i.Of + ")"
			}
			all = append(all, use{p.Masked(), name})
		}
	}
	return all
}

func overlap(p netip.Prefix, taken []use) (use, bool) {
	for _, u := range taken {
		if u.prefix.Bits() > 0 && u.prefix.Overlaps(p) {
			return u, true
		}
	}
	return use{}, false
}

// pools have 512 subnets each. 10.210.0.0/15 is none of docker's (172.17-31, 192.168), podman's (10.88) or nerdctl's (10.4).
const poolSize = 512

func pool4(i int) string { return fmt.Sprintf("10.%d.%d.0/24", 210+i/256, i%256) }
func pool6(i int) string { return fmt.Sprintf("fd68:6f73:7472:%x::/64", i) }

// freeSubnet begins at a place that the name tells, so that a network has the same subnet each time.
func freeSubnet(name string, taken []use, at func(int) string) (Subnet, bool) {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	start := int(h.Sum32() % poolSize)
	for i := range poolSize {
		s := Subnet{Subnet: at((start + i) % poolSize)}
		if _, clash := overlap(s.prefix(), taken); !clash {
			return s, true
		}
	}
	return Subnet{}, false
}

// mayHave refuses an address that is not the container's to have.
func mayHave(l Link, address, namespace string, others []Entry) error {
	ip, err := netip.ParseAddr(address)
	i := slices.IndexFunc(l.Subnets, func(s Subnet) bool { return err == nil && s.prefix().Contains(ip) })
	if i < 0 {
		return &Conflict{Kind: AddressTaken, Network: l.Network,
			Text: fmt.Sprintf("the address %s is outside of the network %s, which has %s", address, l.Network, subnets(l))}
	}
	if ip == l.Subnets[i].prefix().Addr() || ip.String() == l.Subnets[i].GatewayOf() {
		return &Conflict{Kind: AddressTaken, Network: l.Network, Text: fmt.Sprintf("the address %s is the network %s's own", address, l.Network)}
	}
	if slices.Contains(l.Reserved, ip.String()) {
		return &Conflict{Kind: AddressTaken, Network: l.Network, Text: fmt.Sprintf("the address %s of the network %s is not for containers: it is under aux_addresses, or the parent's", address, l.Network)}
	}
	for _, o := range others {
		have := o.On(l.Network)
		if o.Namespace == namespace && have != nil && slices.Contains(append(slices.Clone(have.Static), have.IPs...), ip.String()) {
			return &Conflict{Kind: AddressTaken, Network: l.Network, Holder: o.name(), Text: fmt.Sprintf("the address %s of the network %s is %s's", address, l.Network, o.name())}
		}
	}
	return nil
}

func subnets(l Link) string {
	text := ""
	for i, s := range l.Subnets {
		if i > 0 {
			text += " and "
		}
		text += s.Subnet
	}
	return text
}

// GatewayOf is the subnet's gateway: the bridge's address.
func (s Subnet) GatewayOf() string {
	if s.Gateway != "" {
		return s.Gateway
	}
	return s.prefix().Addr().Next().String()
}

// A Conflict is two that want the same.
type Conflict struct {
	Kind    ConflictKind
	Network string
	Holder  string // "container web", "the interface eth0"; "" where nobody else has it
	Binding Binding
	Text    string
}

func (c *Conflict) Error() string { return c.Text }

// ConflictKind says what two want.
type ConflictKind int

// Kinds of conflicts.
const (
	SubnetTaken ConflictKind = iota + 1
	Differs
	AddressTaken
	PortTaken
	NoParent
)
