package profiles

import (
	"net/netip"
	"strings"
)

func readNetworkMode(d *decoder, p *Profile, n *node, key string) {
	s, ok := d.text(n, key)
	if !ok {
		return
	}
	word, name, _ := strings.Cut(s, ":")
	switch {
	case s == "host", s == "none", s == "bridge":
		p.NetworkMode = s
	case s == "default":
		p.NetworkMode = "bridge"
	case word == "service", word == "container":
		if !NameForm.MatchString(name) || name == p.Name {
			d.bad(n, key, "write the name of another container: container:web", "%q names no other container", abridged(s))
			return
		}
		p.NetworkMode = "container:" + name
		d.sharesService = word == "service"
	default:
		d.bad(n, key, "write host, none, bridge or container:NAME", "%q is not known", abridged(s))
	}
}

// finishNetworkMode makes a service whose network is shared one that comes first, as compose does: without it there is none.
func (d *decoder) finishNetworkMode() {
	if name, shares := strings.CutPrefix(d.profile.NetworkMode, "container:"); shares && d.sharesService {
		d.implied = append(d.implied, Dependency{Name: name, Condition: DependStarted, Restart: true, Key: "network_mode"})
	}
}

func readIPC(d *decoder, p *Profile, n *node, key string) {
	s, ok := d.text(n, key)
	if !ok {
		return
	}
	switch word, _, _ := strings.Cut(s, ":"); {
	case s == "private", s == "host", s == "shareable", s == "none":
		p.IPC = s
	case word == "service", word == "container":
		if name, ok := d.other(n, key, s); ok {
			p.IPC = "container:" + name
			d.sharesWith(key, word == "service")
		}
	default:
		d.bad(n, key, "write private, host, shareable, none, or container:NAME", "%q is not known", abridged(s))
	}
}

// readExtraHosts reads a list of NAME=ADDRESS (or NAME:ADDRESS), or a mapping of names to one address or several.
func readExtraHosts(d *decoder, p *Profile, n *node, key string) {
	switch n.kind {
	case mapping:
		for _, one := range n.pairs {
			d.texts(one.value, join(key, one.key), true, func(item *node, s string) {
				d.addHost(p, item, key, one.key, s)
			})
		}
	case list:
		d.texts(n, key, false, func(item *node, s string) {
			name, addresses, ok := strings.Cut(s, "=")
			if !ok {
				name, addresses, ok = strings.Cut(s, ":")
			}
			if !ok {
				d.bad(item, key, "write NAME=ADDRESS", "%q has no address", abridged(s))
				return
			}
			for _, address := range strings.Split(addresses, ",") {
				d.addHost(p, item, key, name, address)
			}
		})
	default:
		d.bad(n, key, "write a list: - NAME=ADDRESS", "expected a list or a mapping, got %s", n.describe())
	}
}

func (d *decoder) addHost(p *Profile, n *node, key, name, address string) {
	if !hostForm.MatchString(name) {
		d.bad(n, key, "write NAME=ADDRESS", "%q is no host name", abridged(name))
		return
	}
	if strings.HasPrefix(address, "[") && strings.HasSuffix(address, "]") {
		address = address[1 : len(address)-1]
	}
	if address != "host-gateway" {
		if _, err := netip.ParseAddr(address); err != nil {
			d.bad(n, key, "write NAME=ADDRESS: db=10.0.0.5, db=[::1]", "%q is no IP address", abridged(address))
			return
		}
	}
	h := Host{Name: name, IP: address}
	for _, have := range p.ExtraHosts {
		if have == h {
			return
		}
	}
	d.mark(index(key, len(p.ExtraHosts)), n.pos)
	p.ExtraHosts = append(p.ExtraHosts, h)
}

func readDNS(d *decoder, p *Profile, n *node, key string) {
	d.texts(n, key, true, func(item *node, s string) {
		if _, err := netip.ParseAddr(s); err != nil {
			d.bad(item, key, "write the server's address: 10.0.0.53", "%q is no IP address", abridged(s))
			return
		}
		p.DNS = d.appendOnce(p.DNS, s, item, key)
	})
}
