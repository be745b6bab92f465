package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/network"
	"hostrun.dev/hostrun/profiles"
)

// Network is what the machine says to a profile's ports and networks.
type Network struct {
	Missing    []string             `json:"missing,omitempty"`    // that a bridge needs: "CNI's plugin bridge", "iptables"
	Taken      []TakenPort          `json:"taken,omitempty"`      // of the profile's ports, by others than the container itself
	Interfaces []network.Interfaces `json:"interfaces,omitempty"` // where the profile names subnets or addresses
	Others     []network.Entry      `json:"others,omitempty"`     // the networks of other containers
}

// A TakenPort is a port of the host that can't be had.
type TakenPort struct {
	network.Binding
	Holder string `json:"holder,omitempty"` // "process 812 (python3 app.py)", "container web"; "" for one that can't be seen
	Remedy string `json:"remedy,omitempty"` // what ends the holder
	// NoAddress: the machine does not have the address.
	NoAddress bool `json:"no_address,omitempty"`
}

// Ports are the bindings of the profile that are settled before the start: what to look for on the machine.
func Ports(p *profiles.Profile) []network.Binding {
	if p.NetworkMode == "none" || strings.HasPrefix(p.NetworkMode, "container:") {
		return nil
	}
	var all []network.Binding
	for _, one := range p.Ports {
		all = append(all, portOf(one, hostMode(p)).Fixed()...)
	}
	return all
}

// Bridged reports whether the profile asks for a bridge network.
func Bridged(p *profiles.Profile) bool { return p.NetworkMode == network.Bridge }

func hostMode(p *profiles.Profile) bool { return p.NetworkMode == "" || p.NetworkMode == "host" }

// portOf is an entry of the profile. With the host's network a port is what it is on both sides.
func portOf(p profiles.Port, host bool) network.Port {
	one := network.Port{HostIP: p.HostIP, First: p.First, Last: p.Last, Target: p.Target, End: p.End}
	if p.Protocol != "tcp" {
		one.Protocol = p.Protocol
	}
	if host && one.First == 0 {
		one.First, one.Last = one.Target, max(one.End, one.Target)
	}
	return one
}

// madeNetwork reports whether the container's network namespace is made before it, by hostrun.
func (b *builder) madeNetwork() bool {
	return Bridged(b.p) || strings.HasPrefix(b.p.NetworkMode, "container:")
}

func (b *builder) networkNamespace() string {
	dir := b.f.Engine.StateDir
	if dir == "" {
		dir = "/run/hostrun"
	}
	return network.NamespacePath(dir, b.plan.Namespace, b.plan.ID)
}

// setNetwork settles what the container asks of the network, and looks whether it can have it.
func (b *builder) setNetwork() {
	other, joins := strings.CutPrefix(b.p.NetworkMode, "container:")
	switch {
	case joins:
		b.network = network.Request{Mode: network.Container, Join: other}
	case Bridged(b.p):
		b.network = network.Request{Mode: network.Bridge, Hostname: b.hostname(), Domain: b.p.Domainname, Attachments: b.attachments()}
		for _, l := range b.p.Links {
			b.network.Links = append(b.network.Links, network.OtherName{Name: l.Name, Alias: l.Alias})
		}
		b.checkTools()
		b.checkNetworks()
		b.checkPublished()
	case b.hostNetwork() && len(b.p.Ports) > 0:
		b.network = network.Request{Mode: network.Host}
	}
	if b.p.Domainname != "" {
		b.spec.Linux.Sysctl = map[string]string{"kernel.domainname": b.p.Domainname}
		b.plan.Origins["/linux/sysctl/kernel.domainname"] = b.fromProfile("domainname")
	}
	if b.network.Mode == network.Bridge || b.network.Mode == network.Host {
		b.setPorts()
		b.checkTaken()
	}
}

