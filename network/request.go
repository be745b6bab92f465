// Package network is what containers ask of a network, and what follows from it: bridges, subnets, CNI configurations, hosts
// files, conflicts. It is pure: package network/bridge acts on it, network/sockets looks at the machine.
package network

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Modes of a request. A container without any network has no request.
const (
	Host      = "host"      // the machine's own; its ports are only looked at
	Bridge    = "bridge"    // a network namespace of its own, with an interface on each network
	Container = "container" // the network namespace of another container
)

// A Request is what one container asks for. Its JSON form is kept in the container's record.
type Request struct {
	Mode        string       `json:"mode"`
	Join        string       `json:"join,omitempty"` // the other container, with mode "container"
	Hostname    string       `json:"hostname,omitempty"`
	Domain      string       `json:"domain,omitempty"`
	Attachments []Attachment `json:"attachments,omitempty"` // interfaces eth0, eth1, ..., in order; the first has the default route and the ports
	Ports       []Port       `json:"ports,omitempty"`
	Links       []OtherName  `json:"links,omitempty"`    // further names for others, for this container alone
	Gateways    []string     `json:"gateways,omitempty"` // names for the host as the container sees it (host-gateway)
}

// An OtherName is a further name of a container that is on one of the same networks.
type OtherName struct {
	Name  string `json:"name"`
	Alias string `json:"alias"`
}

// An Attachment is one interface.
type Attachment struct {
	Network Definition `json:"network"`
	Aliases []string   `json:"aliases,omitempty"` // further names for the other containers of the network
	IPv4    string     `json:"ipv4,omitempty"`    // "": any
	IPv6    string     `json:"ipv6,omitempty"`
	MAC     string     `json:"mac,omitempty"`
}

// A Definition describes a network. Names are of one namespace of hostrun's.
type Definition struct {
	Name     string   `json:"name"`
	Subnets  []Subnet `json:"subnets,omitempty"` // none of a family: a free one is taken
	Internal bool     `json:"internal,omitempty"`
	IPv6     bool     `json:"ipv6,omitempty"`
	MTU      int      `json:"mtu,omitempty"` // 0: the kernel's

	Driver   string   `json:"driver,omitempty"`   // "" is what it is already, else a bridge; Macvlan, Ipvlan
	Parent   string   `json:"parent,omitempty"`   // of these two: the interface of the host that theirs belong to
	Mode     string   `json:"mode,omitempty"`     // of these two; "" is the first that the kernel knows: "bridge", "l2"
	Reserved []string `json:"reserved,omitempty"` // addresses of the subnets that no container gets unasked, or asked
}

// Drivers whose interfaces share that of the host: the container is on its network, with an address of its own, and no rule of the
// host's stands between (macvlan and ipvlan of ip-link(8)).
const (
	Macvlan = "macvlan"
	Ipvlan  = "ipvlan"
)

// A Subnet is one of a network's, as compose's ipam.config.
type Subnet struct {
	Subnet  string `json:"subnet"`            // 10.5.0.0/16
	Gateway string `json:"gateway,omitempty"` // "": the first address
	Range   string `json:"range,omitempty"`   // the part that addresses are given from; "": all of it
}

// DefaultName is the network of a container that names none.
const DefaultName = "default"

// A Port is one entry of ports, or a range of them. Without First any free port of the host is taken; First to Last beside a
// single target are those to choose from.
type Port struct {
	HostIP   string `json:"ip,omitempty"` // "": all addresses
	First    uint16 `json:"first,omitempty"`
	Last     uint16 `json:"last,omitempty"`
	Target   uint16 `json:"target"`
	End      uint16 `json:"end,omitempty"`      // of a range of targets, inclusive; 0 for one
	Protocol string `json:"protocol,omitempty"` // "" is tcp; "udp", "sctp"
}

// Proto is the protocol's name.
func (p Port) Proto() string {
	if p.Protocol == "" {
		return "tcp"
	}
	return p.Protocol
}

// Targets is how many ports of the container the entry names.
func (p Port) Targets() int {
	if p.End == 0 {
		return 1
	}
	return int(p.End) - int(p.Target) + 1
}

// Fixed are the bindings whose port of the host is settled by the entry alone.
func (p Port) Fixed() []Binding {
	if p.First == 0 || p.Targets() == 1 && p.Last != 0 && p.Last != p.First {
		return nil
	}
	all := make([]Binding, p.Targets())
	for i := range all {
		all[i] = Binding{HostIP: p.HostIP, HostPort: p.First + uint16(i), Port: p.Target + uint16(i), Protocol: p.Proto()}
	}
	return all
}

