package plan_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/network"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

func port(first, target uint16) profiles.Port {
	return profiles.Port{First: first, Last: first, Target: target, Protocol: "tcp", Key: "ports[0]"}
}

// TestPortsOfInternalNetworks: docker publishes nothing from them and says nothing.
func TestPortsOfInternalNetworks(t *testing.T) {
	for _, c := range []struct {
		networks []profiles.Network
		warns    bool
	}{
		{[]profiles.Network{{Name: "in", Internal: true, Key: "networks[0]"}}, true},
		{[]profiles.Network{{Name: "in", Internal: true, Key: "networks[0]"}, {Name: "out", Key: "networks[1]"}}, false},
	} {
		f := simple()
		f.Profile.NetworkMode, f.Profile.Networks = "bridge", c.networks
		f.Profile.Ports = []profiles.Port{{Target: 80, First: 8080, Protocol: "tcp", Key: "ports[0]"}}
		pl := build(t, f)
		if warns := slices.ContainsFunc(pl.Findings, func(g finding.Finding) bool { return g.ID == finding.PortsUnpublished && g.Severity == finding.Warning }); warns != c.warns {
			t.Errorf("%v: warned: %v", c.networks, warns)
		}
	}
}

// bridged is a job on two networks with a port.
func bridged() plan.Facts {
	f := simple()
	f.Profile.NetworkMode = "bridge"
	f.Profile.Networks = []profiles.Network{
		{Name: "front", Key: "networks.front"},
		{Name: "back", Key: "networks.back", Aliases: []string{"db"}, Priority: 9, Subnets: []profiles.Subnet{{Subnet: "10.5.0.0/24"}}},
	}
	f.Profile.Ports = []profiles.Port{port(8080, 80)}
	f.Profile.Domainname, f.Profile.MACAddress = "example.org", "02:42:ac:11:00:02"
	f.Profile.ExtraHosts = []profiles.Host{{Name: "host.docker.internal", IP: "host-gateway"}, {Name: "a", IP: "192.0.2.1"}}
	f.Profile.DNSSearch, f.Profile.DNSOpt = []string{"b.example.org"}, []string{"ndots:1"}
	for key, line := range map[string]int{"networks.front": 4, "networks.back": 5, "ports[0]": 8, "dns_search[0]": 9, "domainname": 10} {
		f.Profile.Lines[key] = at(line)
	}
	f.Network = &plan.Network{}
	return f
}

func shared() plan.Facts {
	f := simple()
	f.Profile.NetworkMode = "container:web"
	return f
}

func init() {
	cases["bridge-networks"] = bridged
	cases["network-of-another-container"] = shared
}

// TestNetworkRequests: what the record keeps, and which namespace the spec names.
func TestNetworkRequests(t *testing.T) {
	pl := build(t, bridged())
	r := network.ParseLabel(pl.Labels[plan.LabelNetwork])
	if r.Mode != network.Bridge || len(r.Attachments) != 2 || r.Attachments[0].Network.Name != "back" || r.Attachments[0].MAC == "" || r.Attachments[1].MAC != "" ||
		len(r.Ports) != 1 || !slices.Equal(r.Gateways, []string{"host.docker.internal"}) {
		t.Errorf("request %+v", r)
	}
	for mode, want := range map[string]string{"bridge": "/run/hostrun/netns/hostrun/job", "container:web": "/run/hostrun/netns/hostrun/job", "none": "", "": "-"} {
		f := simple()
		f.Profile.NetworkMode = mode
		got := "-"
		for _, ns := range build(t, f).Spec.Linux.Namespaces {
			if ns.Type == specs.NetworkNamespace {
				got = ns.Path
			}
		}
		if got != want {
			t.Errorf("%q: network namespace %q, want %q", mode, got, want)
		}
	}
	f := bridged()
	f.Engine.StateDir = "/run/other"
	if ns := build(t, f).Spec.Linux.Namespaces; !slices.ContainsFunc(ns, func(n specs.LinuxNamespace) bool { return n.Path == "/run/other/netns/hostrun/job" }) {
		t.Errorf("namespaces %+v", ns)
	}
	if host := build(t, simple()); host.Labels[plan.LabelNetwork] != "" {
		t.Errorf("a job without ports asks for %s", host.Labels[plan.LabelNetwork])
	}
}

