package profiles

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"hostrun.dev/hostrun/pattern"
)

// A Network is one that the container is on: how it is on it (aliases, addresses), and how the network is to be, if this profile
// says so. Profiles that name the same network must not contradict each other.
type Network struct {
	Name            string   `json:"name"`
	Aliases         []string `json:"aliases,omitempty"`
	IPv4            string   `json:"ipv4_address,omitempty"`
	IPv6            string   `json:"ipv6_address,omitempty"`
	MAC             string   `json:"mac_address,omitempty"`
	Priority        int64    `json:"priority,omitempty"`    // the highest is the first, and has mac_address of the profile
	GatewayPriority int64    `json:"gw_priority,omitempty"` // the highest has the default route and the ports; of equal ones the first

	Subnets    []Subnet `json:"subnets,omitempty"`
	Internal   bool     `json:"internal,omitempty"`
	EnableIPv6 bool     `json:"enable_ipv6,omitempty"`
	MTU        int64    `json:"mtu,omitempty"` // 0: the kernel's

	Driver      string   `json:"driver,omitempty"` // "" is a bridge; macvlan, ipvlan
	Parent      string   `json:"parent,omitempty"` // of these two: the host's interface
	MacvlanMode string   `json:"macvlan_mode,omitempty"`
	IpvlanMode  string   `json:"ipvlan_mode,omitempty"`
	Reserved    []string `json:"aux_addresses,omitempty"` // that no container gets

	Key string `json:"key"` // in Lines: "networks[0]", "networks.front"
}

// A Subnet is one of ipam.config.
type Subnet struct {
	Subnet  string `json:"subnet"`
	Gateway string `json:"gateway,omitempty"`
	Range   string `json:"ip_range,omitempty"`
}