// attachments are the profile's networks, first the one that has the default route and the ports: that with the highest gw_priority, and
// among equal ones the highest priority. An internal network has neither and comes after the others, as for docker.
func (b *builder) attachments() []network.Attachment {
	nets := slices.Clone(b.p.Networks)
	if len(nets) == 0 {
		nets = []profiles.Network{{Name: network.DefaultName, Key: "network_mode"}}
	}
	slices.SortStableFunc(nets, func(x, y profiles.Network) int {
		switch {
		case x.Internal && !y.Internal:
			return 1
		case y.Internal && !x.Internal:
			return -1
		}
		return cmp.Or(cmp.Compare(y.GatewayPriority, x.GatewayPriority), cmp.Compare(y.Priority, x.Priority))
	})
	main := 0 // whose interface has the profile's hardware address, of which gw_priority says nothing
	for i, n := range nets {
		if n.Internal == nets[0].Internal && n.Priority > nets[main].Priority {
			main = i
		}
	}
	var all []network.Attachment
	for i, n := range nets {
		a := network.Attachment{Aliases: n.Aliases, IPv4: n.IPv4, IPv6: n.IPv6, MAC: n.MAC,
			Network: network.Definition{Name: n.Name, Internal: n.Internal, IPv6: n.EnableIPv6, MTU: int(n.MTU), Driver: n.Driver, Parent: n.Parent, Mode: n.Mode(), Reserved: n.Reserved}}
		if b.f.Replica > 0 { // the name leads to all of them
			a.Aliases = append(slices.Clip(a.Aliases), b.p.Name)
		}
		for _, s := range n.Subnets {
			a.Network.Subnets = append(a.Network.Subnets, network.Subnet{Subnet: s.Subnet, Gateway: s.Gateway, Range: s.Range})
			a.Network.IPv6 = a.Network.IPv6 || strings.Contains(s.Subnet, ":")
		}
		if i == main && a.MAC == "" {
			a.MAC = b.p.MACAddress
		}
		all = append(all, a)
	}
	return all
}

// networkKey is the profile's key of a network.
func (b *builder) networkKey(name string) string {
	for _, n := range b.p.Networks {
		if n.Name == name {
			return n.Key
		}
	}
	return "network_mode"
}

// checkPublished tells of ports that are not published: from an internal network nothing is, nor from one of another driver than
// bridge, in docker neither.
func (b *builder) checkPublished() {
	if len(b.p.Ports) == 0 || len(b.network.Attachments) == 0 {
		return
	}
	f := finding.Finding{ID: finding.PortsUnpublished, Severity: finding.Warning, Subject: "ports"}
	n := b.network.Attachments[0].Network
	switch driver := b.driverOf(n.Name, n.Driver); {
	case driver != "":
		f.Got = "network " + n.Name + ": driver: " + driver
		f.Message = "the ports are not published: the container's way out is a network of driver " + driver + ", where others reach it at its own address and ports"
		f.Remedy = "remove ports:, or give a network of driver bridge the highest priority:"
	case n.Internal:
		f.Got = "network " + n.Name + ": internal: true"
		f.Message, f.Remedy = "the ports are not published: all networks of the container are internal", "add a network that is not internal, or remove ports:"
	default:
		return
	}
	b.report(b.p.Ports[0].Key, f)
}

// driverOf is the driver of a network of which the profile says that much: "" leaves it to what is there already.
func (b *builder) driverOf(name, said string) string {
	if said == "" && b.f.Network != nil {
		for _, o := range b.f.Network.Others {
			if l := o.On(name); l != nil && o.Namespace == b.plan.Namespace && o.ID != b.plan.ID {
				return l.Driver
			}
		}
	}
	return said
}

func (b *builder) checkTools() {
	if b.f.Network == nil || len(b.f.Network.Missing) == 0 {
		return
	}
	key := "network_mode"
	if len(b.p.Networks) > 0 {
		key = "networks"
	}
	b.report(key, finding.Finding{ID: finding.NetworkTools, Severity: finding.Error, Subject: key,
		Got: "missing: " + strings.Join(b.f.Network.Missing, ", "), Message: "the container's networks can't be made: " + strings.Join(b.f.Network.Missing, " and ") + " are not installed",
		Remedy: "apt-get install containernetworking-plugins iptables\nor use the host's network: network_mode: host"})
}

// conflictIDs are the findings of the conflicts that Resolve tells.
var conflictIDs = map[network.ConflictKind]struct{ id, remedy string }{
	network.SubnetTaken:  {finding.SubnetTaken, "choose another subnet under ipam:, or remove it: a free one is taken then"},
	network.Differs:      {finding.NetworkDiffers, "say the same in all profiles, or in one alone, and stop the containers on it: the network goes with the last one"},
	network.AddressTaken: {finding.AddressTaken, "choose another address of the subnet, or remove it"},
	network.NoParent: {finding.NetworkParent, "name an interface of the machine: driver_opts: {parent: eth0}; ip link shows them\n" +
		"one of a VLAN is made by hand: ip link add link eth0 name eth0.50 type vlan id 50 && ip link set eth0.50 up"},
}

