package network

import (
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func bridged(id string, a ...Attachment) Entry {
	return Entry{Namespace: "n", ID: id, Request: Request{Mode: Bridge, Attachments: a}}
}

func on(name string, subnets ...string) Attachment {
	a := Attachment{Network: Definition{Name: name}}
	for _, s := range subnets {
		a.Network.Subnets = append(a.Network.Subnets, Subnet{Subnet: s})
	}
	return a
}

func resolve(t *testing.T, e Entry, others []Entry, m Machine) Entry {
	t.Helper()
	got, err := Resolve(e, others, m)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func interfaces(name string, subnets ...string) Interfaces {
	i := Interfaces{Name: name}
	for _, s := range subnets {
		i.Subnets = append(i.Subnets, netip.MustParsePrefix(s))
	}
	return i
}

// TestSubnets: a network has the same free subnet each time, and shares it among its containers.
func TestSubnets(t *testing.T) {
	a := resolve(t, bridged("a", on("front"), on("back")), nil, Machine{})
	again := resolve(t, bridged("b", on("front")), nil, Machine{})
	if a.Links[0].Subnets[0] != again.Links[0].Subnets[0] || a.Links[0].Bridge != again.Links[0].Bridge {
		t.Errorf("the same network twice: %+v and %+v", a.Links[0], again.Links[0])
	}
	if a.Links[0].Subnets[0] == a.Links[1].Subnets[0] || a.Links[0].Bridge == a.Links[1].Bridge {
		t.Errorf("two networks share: %+v", a.Links)
	}
	busy := Machine{Interfaces: []Interfaces{interfaces("vpn0", a.Links[0].Subnets[0].Subnet), interfaces("eth0", "0.0.0.0/0")}}
	other := resolve(t, bridged("c", on("front")), nil, busy)
	if other.Links[0].Subnets[0] == a.Links[0].Subnets[0] {
		t.Errorf("the subnet of vpn0 was taken: %+v", other.Links[0])
	}
	joined := resolve(t, bridged("d", on("front")), []Entry{other}, Machine{})
	if joined.Links[0].Subnets[0] != other.Links[0].Subnets[0] {
		t.Errorf("a peer got another subnet: %+v", joined.Links[0])
	}
	own := Machine{Interfaces: []Interfaces{interfaces(a.Links[0].Bridge, a.Links[0].Subnets[0].Subnet)}}
	if left := resolve(t, bridged("e", on("front")), nil, own); left.Links[0].Subnets[0] != a.Links[0].Subnets[0] {
		t.Errorf("its own bridge is in the way: %+v", left.Links[0])
	}
}

func TestConflicts(t *testing.T) {
	here := resolve(t, bridged("web", on("front", "10.5.0.0/24")), nil, Machine{})
	here.Links[0].IPs = []string{"10.5.0.2"}
	addressed := func(ip string) Entry {
		a := on("front")
		a.IPv4 = ip
		return bridged("job", a)
	}
	internal := on("front")
	internal.Network.Internal = true
	six := on("front")
	six.Network.IPv6 = true
	for name, c := range map[string]struct {
		e    Entry
		kind ConflictKind
		want string
	}{
		"another network's subnet": {bridged("job", on("back", "10.5.0.0/16")), SubnetTaken, "overlaps with 10.5.0.0/24 of the network front (container web)"},
		"an interface's subnet":    {bridged("job", on("back", "192.0.2.0/25")), SubnetTaken, "overlaps with 192.0.2.0/24 of the interface eth0"},
		"another subnet":           {bridged("job", on("front", "10.6.0.0/24")), Differs, "the subnet 10.5.0.0/24, of container web, and asked for with 10.6.0.0/24"},
		"internal":                 {bridged("job", internal), Differs, "internal: false"},
		"IPv6":                     {bridged("job", six), Differs, "enable_ipv6: false"},
		"outside":                  {addressed("10.6.0.9"), AddressTaken, "outside of the network front, which has 10.5.0.0/24"},
		"the gateway":              {addressed("10.5.0.1"), AddressTaken, "the network front's own"},
		"a peer's":                 {addressed("10.5.0.2"), AddressTaken, "is container web's"},
	} {
		_, err := Resolve(c.e, []Entry{here}, Machine{Interfaces: []Interfaces{interfaces("eth0", "192.0.2.0/24")}})
		var got *Conflict
		if !errors.As(err, &got) || got.Kind != c.kind || !strings.Contains(got.Text, c.want) {
			t.Errorf("%s: got %v, want kind %d: %s", name, err, c.kind, c.want)
		}
	}
	if _, err := Resolve(addressed("10.5.0.2"), []Entry{{Namespace: "other", ID: "web", Links: here.Links}}, Machine{}); err == nil {
		t.Error("an address outside of a free subnet was given")
	}
}

func TestBindings(t *testing.T) {
	web := Entry{Namespace: "n", ID: "web", Bindings: []Binding{{HostPort: 8080, Port: 80, Protocol: "tcp"}}}
	free := func(b Binding) bool { return b.HostPort != 32768 }
	for name, c := range map[string]struct {
		ports []Port
		want  string // what is bound, or the error
	}{
		"fixed":            {[]Port{{First: 81, Last: 81, Target: 80}}, "0.0.0.0:81->80/tcp"},
		"range":            {[]Port{{First: 81, Last: 82, Target: 80, End: 81}}, "0.0.0.0:81-82->80-81/tcp"},
		"another protocol": {[]Port{{First: 8080, Last: 8080, Target: 80, Protocol: "udp"}}, "0.0.0.0:8080->80/udp"},
		"taken":            {[]Port{{First: 8080, Last: 8080, Target: 81}}, "port 0.0.0.0:8080/tcp is in use by container web"},
		"taken by address": {[]Port{{HostIP: "127.0.0.1", First: 8080, Last: 8080, Target: 81}}, "port 127.0.0.1:8080/tcp is in use by container web"},
		"any":              {[]Port{{Target: 80}, {Target: 81}}, "0.0.0.0:32769-32770->80-81/tcp"},
		"to choose from":   {[]Port{{First: 8080, Last: 8082, Target: 80}, {First: 8080, Last: 8082, Target: 80}}, "0.0.0.0:8081->80/tcp 0.0.0.0:8082->80/tcp"},
		"none left":        {[]Port{{First: 8080, Last: 8081, Target: 80}, {First: 8080, Last: 8081, Target: 80}}, "none of the ports 8080 to 8081 of the host is free for 8080-8081:80"},
	} {
		got, err := bindings(c.ports, []Entry{web}, free)
		text := strings.Join(Words(got), " ")
		if err != nil {
			text = err.Error()
		}
		if text != c.want {
			t.Errorf("%s: got %q, want %q", name, text, c.want)
		}
	}
}

func TestCollisions(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"", "", true}, {"", "127.0.0.1", true}, {"0.0.0.0", "127.0.0.1", true}, {"127.0.0.1", "127.0.0.2", false}, {"127.0.0.1", "127.0.0.1", true},
		{"::", "127.0.0.1", true}, {"::1", "127.0.0.1", false}, {"::1", "0.0.0.0", false}, {"", "::1", true}, {"::ffff:127.0.0.1", "127.0.0.1", true},
	} {
		a, b := Binding{HostIP: c.a, HostPort: 1, Protocol: "tcp"}, Binding{HostIP: c.b, HostPort: 1, Protocol: "tcp"}
		if a.Collides(b) != c.want || b.Collides(a) != c.want {
			t.Errorf("%q and %q: want %v", c.a, c.b, c.want)
		}
	}
}

