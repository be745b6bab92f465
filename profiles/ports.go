package profiles

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A Port is one entry of ports: a port of the container or a range of them, and the host's that leads there. Several targets
// have as many ports of the host, or none of their own; one target may have several to choose from.
type Port struct {
	HostIP   string `json:"host_ip,omitempty"`   // "": all addresses
	First    uint16 `json:"published,omitempty"` // of the host; 0: any that is free
	Last     uint16 `json:"published_end,omitempty"`
	Target   uint16 `json:"target"`
	End      uint16 `json:"target_end,omitempty"` // inclusive; 0: one port
	Protocol string `json:"protocol"`             // "tcp", "udp", "sctp"
	Key      string `json:"key"`                  // in Lines: "ports[0]"
}

// Short is compose's short form: "127.0.0.1:8000-8010:8000-8010", "53:53/udp".
func (p Port) Short() string {
	words := span(p.Target, p.End)
	if p.First > 0 || p.HostIP != "" {
		host := ""
		if p.First > 0 {
			host = span(p.First, p.Last)
		}
		words = host + ":" + words
	}
	if strings.Contains(p.HostIP, ":") {
		words = "[" + p.HostIP + "]:" + words
	} else if p.HostIP != "" {
		words = p.HostIP + ":" + words
	}
	if p.Protocol != "tcp" && p.Protocol != "" {
		words += "/" + p.Protocol
	}
	return words
}

func span(first, last uint16) string {
	if last <= first {
		return strconv.Itoa(int(first))
	}
	return fmt.Sprintf("%d-%d", first, last)
}

var portProtocols = []string{"tcp", "udp", "sctp"}

const portRemedy = `write [ADDRESS:][HOST:]CONTAINER[/udp]: "8080:80", "127.0.0.1:8000-8010:8000-8010", "53:53/udp"`

// A longPort is the long form of a port while it is read.
type longPort struct{ Port }

var portFields = []field[longPort]{
	{name: "target", about: "the container's port", schema: intSchema, must: true, read: func(d *decoder, p *longPort, n *node, key string) {
		if first, last, ok := d.span(n, key); ok && first == last {
			p.Target = first
		} else if ok {
			d.bad(n, key, "write one port, or the short form", "%q is a range", n.text)
		}
	}},
	{name: "published", about: "the host's port, or a range to choose from; any free one by default", schema: object{"type": []string{"string", "integer"}}, read: func(d *decoder, p *longPort, n *node, key string) {
		if !anyPort(n.text) || n.kind != scalar {
			p.First, p.Last, _ = d.span(n, key)
		}
	}},
	{name: "host_ip", about: "the host's address; all by default", schema: textSchema, read: func(d *decoder, p *longPort, n *node, key string) {
		if n.kind == scalar && n.tag == "str" && n.text == "" { // compose's word for all of them
			return
		}
		if s, ok := d.text(n, key); ok {
			p.HostIP = d.address(n, key, s)
		}
	}},
	{name: "protocol", about: "tcp (default), udp or sctp", schema: enum(portProtocols...), read: func(d *decoder, p *longPort, n *node, key string) {
		p.Protocol, _ = d.oneOf(n, key, portProtocols...)
	}},
	{name: "mode", about: "of a swarm; means nothing on one machine", schema: enum("host", "ingress"), read: func(d *decoder, _ *longPort, n *node, key string) {
		d.oneOf(n, key, "host", "ingress")
	}},
	{name: "name", about: "for people", schema: textSchema, read: func(d *decoder, _ *longPort, n *node, key string) { d.text(n, key) }},
	{name: "app_protocol", about: "for people", schema: textSchema, read: func(d *decoder, _ *longPort, n *node, key string) { d.text(n, key) }},
}

func readPorts(d *decoder, p *Profile, n *node, key string) {
	if n.kind != list {
		d.bad(n, key, `write a list: - "8080:80"`, "expected a list, got %s", n.describe())
		return
	}
	for i, item := range n.items {
		at := index(key, i)
		var one Port
		ok := false
		if item.kind == mapping {
			var long longPort
			ok = readFields(d, &long, item, at, portFields) && long.Target != 0
			one = long.Port
		} else if s, isPort := d.portText(item, at); isPort {
			one, ok = d.shortPort(item, at, s)
		}
		if ok {
			d.addPort(p, one, item, key)
		}
	}
}

// portText reads text, or a number as people write it. YAML takes 22:22 for a number of base 60, which docker warns of.
func (d *decoder) portText(n *node, key string) (string, bool) {
	if n.kind == scalar && (n.tag == "int" || n.tag == "str") {
		return n.text, true
	}
	if n.kind == scalar && n.tag == "float" {
		d.bad(n, key, fmt.Sprintf("put it in quotes: %q", n.text), "expected a port, got %s", n.describe())
		return "", false
	}
	return d.text(n, key)
}