// String is the entry in compose's short form.
func (p Port) String() string {
	text := span(p.Target, p.End)
	if p.First != 0 {
		text = span(p.First, p.Last) + ":" + text
	} else if p.HostIP != "" {
		text = ":" + text
	}
	if p.HostIP != "" {
		text = bracketed(p.HostIP) + ":" + text
	}
	if p.Proto() != "tcp" {
		text += "/" + p.Proto()
	}
	return text
}

func span(first, last uint16) string {
	if last == 0 || last == first {
		return strconv.Itoa(int(first))
	}
	return fmt.Sprintf("%d-%d", first, last)
}

func bracketed(ip string) string {
	if strings.Contains(ip, ":") {
		return "[" + ip + "]"
	}
	return ip
}

// A Binding is one port of the host that leads to one of the container.
type Binding struct {
	HostIP   string `json:"host_ip,omitempty"` // "": all addresses
	HostPort uint16 `json:"host_port"`
	Port     uint16 `json:"port"`
	Protocol string `json:"protocol"`
}

// String is docker's form: 0.0.0.0:8080->80/tcp.
func (b Binding) String() string {
	return fmt.Sprintf("%s->%d/%s", b.Address(), b.Port, b.Protocol)
}

// Address is where the host listens: 0.0.0.0:8080, [::1]:53.
func (b Binding) Address() string {
	ip := b.HostIP
	if ip == "" {
		ip = "0.0.0.0"
	}
	return fmt.Sprintf("%s:%d", bracketed(ip), b.HostPort)
}

// Listens are the addresses where a server with the binding listens: one without an address at all of both families.
func (b Binding) Listens() []netip.Addr {
	if ip, err := netip.ParseAddr(b.HostIP); err == nil {
		return []netip.Addr{ip}
	}
	return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
}

// Collides reports whether both can't be bound at once: same protocol and port, and addresses that overlap.
func (b Binding) Collides(o Binding) bool {
	return b.HostPort == o.HostPort && b.Protocol == o.Protocol && overlapping(b.HostIP, o.HostIP)
}

// overlapping: an unspecified address of a family takes all of that family; "" and :: take both (bind(2), IPV6_V6ONLY off).
func overlapping(a, b string) bool {
	x, errX := netip.ParseAddr(a)
	y, errY := netip.ParseAddr(b)
	switch {
	case errX != nil || errY != nil, x.Unmap() == y.Unmap():
		return true
	case x == netip.IPv6Unspecified() || y == netip.IPv6Unspecified():
		return true
	case x.Unmap().Is4() != y.Unmap().Is4():
		return false
	}
	return x.IsUnspecified() || y.IsUnspecified()
}

// Label is the request as the container's record keeps it; "" for the zero request.
func (r Request) Label() string {
	if r.Mode == "" {
		return ""
	}
	text, err := json.Marshal(r)
	if err != nil {
		return "" // strings and numbers always have a JSON form
	}
	return string(text)
}

// ParseLabel reads what Label wrote. A label that says nothing gives the zero request.
func ParseLabel(text string) Request {
	var r Request
	if text == "" || json.Unmarshal([]byte(text), &r) != nil {
		return Request{}
	}
	return r
}

// Fixed are the ports of the host that the request settles.
func (r Request) Fixed() []Binding {
	var all []Binding
	for _, p := range r.Ports {
		all = append(all, p.Fixed()...)
	}
	return all
}

// Equal reports whether both ask for the same.
func (r Request) Equal(o Request) bool { return r.Label() == o.Label() }

// Words are bindings as `ps` shows them, neighbours joined as docker does: 0.0.0.0:8000-8002->8000-8002/tcp.
func Words(all []Binding) []string {
	var words []string
	for i := 0; i < len(all); {
		j := i + 1
		for j < len(all) && follows(all[j-1], all[j]) {
			j++
		}
		first, last := all[i], all[j-1]
		if j-i == 1 {
			words = append(words, first.String())
		} else {
			words = append(words, fmt.Sprintf("%s-%d->%d-%d/%s", first.Address(), last.HostPort, first.Port, last.Port, first.Protocol))
		}
		i = j
	}
	return slices.Compact(words)
}

func follows(a, b Binding) bool {
	return b.HostIP == a.HostIP && b.Protocol == a.Protocol && b.HostPort == a.HostPort+1 && b.Port == a.Port+1
}
