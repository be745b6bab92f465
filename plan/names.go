package plan

import (
	"fmt"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// addNames gives the container /etc/hosts, /etc/resolv.conf and /etc/hostname. Under the host's network they are the host's own,
// bound and read-only, unless the profile adds to them.
func (b *builder) addNames() {
	b.addName("/etc/hosts", b.hosts())
	b.addName("/etc/resolv.conf", b.resolvConf())
	b.addName("/etc/hostname", generated("hostname", b.hostname()+"\n", "hostrun"))
}

// nameFile is one of the three: content to generate, or the host's.
type nameFile struct {
	name, content, origin string
	host                  bool
	source                string // of the host's, where it lies elsewhere than in the container
}

func generated(name, content, origin string) nameFile {
	return nameFile{name: name, content: content, origin: origin}
}

func (b *builder) addName(destination string, n nameFile) {
	if n.name == "" {
		return
	}
	source := destination
	switch {
	case n.source != "":
		source = n.source
	case !n.host:
		source = b.addFile(n.name, n.content)
	}
	b.mounts = append(b.mounts, mount{Mount: bindFile(source, destination), origin: n.origin, replaceable: true})
}

// localHosts are docker's.
const localHosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\nff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n"

// hosts adds the profile's entries to the host's, or to those of a machine without network. A hostname of the profile gets
// an address of its own, as Debian does it (127.0.1.1): programs that look up their own name, gloo among them, fail without.
func (b *builder) hosts() nameFile {
	var own strings.Builder
	for i, h := range b.p.ExtraHosts {
		ip := h.IP
		if ip == "host-gateway" {
			if Bridged(b.p) && b.checkHostReached(i) { // its address is known when the network is: the runtime writes the line
				b.network.Gateways = append(b.network.Gateways, h.Name)
			}
			if Bridged(b.p) {
				continue
			}
			ip = "127.0.0.1"
			b.checkGateway(i)
		}
		fmt.Fprintf(&own, "%s\t%s\n", ip, h.Name)
	}
	for _, l := range b.p.Links {
		if b.hostNetwork() { // what is on the host's network, too, is at the host's own address
			fmt.Fprintf(&own, "127.0.0.1\t%s\n", l.Alias)
		}
	}
	base := localHosts
	if b.hostNetwork() && b.f.Host.Hosts != "" {
		base = strings.TrimSuffix(b.f.Host.Hosts, "\n") + "\n"
	}
	if b.p.NetworkMode == "none" || b.hostNetwork() && b.p.Hostname != "" { // on a bridge it has an address, which the runtime writes
		if !names(base+own.String(), b.hostname()) {
			fmt.Fprintf(&own, "127.0.1.1\t%s\n", b.hostname())
		}
	}
	switch {
	case len(b.p.ExtraHosts) > 0:
		return generated("hosts", base+own.String(), b.fromProfile("extra_hosts"))
	case own.Len() > 0 || !b.hostNetwork():
		return generated("hosts", base+own.String(), "hostrun")
	case b.f.Host.Hosts == "":
		return nameFile{}
	}
	return nameFile{name: "hosts", host: true, origin: "host"}
}

// checkHostReached tells of a name for the host where no network leads to it: the kernel lets nothing pass between an interface and the
// macvlan or ipvlan ones on it.
func (b *builder) checkHostReached(i int) bool {
	bridge := func(n profiles.Network) bool { return b.driverOf(n.Name, n.Driver) == "" }
	if len(b.p.Networks) == 0 || slices.ContainsFunc(b.p.Networks, bridge) {
		return true
	}
	n := b.p.Networks[0]
	driver := b.driverOf(n.Name, n.Driver)
	b.report(fmt.Sprintf("extra_hosts[%d]", i), finding.Finding{
		ID: finding.HostUnreached, Severity: finding.Warning, Subject: "extra_hosts", Got: "network " + n.Name + ": driver: " + driver,
		Message: fmt.Sprintf("%s stays without an address: a container does not reach its host through a network of driver %s", b.p.ExtraHosts[i].Name, driver),
		Remedy:  "add a network of driver bridge",
	})
	return false
}

func (b *builder) checkGateway(i int) {
	if b.hostNetwork() {
		return
	}
	b.report(fmt.Sprintf("extra_hosts[%d]", i), finding.Finding{
		ID: finding.ProfileInvalid, Severity: finding.Error, Subject: "extra_hosts",
		Got: "host-gateway with network_mode: " + b.p.NetworkMode, Want: "network_mode: host",
		Message: "host-gateway names the host, which this container can't reach without a network",
		Remedy:  "remove the entry, or set network_mode: host",
	})
}

// names reports whether a hosts file (hosts(5)) knows name.
func names(hosts, name string) bool {
	for _, line := range strings.Split(hosts, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) > 1 && slices.Contains(fields[1:], name) {
			return true
		}
	}
	return false
}
