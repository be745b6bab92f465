package main

import (
	"testing"

	"hostrun.dev/hostrun/profiles"
)

// TestDescribedNetworkComesFirst: a container that only names a network made it, with a subnet of its own, when it was quicker than the
// one that describes it.
func TestDescribedNetworkComesFirst(t *testing.T) {
	named := func(id string, networks ...profiles.Network) *member {
		return &member{id: id, profile: &profiles.Profile{Networks: networks}}
	}
	left := profiles.Network{Name: "left", Subnets: []profiles.Subnet{{Subnet: "10.77.0.0/24"}}}
	right := profiles.Network{Name: "right", Internal: true}
	both := named("both", profiles.Network{Name: "left"}, profiles.Network{Name: "right"})
	a, b := named("a", left, profiles.Network{Name: "right"}), named("b", right, profiles.Network{Name: "left"})
	alone := named("alone", profiles.Network{Name: "other"})
	st := &stack{members: []*member{both, a, b, alone}}
	st.orderNetworks()
	if !both.waitsFor(a) || !both.waitsFor(b) {
		t.Errorf("both: %+v", both.needs)
	}
	if !a.waitsFor(b) || b.waitsFor(a) {
		t.Errorf("a and b wait for each other, or neither does: %+v, %+v", a.needs, b.needs)
	}
	if len(alone.needs) > 0 {
		t.Errorf("alone: %+v", alone.needs)
	}
	for _, n := range both.needs {
		if !n.Optional || n.Condition != profiles.DependStarted || n.Restart {
			t.Errorf("%+v", n)
		}
	}
}