// TestNetworkRefusals: each stops the start with its line.
func TestNetworkRefusals(t *testing.T) {
	binding := network.Binding{HostPort: 8080, Port: 80, Protocol: "tcp"}
	for name, c := range map[string]struct {
		change func(*plan.Facts)
		id     string
		line   int
		want   string
	}{
		"port taken": {func(f *plan.Facts) {
			f.Network.Taken = []plan.TakenPort{{Binding: binding, Holder: "process 8 (nginx)"}}
		}, finding.PortTaken, 8, "0.0.0.0:8080/tcp is in use by process 8 (nginx)"},
		"port hidden": {func(f *plan.Facts) { f.Network.Taken = []plan.TakenPort{{Binding: binding}} }, finding.PortTaken, 8, "can't be seen from here"},
		"no address":  {func(f *plan.Facts) { f.Network.Taken = []plan.TakenPort{{Binding: binding, NoAddress: true}} }, finding.PortFamily, 8, "the machine has no address"},
		"no plugins":  {func(f *plan.Facts) { f.Network.Missing = []string{"CNI's plugin bridge", "iptables"} }, finding.NetworkTools, 0, "CNI's plugin bridge and iptables are not installed"},
		"twice": {func(f *plan.Facts) {
			f.Profile.Ports = append(f.Profile.Ports, profiles.Port{HostIP: "127.0.0.1", First: 8079, Last: 8081, Target: 80, End: 82, Protocol: "tcp", Key: "ports[0]"})
		}, finding.ProfileInvalid, 8, "port 127.0.0.1:8080/tcp of the host stands twice"},
		"other port on the host's network": {func(f *plan.Facts) { f.Profile.NetworkMode, f.Profile.Networks, f.Profile.MACAddress = "", nil, "" }, finding.PortsDiffer, 8, "the container's port 80 is the host's 80: nothing leads from 8080 there"},
		"subnet of an interface": {func(f *plan.Facts) {
			f.Network.Interfaces = []network.Interfaces{{Name: "docker0", Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}
		}, finding.SubnetTaken, 5, "overlaps with 10.0.0.0/8 of the interface docker0"},
		"subnet of a network": {func(f *plan.Facts) {
			f.Network.Others = []network.Entry{{Namespace: "hostrun", ID: "web", Links: []network.Link{{Network: "lan", Bridge: "hr-1", Subnets: []network.Subnet{{Subnet: "10.5.0.0/16"}}}}}}
		}, finding.SubnetTaken, 5, "of the network lan (container web)"},
		"described otherwise": {func(f *plan.Facts) {
			f.Network.Others = []network.Entry{{Namespace: "hostrun", ID: "web", Links: []network.Link{{Network: "back", Bridge: "hr-1", Subnets: []network.Subnet{{Subnet: "10.7.0.0/16"}}}}}}
		}, finding.NetworkDiffers, 5, "asked for with 10.5.0.0/24"},
		"address": {func(f *plan.Facts) { f.Profile.Networks[1].IPv4 = "10.9.0.1" }, finding.AddressTaken, 5, "outside of the network back"},
	} {
		f := bridged()
		c.change(&f)
		pl, err := plan.Build(f)
		i := slices.IndexFunc(pl.Findings, func(g finding.Finding) bool { return g.ID == c.id })
		if err == nil || i < 0 || pl.Findings[i].Line != c.line && c.line > 0 || !strings.Contains(pl.Findings[i].Message, c.want) {
			t.Errorf("%s: %v, findings %+v", name, err, pl.Findings)
		}
	}
}

// TestResolvers: servers at loopback addresses are the container's own in a network namespace.
func TestResolvers(t *testing.T) {
	for name, c := range map[string]struct {
		conf, upstream string
		dns            []string
		source, want   string // of the mount, and the generated content
		warns          bool
	}{
		"reachable":        {conf: "nameserver 192.0.2.53\n", source: "/etc/resolv.conf"},
		"systemd-resolved": {conf: "nameserver 127.0.0.53\n", upstream: "nameserver 192.0.2.53\n", source: "/run/systemd/resolve/resolv.conf"},
		"dnsmasq":          {conf: "nameserver 127.0.0.1\n", source: "/etc/resolv.conf", warns: true},
		"one of two":       {conf: "search a.org\nnameserver ::1\nnameserver 192.0.2.53\n", want: "search a.org\nnameserver 192.0.2.53\n"},
		"the profile's":    {conf: "search a.org\nnameserver 127.0.0.1\noptions ndots:2\n", dns: []string{"192.0.2.54"}, want: "nameserver 192.0.2.54\nsearch a.org\noptions ndots:2\n"},
	} {
		f := simple()
		f.Profile.NetworkMode, f.Profile.DNS = "bridge", c.dns
		f.Host.ResolvConf, f.Host.Upstream = c.conf, c.upstream
		pl := build(t, f)
		source := ""
		for _, m := range pl.Spec.Mounts {
			if m.Destination == "/etc/resolv.conf" {
				source = m.Source
			}
		}
		content := ""
		for _, file := range pl.Files {
			if strings.HasSuffix(file.Path, "/resolv.conf") {
				content = file.Content
			}
		}
		warns := slices.ContainsFunc(pl.Findings, func(g finding.Finding) bool { return g.ID == finding.NameServerLocal && g.Severity == finding.Warning })
		if c.source != "" && source != c.source || content != c.want || warns != c.warns {
			t.Errorf("%s: bound %s, content %q, warning %v", name, source, content, warns)
		}
	}
}

// TestGatewayPriority: gw_priority decides about the default route, whatever priority says, which decides the rest.
func TestGatewayPriority(t *testing.T) {
	for _, c := range []struct {
		networks   []profiles.Network
		first, mac string
	}{
		{[]profiles.Network{{Name: "a"}, {Name: "b"}}, "a", "a"},
		{[]profiles.Network{{Name: "a"}, {Name: "b", Priority: 1}}, "b", "b"},
		{[]profiles.Network{{Name: "a", Priority: 50}, {Name: "b", Priority: 100, GatewayPriority: 1}}, "b", "b"},
		{[]profiles.Network{{Name: "a", Priority: 100}, {Name: "b", GatewayPriority: 1}}, "b", "a"},
		{[]profiles.Network{{Name: "a", GatewayPriority: -1, Priority: 5}, {Name: "b"}, {Name: "c", Priority: 1}}, "c", "a"},
		{[]profiles.Network{{Name: "a", Internal: true, GatewayPriority: 9, Priority: 9}, {Name: "b"}}, "b", "b"},
		{[]profiles.Network{{Name: "a", Priority: -1 << 63}, {Name: "b", Priority: 1<<63 - 1}}, "b", "b"},
	} {
		f := simple()
		f.Profile.NetworkMode, f.Profile.Networks, f.Profile.MACAddress = "bridge", c.networks, "02:42:ac:11:00:02"
		all := network.ParseLabel(build(t, f).Labels[plan.LabelNetwork]).Attachments
		mac := ""
		for _, a := range all {
			if a.MAC != "" {
				mac += a.Network.Name
			}
		}
		if all[0].Network.Name != c.first || mac != c.mac {
			t.Errorf("%+v: the first is %s, the hardware address is that of %s; want %s and %s", c.networks, all[0].Network.Name, mac, c.first, c.mac)
		}
	}
}
