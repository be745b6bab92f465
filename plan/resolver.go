package plan

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
)

// resolvConf is the host's, bound, so that it follows the host's changes; or one with what the profile says instead of the
// host's: servers, search domains, options, each by itself (docker's rule).
func (b *builder) resolvConf() nameFile {
	if b.p.NetworkMode == "none" || b.f.Host.ResolvConf == "" && len(b.p.DNS) == 0 {
		return nameFile{}
	}
	origin := ""
	for _, key := range []string{"dns", "dns_search", "dns_opt"} {
		if _, ok := b.position(key + "[0]"); ok && origin == "" {
			origin = b.fromProfile(key)
		}
	}
	said := len(b.p.DNS)+len(b.p.DNSSearch)+len(b.p.DNSOpt) > 0
	base := nameFile{name: "resolv.conf", host: true, origin: "host", content: b.f.Host.ResolvConf}
	if !b.hostNetwork() && len(b.p.DNS) == 0 {
		base = b.forwarded(base)
	}
	if !said {
		return base
	}
	return generated("resolv.conf", b.adapted(base.content), origin)
}

// forwarded is a resolv.conf whose servers are reached from a network namespace: not those at loopback addresses, which are
// the container itself there. systemd-resolved has a file of those that it asks.
func (b *builder) forwarded(own nameFile) nameFile {
	servers := fieldsOf(own.content, "nameserver")
	local := func(s string) bool { ip, err := netip.ParseAddr(s); return err == nil && ip.IsLoopback() }
	switch {
	case !slices.ContainsFunc(servers, local) && len(servers) > 0:
		return own
	case b.f.Host.Upstream != "":
		return nameFile{name: own.name, host: true, origin: own.origin, source: host.UpstreamPath, content: b.f.Host.Upstream}
	}
	rest := slices.DeleteFunc(slices.Clone(servers), local)
	if len(rest) == 0 {
		b.report("network_mode", finding.Finding{ID: finding.NameServerLocal, Severity: finding.Warning, Subject: "/etc/resolv.conf",
			Got: "nameserver " + strings.Join(servers, ", "), Message: "the container can't ask the host's name server, which listens at a loopback address: no name outside of its networks will be found",
			Remedy: "add dns: with the address of a name server"})
		return own
	}
	return generated(own.name, without127(own.content, rest), own.origin)
}

func without127(content string, servers []string) string {
	var b strings.Builder
	for _, line := range strings.Split(strings.TrimSuffix(content, "\n"), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "nameserver" && !slices.Contains(servers, f[1]) {
			continue
		}
		b.WriteString(line + "\n")
	}
	return b.String()
}

// adapted puts the profile's words in place of those of content.
func (b *builder) adapted(content string) string {
	var text strings.Builder
	servers := b.p.DNS
	if len(servers) == 0 {
		servers = fieldsOf(content, "nameserver")
	}
	for _, s := range servers {
		fmt.Fprintf(&text, "nameserver %s\n", s)
	}
	for _, line := range strings.Split(content, "\n") {
		switch f := strings.Fields(line); {
		case len(f) < 2:
		case (f[0] == "search" || f[0] == "domain") && len(b.p.DNSSearch) == 0, f[0] == "options" && len(b.p.DNSOpt) == 0:
			text.WriteString(strings.Join(f, " ") + "\n")
		}
	}
	if len(b.p.DNSSearch) > 0 && !slices.Equal(b.p.DNSSearch, []string{"."}) { // "." says: none (docker)
		text.WriteString("search " + strings.Join(b.p.DNSSearch, " ") + "\n")
	}
	if len(b.p.DNSOpt) > 0 {
		text.WriteString("options " + strings.Join(b.p.DNSOpt, " ") + "\n")
	}
	return text.String()
}

// fieldsOf are the values of a keyword in a resolv.conf (resolv.conf(5)).
func fieldsOf(content, keyword string) []string {
	var all []string
	for _, line := range strings.Split(content, "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[0] == keyword {
			all = append(all, f[1])
		}
	}
	return all
}