var (
	networkForm = pattern.New(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
	macForm     = pattern.New(`^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$`)
)

// networkKeys are compose's of a service's network and of a network itself: a profile is both.
var networkKeys = []field[Network]{
	{name: "aliases", about: "further names of the container for others on the network", schema: textsSchema, read: readAliases},
	{name: "ipv4_address", about: "the container's address", schema: textSchema, read: readIP(func(n *Network) *string { return &n.IPv4 }, false)},
	{name: "ipv6_address", about: "the container's address", schema: textSchema, read: readIP(func(n *Network) *string { return &n.IPv6 }, true)},
	{name: "mac_address", about: "of the container's interface", schema: textSchema, read: func(d *decoder, to *Network, n *node, key string) {
		to.MAC, _ = d.mac(n, key)
	}},
	{name: "priority", about: "the network with the highest is the first: it has mac_address, and the default route and the ports unless gw_priority says otherwise", schema: intSchema, read: func(d *decoder, to *Network, n *node, key string) {
		to.Priority, _ = d.integer(n, key)
	}},
	{name: "gw_priority", about: "the network with the highest has the default route and the ports, whatever priority says", schema: intSchema, read: func(d *decoder, to *Network, n *node, key string) {
		to.GatewayPriority, _ = d.integer(n, key)
	}},
	{name: "driver", about: "bridge; macvlan or ipvlan: the container is on the network of an interface of the host", schema: enum("bridge", "default", "macvlan", "ipvlan"), read: readDriver},
	{name: "driver_opts", about: "parent, macvlan_mode or ipvlan_mode; com.docker.network.driver.mtu", schema: schemaOf(networkOptions), read: readNetworkOptions},
	{name: "ipam", about: "its subnets: {config: [{subnet: 10.5.0.0/24}]}", schema: schemaOf(ipamFields), read: func(d *decoder, to *Network, n *node, key string) {
		readFields(d, to, n, key, ipamFields)
	}},
	{name: "internal", about: "without a way out", schema: boolSchema, read: func(d *decoder, to *Network, n *node, key string) {
		to.Internal, _ = d.boolean(n, key)
	}},
	{name: "enable_ipv6", about: "IPv6 addresses too", schema: boolSchema, read: func(d *decoder, to *Network, n *node, key string) {
		to.EnableIPv6, _ = d.boolean(n, key)
	}},
	{name: "enable_ipv4", about: "only true", schema: boolSchema, read: func(d *decoder, _ *Network, n *node, key string) {
		if b, ok := d.boolean(n, key); ok && !b {
			d.notYetProblem(n.pos, key, "remove it", "networks without IPv4")
		}
	}},
	acceptedLabels[Network]("networks"),
	laterField[Network]("link_local_ips", "remove it", "link-local addresses"),
	laterField[Network]("interface_name", "remove it: interfaces are eth0, eth1, ... in the order of the list", "names of interfaces"),
	{name: "attachable", about: "of a swarm; means nothing on one machine", schema: boolSchema, read: func(d *decoder, _ *Network, n *node, key string) {
		d.boolean(n, key)
	}},
}

var networkOptions = []field[Network]{
	laterField[Network]("com.docker.network.bridge.name", "remove it", "this option of networks"),
	laterField[Network]("com.docker.network.bridge.enable_icc", "remove it", "this option of networks"),
	laterField[Network]("com.docker.network.bridge.enable_ip_masquerade", "remove it", "this option of networks"),
	laterField[Network]("com.docker.network.bridge.host_binding_ipv4", "remove it", "this option of networks"),
	{name: "parent", about: "of driver macvlan or ipvlan: the host's interface", schema: textSchema, read: readParent},
	{name: "macvlan_mode", about: "bridge, private, vepa or passthru", schema: enum(macvlanModes...), read: func(d *decoder, to *Network, n *node, key string) {
		to.MacvlanMode, _ = d.oneOf(n, key, macvlanModes...)
	}},
	{name: "ipvlan_mode", about: "l2, l3 or l3s", schema: enum(ipvlanModes...), read: func(d *decoder, to *Network, n *node, key string) {
		to.IpvlanMode, _ = d.oneOf(n, key, ipvlanModes...)
	}},
	{name: "ipvlan_flag", about: "bridge", schema: enum("bridge"), read: func(d *decoder, _ *Network, n *node, key string) {
		if n.text == "private" || n.text == "vepa" {
			d.notYetProblem(n.pos, key, "remove it", "this flag of ipvlan")
			return
		}
		d.oneOf(n, key, "bridge")
	}},
	{name: "com.docker.network.enable_ipv6", about: "docker's other place for enable_ipv6, which goes before it", schema: boolSchema, read: readOptionIPv6},
	{name: "com.docker.network.driver.mtu", about: "the largest packet", schema: intSchema, read: func(d *decoder, to *Network, n *node, key string) {
		if v, ok := d.integer(n, key); ok && (v < 68 || v > 65535) {
			d.bad(n, key, "write a number from 68 to 65535", "%d is no MTU", v)
		} else if ok {
			to.MTU = v
		}
	}},
}

// readOptionIPv6 is of docker's daemon, which looks here where enable_ipv6 is not said (moby, createNetwork).
func readOptionIPv6(d *decoder, to *Network, n *node, key string) {
	on, err := strconv.ParseBool(n.text)
	if n.kind != scalar || err != nil {
		d.bad(n, key, "write \"true\" or \"false\"", "expected true or false, got %s", n.describe())
		return
	}
	above := strings.TrimSuffix(key, ".driver_opts.com.docker.network.enable_ipv6")
	if _, said := d.profile.Lines[join(above, "enable_ipv6")]; !said {
		to.EnableIPv6 = on
	}
}

// readNetworkOptions reads driver_opts; what else is docker's by its name is not unknown, and not done.
func readNetworkOptions(d *decoder, to *Network, n *node, key string) {
	known := *n
	known.pairs = nil
	for _, p := range n.pairs {
		if strings.HasPrefix(p.key, "com.docker.") && findField(networkOptions, p.key) == nil {
			d.notYetProblem(p.pos, join(key, p.key), "remove it", "this option of networks")
		} else {
			known.pairs = append(known.pairs, p)
		}
	}
	readFields(d, to, &known, key, networkOptions)
}

var ipamFields = []field[Network]{
	{name: "driver", about: "default", schema: enum("default"), read: func(d *decoder, _ *Network, n *node, key string) { d.oneOf(n, key, "default") }},
	laterField[Network]("options", "remove it", "options of ipam"),
	{name: "config", about: "a list of subnets, one for each family", schema: listOf(schemaOf(subnetFields)), read: readSubnets},
}

// A subnetNode is a subnet while it is read.
type subnetNode struct {
	Subnet
	reserved []string
}

var subnetFields = []field[subnetNode]{
	{name: "subnet", about: "in CIDR form: 10.5.0.0/24", schema: textSchema, must: true, read: readPrefix(func(s *subnetNode) *string { return &s.Subnet.Subnet })},
	{name: "ip_range", about: "the part that addresses are given from, in CIDR form", schema: textSchema, read: readPrefix(func(s *subnetNode) *string { return &s.Range })},
	{name: "aux_addresses", about: "names with addresses of other machines, which no container gets", schema: namedSchema, read: func(d *decoder, to *subnetNode, n *node, key string) {
		d.named(n, key, func(e entry) {
			ip, err := netip.ParseAddr(e.value)
			if err != nil {
				d.badAt(e.pos, join(key, e.name), "write an address of the subnet", "%q is no address", abridged(e.value))
				return
			}
			to.reserved = append(to.reserved, ip.String())
		})
	}},
	{name: "gateway", about: "the host's address on the network; the first by default", schema: textSchema, read: func(d *decoder, to *subnetNode, n *node, key string) {
		if s, ok := d.text(n, key); ok {
			to.Gateway = d.address(n, key, s)
		}
	}},
}

func readPrefix(at func(*subnetNode) *string) func(*decoder, *subnetNode, *node, string) {
	return func(d *decoder, to *subnetNode, n *node, key string) {
		s, ok := d.text(n, key)
		if !ok {
			return
		}
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Addr().Is4() && p.Bits() > 30 || p.Bits() > 126 || p.Bits() < 8 {
			d.bad(n, key, "write an address and the length of its prefix: 10.5.0.0/24", "%q is no subnet for containers", abridged(s))
			return
		}
		*at(to) = p.Masked().String()
	}
}

func readSubnets(d *decoder, to *Network, n *node, key string) {
	if n.kind != list {
		d.bad(n, key, "write a list: - subnet: 10.5.0.0/24", "expected a list, got %s", n.describe())
		return
	}
	to.Subnets, to.Reserved = nil, nil
	for i, item := range n.items {
		at := index(key, i)
		var s subnetNode
		if !readFields(d, &s, item, at, subnetFields) || s.Subnet.Subnet == "" {
			continue
		}
		subnet := netip.MustParsePrefix(s.Subnet.Subnet)
		if gw, err := netip.ParseAddr(s.Gateway); err == nil && !subnet.Contains(gw) {
			d.bad(item, at, "write an address of the subnet", "the gateway %s is outside of %s", s.Gateway, subnet)
			continue
		}
		if r, err := netip.ParsePrefix(s.Range); err == nil && (!subnet.Contains(r.Addr()) || r.Bits() < subnet.Bits()) {
			d.bad(item, at, "write a part of the subnet", "the ip_range %s is no part of %s", s.Range, subnet)
			continue
		}
		if out := slices.IndexFunc(s.reserved, func(ip string) bool { return !subnet.Contains(netip.MustParseAddr(ip)) }); out >= 0 {
			d.bad(item, at, "write addresses of the subnet", "the address %s under aux_addresses is outside of %s", s.reserved[out], subnet)
			continue
		}
		d.mark(at, item.pos)
		to.Subnets, to.Reserved = append(to.Subnets, s.Subnet), append(to.Reserved, s.reserved...)
	}
}

func readAliases(d *decoder, to *Network, n *node, key string) {
	d.texts(n, key, false, func(item *node, s string) {
		if !networkForm.MatchString(s) {
			d.bad(item, key, "write a host name", "%q is no host name", abridged(s))
		} else if !contains(to.Aliases, s) {
			to.Aliases = append(to.Aliases, s)
		}
	})
}

func readIP(at func(*Network) *string, v6 bool) func(*decoder, *Network, *node, string) {
	return func(d *decoder, to *Network, n *node, key string) {
		s, ok := d.text(n, key)
		if !ok {
			return
		}
		ip, err := netip.ParseAddr(s)
		if err != nil || ip.Is6() != v6 {
			d.bad(n, key, "write an address of the network's subnet", "%q is no such address", abridged(s))
			return
		}
		*at(to) = ip.String()
	}
}

// mac reads the hardware address of one interface: not a multicast one, which the kernel refuses.
func (d *decoder) mac(n *node, key string) (string, bool) {
	s, ok := d.text(n, key)
	if !ok {
		return "", false
	}
	if !macForm.MatchString(s) || strings.Contains("13579bdfBDF", s[1:2]) { // the lowest bit of the first byte
		d.bad(n, key, "write six bytes: 02:42:ac:11:00:02", "%q is no address of one interface", abridged(s))
		return "", false
	}
	return strings.ToLower(s), true
}

// readNetworks reads a list of names, or a mapping of names to what is said of them. A profile with networks is on a bridge.
func readNetworks(d *decoder, p *Profile, n *node, key string) {
	switch n.kind {
	case list:
		d.texts(n, key, false, func(item *node, s string) {
			d.network(p, item, key, s, nil)
		})
	case mapping:
		for _, one := range n.pairs {
			at := join(key, one.key)
			d.mark(at, one.pos)
			d.network(p, one.value, at, one.key, one.value)
		}
	default:
		d.bad(n, key, "write a list: - NAME", "expected a list or a mapping, got %s", n.describe())
		return
	}
	if p.NetworkMode == "" {
		p.NetworkMode = "bridge"
	}
}

func (d *decoder) network(p *Profile, n *node, key, name string, said *node) {
	if !networkForm.MatchString(name) || len(name) > 64 {
		d.bad(n, key, "use letters, digits, - _ and .", "%q can't be the name of a network", abridged(name))
		return
	}
	at := -1
	for i := range p.Networks {
		if p.Networks[i].Name == name {
			at = i
		}
	}
	if at < 0 {
		at = len(p.Networks)
		if said == nil {
			key = index(key, at)
			d.mark(key, n.pos)
		}
		p.Networks = append(p.Networks, Network{Name: name, Key: key})
	}
	if said == nil || said.kind == scalar && said.tag == "null" {
		return
	}
	readFields(d, &p.Networks[at], said, key, networkKeys)
}

func readMAC(d *decoder, p *Profile, n *node, key string) { p.MACAddress, _ = d.mac(n, key) }

func readDomainname(d *decoder, p *Profile, n *node, key string) {
	s, ok := d.text(n, key)
	if ok && (len(s) > 64 || !hostForm.MatchString(s)) {
		d.bad(n, key, "write a domain: example.org", "%q is no domain", abridged(s))
		return
	}
	p.Domainname = s
}

func readDNSSearch(d *decoder, p *Profile, n *node, key string) {
	d.texts(n, key, true, func(item *node, s string) {
		if s != "." && !hostForm.MatchString(s) {
			d.bad(item, key, "write a domain: example.org", "%q is no domain", abridged(s))
			return
		}
		p.DNSSearch = d.appendOnce(p.DNSSearch, s, item, key)
	})
}

var optionForm = pattern.New(`^[a-z][a-z0-9-]*(:[0-9]+)?$`)

func readDNSOpt(d *decoder, p *Profile, n *node, key string) {
	d.texts(n, key, false, func(item *node, s string) {
		if !optionForm.MatchString(s) {
			d.bad(item, key, "write an option of resolv.conf(5): ndots:1", "%q is no option", abridged(s))
			return
		}
		p.DNSOpt = d.appendOnce(p.DNSOpt, s, item, key)
	})
}

// finishNetwork refuses keys that contradict network_mode.
func (d *decoder) finishNetwork() {
	p := d.profile
	mode, said := p.Lines["network_mode"]
	_, joins := strings.CutPrefix(p.NetworkMode, "container:")
	if len(p.Networks) > 0 && said {
		d.badAt(mode, "network_mode", "remove one of the two", "networks: stands beside it, and puts the container on bridges")
	}
	for _, key := range []struct {
		name       string
		set        bool
		none, host bool // whether it has a meaning there
	}{
		{name: "ports", set: len(p.Ports) > 0, host: true},
		{name: "mac_address", set: p.MACAddress != ""},
		{name: "dns", set: len(p.DNS) > 0, host: true},
		{name: "dns_search", set: len(p.DNSSearch) > 0, host: true},
		{name: "dns_opt", set: len(p.DNSOpt) > 0, host: true},
		{name: "hostname", set: p.Hostname != "", none: true, host: true},
		{name: "extra_hosts", set: len(p.ExtraHosts) > 0, none: true, host: true},
	} {
		switch {
		case !key.set:
		case p.NetworkMode == "none" && !key.none:
			d.sharedNetwork(key.name, "there is no network with network_mode: none")
		case joins:
			d.sharedNetwork(key.name, "with network_mode: "+p.NetworkMode+" it is the other container's to say")
		case (p.NetworkMode == "" || p.NetworkMode == "host") && !key.host:
			d.sharedNetwork(key.name, "with the host's network there is no interface of the container's own")
		}
	}
	ours := map[string]string{}
	for _, one := range p.Networks {
		for _, ip := range []string{one.IPv4, one.IPv6} {
			if ip != "" && ours[ip] != "" {
				d.badAt(p.Lines[one.Key], one.Key, "choose another one", "the address %s stands under %s too", ip, ours[ip])
			}
			ours[ip] = one.Key
		}
	}
}

func (d *decoder) sharedNetwork(key, why string) {
	pos, ok := d.profile.Lines[key]
	if !ok {
		pos = d.profile.Lines[key+"[0]"]
	}
	d.badAt(pos, key, "remove it", "%s", why)
}