// TestConfigurations is what CNI's plugins are told.
func TestConfigurations(t *testing.T) {
	six := on("front", "10.5.0.0/24")
	six.Network.Subnets = append(six.Network.Subnets, Subnet{Subnet: "fd00::/64"})
	six.Network.Subnets[0].Range = "10.5.0.0/28"
	six.IPv4, six.MAC, six.Network.MTU = "10.5.0.9", "02:42:ac:11:00:02", 9000
	inner := on("back", "10.6.0.0/24")
	inner.Network.Internal = true
	e := bridged("job", six, inner)
	e.Request.Ports = []Port{{First: 80, Last: 80, Target: 80}}
	e = resolve(t, e, nil, Machine{})
	lists, err := e.Configurations("/leases", true)
	if err != nil || len(lists) != 2 {
		t.Fatalf("%d lists, %v", len(lists), err)
	}
	want := []string{
		`{"cniVersion":"1.0.0","name":"` + e.Links[0].Bridge + `","plugins":[{"args":{"cni":{"ips":["10.5.0.9"],"mac":"02:42:ac:11:00:02"}},"bridge":"` + e.Links[0].Bridge + `","hairpinMode":true,` +
			`"ipam":{"dataDir":"/leases","ranges":[[{"gateway":"10.5.0.1","rangeEnd":"10.5.0.14","rangeStart":"10.5.0.1","subnet":"10.5.0.0/24"}],[{"gateway":"fd00::1","subnet":"fd00::/64"}]],"routes":[{"dst":"0.0.0.0/0"},{"dst":"::/0"}],"type":"host-local"},` +
			`"isGateway":true,"mtu":9000,"type":"bridge"},{"backend":"firewalld","type":"firewall"}]}`,
		`{"cniVersion":"1.0.0","name":"` + e.Links[1].Bridge + `","plugins":[{"bridge":"` + e.Links[1].Bridge + `","hairpinMode":true,"ipam":{"dataDir":"/leases","ranges":[[{"gateway":"10.6.0.1","subnet":"10.6.0.0/24"}]],"type":"host-local"},"isGateway":true,"type":"bridge"},{"backend":"firewalld","type":"firewall"}]}`,
	}
	for i := range want {
		if diff := cmp.Diff(want[i], string(lists[i])); diff != "" {
			t.Errorf("list %d: %s", i, diff)
		}
	}
}