// checkNetworks tries the request on what there is, ports left alone: these have findings of their own.
func (b *builder) checkNetworks() {
	if b.f.Network == nil {
		return
	}
	for i := range b.network.Attachments { // with those before it, whose subnets it must not have; each is told of once
		e := network.Entry{Namespace: b.plan.Namespace, ID: b.plan.ID, Request: network.Request{Mode: network.Bridge, Attachments: b.network.Attachments[:i+1]}}
		_, err := network.Resolve(e, b.f.Network.Others, network.Machine{Scope: b.f.Engine.StateDir, Interfaces: b.f.Network.Interfaces})
		var c *network.Conflict
		if !errors.As(err, &c) || c.Network != b.network.Attachments[i].Network.Name {
			continue
		}
		how := conflictIDs[c.Kind]
		b.report(b.networkKey(c.Network), finding.Finding{ID: how.id, Severity: finding.Error, Subject: c.Network, Got: c.Holder, Message: c.Text, Remedy: how.remedy})
	}
}

// setPorts checks the entries against each other and the mode.
func (b *builder) setPorts() {
	host := b.network.Mode == network.Host
	var seen []network.Binding
	for _, p := range b.p.Ports {
		one := portOf(p, host)
		if host && (one.First != one.Target || one.Last != max(one.End, one.Target)) {
			b.report(p.Key, finding.Finding{ID: finding.PortsDiffer, Severity: finding.Error, Subject: p.Key, Got: one.String(),
				Message: fmt.Sprintf("with the host's network the container's port %d is the host's %d: nothing leads from %s there", one.Target, one.Target, hostSide(one)),
				Remedy:  "add network_mode: bridge, or let the program listen at the host's port and write it on both sides"})
		}
		for _, binding := range one.Fixed() {
			if i := slices.IndexFunc(seen, binding.Collides); i >= 0 {
				b.report(p.Key, finding.Finding{ID: finding.ProfileInvalid, Severity: finding.Error, Subject: p.Key,
					Message: fmt.Sprintf("port %s/%s of the host stands twice under ports", binding.Address(), binding.Protocol), Remedy: "remove one of the two"})
				break
			}
			seen = append(seen, binding)
		}
		b.network.Ports = append(b.network.Ports, one)
	}
}

func hostSide(p network.Port) string {
	text, _, _ := strings.Cut(strings.TrimSuffix(p.String(), "/"+p.Proto()), ":"+fmt.Sprint(p.Target))
	return text
}

// checkTaken tells of the ports that others have.
func (b *builder) checkTaken() {
	if b.f.Network == nil {
		return
	}
	for _, t := range b.f.Network.Taken {
		f := finding.Finding{ID: finding.PortTaken, Severity: finding.Error, Subject: t.Address(), Got: t.Holder, Remedy: t.Remedy,
			Message: fmt.Sprintf("port %s/%s is in use by %s", t.Address(), t.Protocol, t.Holder)}
		switch {
		case t.NoAddress:
			f.ID, f.Message, f.Remedy = finding.PortFamily, fmt.Sprintf("port %s/%s can't be had: the machine has no address %s", t.Address(), t.Protocol, t.HostIP), "write an address of this machine, or none for all of them"
		case t.Holder == "":
			f.Message = fmt.Sprintf("port %s/%s is in use by a process that can't be seen from here", t.Address(), t.Protocol)
		}
		b.report(b.portKey(t.Binding), f)
	}
}

func (b *builder) portKey(binding network.Binding) string {
	for _, p := range b.p.Ports {
		if slices.Contains(portOf(p, b.hostNetwork()).Fixed(), binding) {
			return p.Key
		}
	}
	return "ports"
}

// setNetworkLabel keeps the request in the record: a container that starts again needs no profile.
func (b *builder) setNetworkLabel() {
	text := b.network.Label()
	if text == "" {
		return
	}
	if len(LabelNetwork)+len(text) > maxLabel {
		b.report("ports", finding.Finding{ID: finding.ProfileInvalid, Severity: finding.Error, Subject: "ports",
			Message: fmt.Sprintf("networks, aliases and ports are longer together than the %d bytes that containerd keeps of them", maxLabel), Remedy: "write ranges: \"8000-8100:8000-8100\""})
		return
	}
	b.plan.Labels[LabelNetwork] = text
}
