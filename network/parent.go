package network

import (
	"fmt"
	"slices"
)

// mayBeParent refuses an interface that the link can't share: one that the machine lacks, or that serves the other driver, which the
// kernel does not let be at once.
func mayBeParent(l Link, others []Entry, m Machine) error {
	if l.Bridged() {
		return nil
	}
	if l.Parent == "" {
		return &Conflict{Kind: NoParent, Network: l.Network, Text: fmt.Sprintf("the network %s of driver %s has no parent", l.Network, l.Driver)}
	}
	if m.Interfaces != nil && !slices.ContainsFunc(m.Interfaces, func(i Interfaces) bool { return i.Name == l.Parent }) {
		return &Conflict{Kind: NoParent, Network: l.Network, Text: fmt.Sprintf("the machine has no interface %s to be the parent of the network %s", l.Parent, l.Network)}
	}
	for _, o := range others {
		for _, have := range o.Links {
			if have.Parent == l.Parent && have.Driver != l.Driver {
				return &Conflict{Kind: NoParent, Network: l.Network, Holder: o.name(),
					Text: fmt.Sprintf("%s can't be the parent of the network %s of driver %s: it is that of %s of driver %s (%s)", l.Parent, l.Network, l.Driver, have.Network, have.Driver, o.name())}
			}
		}
	}
	return nil
}

// parentsOwn are the addresses of the parent's own that lie in the network, which no container may have as well.
func parentsOwn(l Link, m Machine) []string {
	var all []string
	for _, i := range m.Interfaces {
		for _, a := range i.Addresses {
			within := func(s Subnet) bool { return s.prefix().Contains(a) }
			if i.Name == l.Parent && slices.ContainsFunc(l.Subnets, within) && !slices.Contains(l.Reserved, a.String()) {
				all = append(all, a.String())
			}
		}
	}
	return all
}
