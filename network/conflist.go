package network

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
)

// CNIVersion is one that all plugins from 1.0 on know (containernetworking.github.io, CNI 1.0.0).
const CNIVersion = "1.0.0"

// Configurations are the CNI network configuration lists of the entry, one for each link. leases is where host-local keeps its own.
func (e Entry) Configurations(leases string, firewalld bool) ([][]byte, error) {
	var all [][]byte
	for i, l := range e.Links {
		ipam := map[string]any{"type": "host-local", "dataDir": leases, "ranges": l.ranges()}
		if i == 0 && !l.Internal {
			ipam["routes"] = l.routes()
		}
		var plugins []map[string]any
		if l.Bridged() {
			plugins = append(plugins, l.bridgePlugin(ipam))
			if firewalld {
				plugins = append(plugins, map[string]any{"type": "firewall", "backend": "firewalld"})
			}
		} else {
			plugins = append(plugins, l.childPlugin(ipam))
		}
		text, err := json.Marshal(map[string]any{"cniVersion": CNIVersion, "name": l.Bridge, "plugins": plugins})
		if err != nil {
			return nil, fmt.Errorf("configure the network %s: %w", l.Network, err)
		}
		all = append(all, text)
	}
	return all, nil
}

// bridgePlugin is the configuration of CNI's bridge. An internal network has the bridge's address too, so that names and the host
// are reached, but no route. Masquerading is a rule of the network's (package bridge), not of each container's.
func (l Link) bridgePlugin(ipam map[string]any) map[string]any {
	plugin := map[string]any{"type": "bridge", "bridge": l.Bridge, "isGateway": true, "hairpinMode": true, "ipam": ipam}
	args := map[string]any{}
	if l.MAC != "" {
		args["mac"] = l.MAC
	}
	return l.common(plugin, args)
}

// childPlugin is the configuration of CNI's macvlan and ipvlan. The gateway is a machine of the parent's network.
func (l Link) childPlugin(ipam map[string]any) map[string]any {
	plugin := map[string]any{"type": l.Driver, "master": l.Parent, "ipam": ipam}
	if l.Mode != "" {
		plugin["mode"] = l.Mode
	}
	if l.MAC != "" && l.Driver == Macvlan { // those of ipvlan have the parent's
		plugin["mac"] = l.MAC
	}
	return l.common(plugin, map[string]any{})
}

func (l Link) common(plugin, args map[string]any) map[string]any {
	if l.MTU > 0 {
		plugin["mtu"] = l.MTU
	}
	if len(l.Static) > 0 {
		args["ips"] = l.Static
	}
	if len(args) > 0 {
		plugin["args"] = map[string]any{"cni": args}
	}
	return plugin
}

// ranges are host-local's: a set for each subnet, of what is given of it. What is reserved lies between two ranges.
func (l Link) ranges() [][]map[string]string {
	var all [][]map[string]string
	for _, s := range l.Subnets {
		part, whole := s.prefix(), true
		if r, err := netip.ParsePrefix(s.Range); err == nil && !l.asksOutside(s, r) {
			part, whole = r, false
		}
		first, last := ends(part)
		if first == s.prefix().Addr() {
			first = first.Next()
		}
		var set []map[string]string
		add := func(first, last netip.Addr) {
			if first.Compare(last) <= 0 {
				set = append(set, map[string]string{"subnet": s.prefix().String(), "gateway": s.GatewayOf(), "rangeStart": first.String(), "rangeEnd": last.String()})
			}
		}
		for _, kept := range l.reserved(part) {
			whole = false
			add(first, kept.Prev())
			first = kept.Next()
		}
		add(first, last)
		if whole {
			set = []map[string]string{{"subnet": s.prefix().String(), "gateway": s.GatewayOf()}}
		}
		all = append(all, set)
	}
	return all
}

// reserved are the link's reserved addresses of a prefix, in order, each once.
func (l Link) reserved(of netip.Prefix) []netip.Addr {
	var all []netip.Addr
	for _, text := range l.Reserved {
		if ip, err := netip.ParseAddr(text); err == nil && of.Contains(ip) {
			all = append(all, ip)
		}
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// asksOutside: the range is for addresses that are given; one that is asked for may be any of the subnet, and host-local knows but one
// range for both.
func (l Link) asksOutside(s Subnet, r netip.Prefix) bool {
	return slices.ContainsFunc(l.Static, func(ip string) bool {
		a, err := netip.ParseAddr(ip)
		return err == nil && s.prefix().Contains(a) && !r.Contains(a)
	})
}

func (l Link) routes() []map[string]string {
	var all []map[string]string
	for _, s := range l.Subnets {
		if s.is6() {
			all = append(all, map[string]string{"dst": "::/0"})
		} else {
			all = append(all, map[string]string{"dst": "0.0.0.0/0"})
		}
	}
	return all
}

// ends are the first and the last address of a prefix that can be given: not the broadcast address of IPv4.
func ends(p netip.Prefix) (first, last netip.Addr) {
	p = p.Masked()
	bytes := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(bytes)*8; bit++ {
		bytes[bit/8] |= 1 << (7 - bit%8)
	}
	last, _ = netip.AddrFromSlice(bytes)
	if p.Addr().Is4() && p.Bits() < 31 {
		last = last.Prev()
	}
	return p.Addr(), last
}
