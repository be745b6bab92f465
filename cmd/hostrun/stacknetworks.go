package main

import (
	"slices"

	"hostrun.dev/hostrun/profiles"
)

// orderNetworks lets a profile that describes a network come before those that only name it: the first container on a network makes
// it, and one that is there is not made anew. Two that describe each other's come as they may.
func (st *stack) orderNetworks() {
	for _, m := range st.members {
		for _, of := range st.members {
			if m.profile.NetworkMode == "container:"+of.id && !of.waitsFor(m) && !m.waitsFor(of) { // whose network it shares
				m.needs = append(m.needs, need{profiles.Dependency{Name: of.id, Condition: profiles.DependStarted}, of})
			}
		}
		for _, n := range m.profile.Networks {
			if describes(n) {
				continue
			}
			for _, of := range st.members {
				if of != m && !of.waitsFor(m) && !m.waitsFor(of) && slices.ContainsFunc(of.profile.Networks, func(o profiles.Network) bool { return o.Name == n.Name && describes(o) }) {
					m.needs = append(m.needs, need{profiles.Dependency{Name: of.id, Condition: profiles.DependStarted, Optional: true}, of})
				}
			}
		}
	}
}

// describes says whether the network is more than named.
func describes(n profiles.Network) bool {
	return len(n.Subnets) > 0 || n.Internal || n.EnableIPv6 || n.MTU != 0 || n.Driver != ""
}

// waitsFor says whether m is started after other.
func (m *member) waitsFor(other *member) bool {
	return slices.ContainsFunc(m.needs, func(n need) bool { return n.of == other || n.of.waitsFor(other) })
}