// TestAddressOutsideOfTheRange: ip_range is for addresses that nobody has asked for.
func TestAddressOutsideOfTheRange(t *testing.T) {
	for ip, limited := range map[string]bool{"": true, "10.5.0.130": true, "10.5.0.9": false} {
		l := Link{Subnets: []Subnet{{Subnet: "10.5.0.0/24", Range: "10.5.0.128/25"}}}
		if ip != "" {
			l.Static = []string{ip}
		}
		if _, got := l.ranges()[0][0]["rangeStart"]; got != limited {
			t.Errorf("%q: %v", ip, l.ranges())
		}
	}
}

func TestHostsOfPeers(t *testing.T) {
	web := Entry{Namespace: "n", ID: "web", Request: Request{Mode: Bridge, Hostname: "www", Domain: "example.org", Gateways: []string{"host.docker.internal"}},
		Links: []Link{{Network: "front", Subnets: []Subnet{{Subnet: "10.5.0.0/24"}}, Aliases: []string{"site"}, IPs: []string{"10.5.0.2", "fd00::2"}}, {Network: "back", IPs: []string{"10.6.0.2"}}}}
	db := Entry{Namespace: "n", ID: "db", Links: []Link{{Network: "back", Aliases: []string{"sql"}, IPs: []string{"10.6.0.3"}}}}
	foreign := Entry{Namespace: "other", ID: "x", Links: []Link{{Network: "back", IPs: []string{"10.9.0.3"}}}}
	side := Entry{Namespace: "n", ID: "side", Request: Request{Mode: Container, Join: "web"}}
	all := []Entry{web, db, foreign, side}
	want := HostsMark + "10.5.0.2\twww.example.org www web site\nfd00::2\twww.example.org www web site\n10.6.0.2\twww.example.org www web\n10.5.0.1\thost.docker.internal\n10.6.0.3\tdb sql\n"
	for _, e := range []Entry{web, side} {
		if diff := cmp.Diff(want, Hosts(e, all)); diff != "" {
			t.Errorf("%s: %s", e.ID, diff)
		}
	}
	if got := Hosts(db, all); got != HostsMark+"10.6.0.3\tdb sql\n10.6.0.2\tweb\n" {
		t.Errorf("db: %q", got)
	}
	linked := db
	linked.Request.Links = []OtherName{{Name: "web", Alias: "frontend"}, {Name: "gone", Alias: "x"}, {Name: "web", Alias: "web"}}
	if got := Hosts(linked, all); got != HostsMark+"10.6.0.3\tdb sql\n10.6.0.2\tweb frontend\n" {
		t.Errorf("db, with links: %q", got)
	}
	if got := Hosts(Entry{Namespace: "n", ID: "y", Request: Request{Mode: Container, Join: "hostly"}}, all); got != "" {
		t.Errorf("a container that shares the host's network: %q", got)
	}
	for _, before := range []string{"127.0.0.1\tlocalhost\n", "127.0.0.1\tlocalhost\n" + HostsMark + "10.0.0.1\told\n"} {
		if got := WithHosts(before, HostsMark+"x\n"); got != "127.0.0.1\tlocalhost\n"+HostsMark+"x\n" {
			t.Errorf("%q became %q", before, got)
		}
	}
}

