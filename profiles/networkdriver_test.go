package profiles

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDriversOfNetworks: a stack says how a network is, in compose's words, and its profile how it is on it.
func TestDriversOfNetworks(t *testing.T) {
	opt := written(t, map[string]string{"stack.yaml": `networks:
  lan:
    driver: macvlan
    driver_opts: {parent: eth0.50, macvlan_mode: private}
    ipam: {driver: default, config: [{subnet: 192.0.2.0/24, gateway: 192.0.2.254, ip_range: 192.0.2.128/25, aux_addresses: {printer: 192.0.2.130, nas: 192.0.2.131}}, {subnet: 2001:db8:1::/64}]}
    attachable: true
  rack: {driver: ipvlan, driver_opts: {parent: eth1, ipvlan_mode: l3, ipvlan_flag: bridge}}
profiles:
  web: {image: a, networks: {lan: {ipv4_address: 192.0.2.140, mac_address: "02:42:ac:11:00:02", aliases: [site]}, rack: {priority: 5}}}
`})
	p, err := Load(opt, "./stack.yaml:web")
	must(t, err)
	want := []Network{
		{Name: "lan", Aliases: []string{"site"}, IPv4: "192.0.2.140", MAC: "02:42:ac:11:00:02", Driver: "macvlan", Parent: "eth0.50", MacvlanMode: "private",
			Subnets: []Subnet{{Subnet: "192.0.2.0/24", Gateway: "192.0.2.254", Range: "192.0.2.128/25"}, {Subnet: "2001:db8:1::/64"}}, Reserved: []string{"192.0.2.130", "192.0.2.131"}, Key: "networks.lan"},
		{Name: "rack", Priority: 5, Driver: "ipvlan", Parent: "eth1", IpvlanMode: "l3", Key: "networks.rack"},
	}
	if diff := cmp.Diff(want, p.Networks); diff != "" {
		t.Error(diff)
	}
	if p.Networks[0].Mode() != "private" || p.Networks[1].Mode() != "l3" || (Network{}).Mode() != "" {
		t.Errorf("modes %q, %q", p.Networks[0].Mode(), p.Networks[1].Mode())
	}
}

// TestOptionsOfOtherDrivers: what a driver does not know is refused, not passed over.
func TestOptionsOfOtherDrivers(t *testing.T) {
	for text, want := range map[string]string{
		"{driver_opts: {parent: eth0}}":                                     "parent is an option of networks of driver macvlan",
		"{driver: ipvlan, driver_opts: {parent: eth0, macvlan_mode: vepa}}": "macvlan_mode is an option of networks of driver macvlan",
		"{driver: macvlan, driver_opts: {parent: eth0, ipvlan_mode: l2}}":   "ipvlan_mode is an option of networks of driver ipvlan",
		"{driver: ipvlan, mac_address: \"02:42:ac:11:00:02\"}":              "have the hardware address of their parent",
		"{driver: macvlan, driver_opts: {parent: an-interface-too-long}}":   `"an-interface-too-long" can't be the name of an interface`,
		"{driver: macvlan, driver_opts: {macvlan_mode: l2}}":                "macvlan_mode",
		"{driver: ipvlan, driver_opts: {ipvlan_flag: vepa}}":                "hostrun does not do this flag of ipvlan yet",
		"{driver: overlay}": `networks of driver "overlay" yet`,
		"{ipam: {config: [{subnet: 10.0.0.0/24, aux_addresses: {a: x}}]}}":        `"x" is no address`,
		"{ipam: {config: [{subnet: 10.0.0.0/24, aux_addresses: {a: 10.1.0.1}}]}}": "10.1.0.1 under aux_addresses is outside of 10.0.0.0/24",
	} {
		opt := written(t, map[string]string{"profiles/job.yaml": "image: a\nnetworks:\n  lan: " + text + "\n"})
		if _, err := Load(opt, "job"); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "job.yaml:3") {
			t.Errorf("%s: got %v, want %s", text, err, want)
		}
	}
}