// shortPort reads [ADDRESS:][HOST[-HOST]:]CONTAINER[-CONTAINER][/PROTOCOL].
func (d *decoder) shortPort(n *node, key, s string) (Port, bool) {
	p := Port{Protocol: "tcp"}
	rest, protocol, has := strings.Cut(s, "/")
	if has {
		p.Protocol = strings.ToLower(protocol)
		if !contains(portProtocols, p.Protocol) {
			d.bad(n, key, "write tcp, udp or sctp", "%q is no protocol", abridged(protocol))
			return p, false
		}
	}
	host, target := "", rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		host, target = rest[:i], rest[i+1:]
	}
	var err error
	if p.Target, p.End, err = portSpan(target); err != nil {
		d.bad(n, key, portRemedy, "%q: %v", abridged(s), err)
		return p, false
	}
	if p.End == p.Target {
		p.End = 0
	}
	if address, published, split := cutAddress(host); split {
		if host = published; address != "" && address != "[]" { // else, as of "${BIND:-}:8080:80", it is all of them
			if p.HostIP = d.address(n, key, address); p.HostIP == "" {
				return p, false
			}
		}
	}
	if anyPort(host) {
		return p, true
	}
	if p.First, p.Last, err = portSpan(host); err != nil {
		d.bad(n, key, portRemedy, "%q: %v", abridged(s), err)
		return p, false
	}
	return p, d.fits(p, n, key)
}

// anyPort is whether the host's side asks for a port that is free, as for docker: ":80" and "0:80".
func anyPort(host string) bool { return host == "" || host == "0" }

// cutAddress splits ADDRESS:PORT, with an IPv6 address in brackets.
func cutAddress(s string) (address, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", s, false
	}
	return s[:i], s[i+1:], true
}

// fits refuses ranges of different lengths.
func (d *decoder) fits(p Port, n *node, key string) bool {
	targets := 1
	if p.End != 0 {
		targets = int(p.End) - int(p.Target) + 1
	}
	if published := int(p.Last) - int(p.First) + 1; p.First != 0 && targets > 1 && published != targets {
		d.bad(n, key, "make both ranges of one length", "%d ports of the host for %d of the container", published, targets)
		return false
	}
	return true
}

func (d *decoder) address(n *node, key, s string) string {
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil || ip.Zone() != "" {
		d.bad(n, key, "write an address of this machine: 127.0.0.1, [::1]", "%q is no IP address", abridged(s))
		return ""
	}
	return ip.String()
}

// span reads a port or FIRST-LAST.
func (d *decoder) span(n *node, key string) (first, last uint16, ok bool) {
	s, ok := d.portText(n, key)
	if !ok {
		return 0, 0, false
	}
	first, last, err := portSpan(s)
	if err != nil {
		d.bad(n, key, "write a port from 1 to 65535", "%q: %v", abridged(s), err)
		return 0, 0, false
	}
	return first, last, true
}

func portSpan(s string) (first, last uint16, err error) {
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	var ends [2]uint16
	for i, text := range []string{from, to} {
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil || port == 0 {
			return 0, 0, fmt.Errorf("%q is no port, which is a number from 1 to 65535", abridged(text))
		}
		ends[i] = uint16(port)
	}
	if ends[0] > ends[1] {
		return 0, 0, fmt.Errorf("the range %s runs backwards", abridged(s))
	}
	return ends[0], ends[1], nil
}

// addPort adds an entry unless the profile has it: as compose, the same one twice is one.
func (d *decoder) addPort(p *Profile, one Port, n *node, key string) {
	if one.Protocol == "" {
		one.Protocol = "tcp"
	}
	for _, have := range p.Ports {
		same := have
		if same.Key = ""; same == one {
			return
		}
	}
	one.Key = index(key, len(p.Ports))
	d.mark(one.Key, n.pos)
	p.Ports = append(p.Ports, one)
}

func readExpose(d *decoder, p *Profile, n *node, key string) {
	if n.kind != list {
		d.bad(n, key, "write a list: - 8000", "expected a list, got %s", n.describe())
		return
	}
	for i, item := range n.items {
		at := index(key, i)
		s, ok := d.portText(item, at)
		if !ok {
			continue
		}
		port, protocol, has := strings.Cut(s, "/")
		if _, _, err := portSpan(port); err != nil || has && !contains(portProtocols, protocol) {
			d.bad(item, at, "write PORT[-PORT][/udp]", "%q is no port", abridged(s))
			continue
		}
		p.Expose = append(p.Expose, s)
	}
}