func TestLabels(t *testing.T) {
	r := Request{Mode: Bridge, Attachments: []Attachment{on("front", "10.5.0.0/24")}, Ports: []Port{{First: 1, Last: 1, Target: 2}}}
	if got := ParseLabel(r.Label()); !got.Equal(r) {
		t.Errorf("%+v came back as %+v", r, got)
	}
	if (Request{}).Label() != "" || ParseLabel("{").Mode != "" || ParseLabel("").Mode != "" {
		t.Error("no request has a label, or a broken label has a request")
	}
	var e Entry
	if err := json.Unmarshal([]byte(`{"namespace":"n","id":"a","links":[{"network":"x"}]}`), &e); err != nil || e.On("x") == nil || e.On("y") != nil {
		t.Errorf("%v, %+v", err, e)
	}
	if Same([]Entry{e}, "n", "a") == nil || Same([]Entry{e}, "m", "a") != nil {
		t.Error("Same")
	}
}

func TestPortWords(t *testing.T) {
	for _, c := range []struct {
		p    Port
		want string
	}{
		{Port{Target: 80}, "80"}, {Port{HostIP: "127.0.0.1", Target: 80}, "127.0.0.1::80"}, {Port{First: 1, Last: 2, Target: 3, End: 4, Protocol: "udp"}, "1-2:3-4/udp"},
		{Port{HostIP: "::1", First: 1, Last: 1, Target: 3}, "[::1]:1:3"},
	} {
		if got := c.p.String(); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
	held := Holders([]Binding{{HostPort: 80, Protocol: "tcp"}, {HostPort: 81, Protocol: "tcp"}}, []Entry{{ID: "a", Bindings: []Binding{{HostIP: "127.0.0.1", HostPort: 80, Protocol: "tcp"}}}})
	if len(held) != 1 || held[Binding{HostPort: 80, Protocol: "tcp"}] != "a" {
		t.Errorf("holders %v", held)
	}
	if slices.Contains(Words(nil), "") {
		t.Error("no bindings have words")
	}
}

// TestConfigurationsOfSharedInterfaces: macvlan and ipvlan are on their parent, without rules of the host's, and what is reserved is given
// to nobody.
func TestConfigurationsOfSharedInterfaces(t *testing.T) {
	lan := on("lan", "192.0.2.0/24")
	lan.Network.Driver, lan.Network.Parent, lan.Network.Mode, lan.Network.Reserved = Macvlan, "eth0", "private", []string{"192.0.2.5", "192.0.2.2", "192.0.2.5", "198.51.100.1"}
	lan.Network.Subnets[0].Range, lan.Network.Subnets[0].Gateway, lan.MAC, lan.IPv4 = "192.0.2.0/28", "192.0.2.14", "02:42:ac:11:00:02", "192.0.2.9"
	rack := on("rack", "203.0.113.0/24", "2001:db8:5::/64")
	rack.Network.Driver, rack.Network.Parent, rack.Network.Mode, rack.Network.MTU = Ipvlan, "eth1", "l3", 1400
	machine := Machine{Interfaces: []Interfaces{interfaces("eth0", "192.0.2.0/24"), interfaces("eth1")}} // the parent's own subnet is no obstacle
	e := bridged("job", lan, rack)
	e.Request.Ports = []Port{{First: 80, Last: 80, Target: 80}}
	e = resolve(t, e, nil, machine)
	if len(e.Bindings) != 0 {
		t.Errorf("published: %v", e.Bindings)
	}
	e.Links[1].MAC = "02:42:ac:11:00:03" // as the plugin has told
	lists, err := e.Configurations("/leases", true)
	if err != nil || len(lists) != 2 {
		t.Fatalf("%d lists, %v", len(lists), err)
	}
	ends := `"gateway":"192.0.2.14","rangeEnd":`
	want := []string{
		`{"cniVersion":"1.0.0","name":"` + e.Links[0].Bridge + `","plugins":[{"args":{"cni":{"ips":["192.0.2.9"]}},"ipam":{"dataDir":"/leases","ranges":[[` +
			`{` + ends + `"192.0.2.1","rangeStart":"192.0.2.1","subnet":"192.0.2.0/24"},{` + ends + `"192.0.2.4","rangeStart":"192.0.2.3","subnet":"192.0.2.0/24"},{` + ends + `"192.0.2.14","rangeStart":"192.0.2.6","subnet":"192.0.2.0/24"}` +
			`]],"routes":[{"dst":"0.0.0.0/0"}],"type":"host-local"},"mac":"02:42:ac:11:00:02","master":"eth0","mode":"private","type":"macvlan"}]}`,
		`{"cniVersion":"1.0.0","name":"` + e.Links[1].Bridge + `","plugins":[{"ipam":{"dataDir":"/leases","ranges":[[{"gateway":"203.0.113.1","subnet":"203.0.113.0/24"}],[{"gateway":"2001:db8:5::1","subnet":"2001:db8:5::/64"}]],"type":"host-local"},` +
			`"master":"eth1","mode":"l3","mtu":1400,"type":"ipvlan"}]}`,
	}
	for i := range want {
		if diff := cmp.Diff(want[i], string(lists[i])); diff != "" {
			t.Errorf("list %d: %s", i, diff)
		}
	}
	e.Request.Gateways = []string{"host.docker.internal"}
	if hosts := Hosts(e, nil); strings.Contains(hosts, "host.docker.internal") {
		t.Errorf("the router is called the host: %s", hosts)
	}
}

// TestParents: an interface that is not there, or serves the other driver, can't be shared; two networks may not say different things of one.
func TestParents(t *testing.T) {
	lan := func(name, driver, parent, mode string) Attachment {
		a := on(name)
		a.Network.Driver, a.Network.Parent, a.Network.Mode = driver, parent, mode
		return a
	}
	machine := Machine{Interfaces: []Interfaces{interfaces("eth0")}}
	here := resolve(t, bridged("web", lan("lan", Macvlan, "eth0", "")), nil, machine)
	reserved := lan("free", Macvlan, "eth0", "")
	reserved.Network.Subnets, reserved.Network.Reserved, reserved.IPv4 = []Subnet{{Subnet: "192.0.2.0/24"}}, []string{"192.0.2.9"}, "192.0.2.9"
	machine.Interfaces[0].Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.7")}
	addressed := lan("its", Macvlan, "eth0", "")
	addressed.Network.Subnets, addressed.IPv4 = []Subnet{{Subnet: "192.0.2.0/24"}}, "192.0.2.7"
	for name, c := range map[string]struct {
		a    Attachment
		kind ConflictKind
		want string
	}{
		"none":           {lan("other", Ipvlan, "", ""), NoParent, "the network other of driver ipvlan has no parent"},
		"gone":           {lan("other", Macvlan, "eth0.50", ""), NoParent, "no interface eth0.50 to be the parent of the network other"},
		"other driver":   {lan("other", Ipvlan, "eth0", ""), NoParent, "it is that of lan of driver macvlan (container web)"},
		"another":        {lan("lan", Ipvlan, "eth1", ""), Differs, "the driver macvlan, of container web, and asked for with ipvlan"},
		"another parent": {lan("lan", Macvlan, "eth1", ""), Differs, "the parent eth0, of container web, and asked for with eth1"},
		"another mode":   {lan("lan", Macvlan, "eth0", "vepa"), Differs, "asked for with vepa"},
		"reserved":       {reserved, AddressTaken, "192.0.2.9 of the network free is not for containers"},
		"the parent's":   {addressed, AddressTaken, "192.0.2.7 of the network its is not for containers"},
	} {
		_, err := Resolve(bridged("job", c.a), []Entry{here}, machine)
		var got *Conflict
		if !errors.As(err, &got) || got.Kind != c.kind || !strings.Contains(got.Text, c.want) {
			t.Errorf("%s: got %v, want kind %d: %s", name, err, c.kind, c.want)
		}
	}
	if got := resolve(t, bridged("job", on("lan")), []Entry{here}, machine).Links[0]; got.Driver != Macvlan || got.Parent != "eth0" {
		t.Errorf("who only names the network is on %+v", got)
	}
	if _, err := Resolve(bridged("job", lan("second", Macvlan, "eth0", "")), []Entry{here}, machine); err != nil {
		t.Errorf("two networks of one parent: %v", err)
	}
}
