package integration

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"
)

// TestMacvlanNetwork: containers are machines of their parent's network: reached from outside at addresses of their own, by names among
// each other, beside a bridge; without rules, and with nothing left, though the parent goes before them.
func TestMacvlanNetwork(t *testing.T) {
	t.Parallel()
	s := newStreet(t)
	lan := "ipam: {config: [{subnet: 198.51.100.0/24, gateway: 198.51.100.2, ip_range: 198.51.100.128/28, aux_addresses: {printer: 198.51.100.129}}, {subnet: '2001:db8::/64', gateway: '2001:db8::2'}]}"
	shared := "driver: macvlan, driver_opts: {parent: wire0}, " + lan
	s.greeter("web", "networks: {lan: {"+shared+", ipv4_address: 198.51.100.140, mac_address: '02:42:c6:33:64:8c'}}")
	s.greeter("peer", "networks: {lan: {aliases: [other]}}")
	s.greeter("both", "networks: {lan: {}, front: {priority: 5}}", `ports: ["8080:80"]`)
	s.must("up", "web")
	s.must("up", "peer", "both")

	web, web6 := s.addresses("web", "lan")
	peer, _ := s.addresses("peer", "lan")
	given := netip.MustParsePrefix("198.51.100.128/28")
	if web != "198.51.100.140" || !given.Contains(netip.MustParseAddr(peer)) || peer == "198.51.100.129" || web6 == "2001:db8::1" {
		t.Errorf("web has %s and %s, peer %s", web, web6, peer)
	}
	if mac := s.must("exec", "web", "--", "cat", "/sys/class/net/eth0/address"); mac != "02:42:c6:33:64:8c\n" {
		t.Errorf("web has the hardware address %s", mac)
	}
	s.visit("outside", exec.Command("nsenter", "--net="+s.far), "tcp", web, "80 web_198.51.100.2", "tcp", web6, "80 web", "udp", peer, "53 peer")
	s.visit("web", s.command("exec", "web", "--"), "tcp 198.51.100.2 80 far_"+web, "tcp", peer, "80 peer_"+web, "tcp peer 80 peer", "tcp other 80 peer", "tcp both 80 both")
	s.visit("both", s.command("exec", "both", "--"), "tcp web 80 web", "tcp 198.51.100.2 80 far")
	s.visit("the machine", exec.Command("nsenter", "--net="+s.ns), "tcp", web, "80 -", "tcp 127.0.0.1 8080 both")

	s.load(tiny(t, "mapped"))
	s.profile("mapped", "image: mapped:latest\npull_policy: never\nuserns_mode: private\nstop_grace_period: 0s\nnetworks: [lan]\ncommand: [sleep, '1000']\n")
	s.must("up", "mapped")
	if got := s.must("exec", "mapped", "--", "busybox", "nc", "-w", "60", web, "80"); !strings.HasPrefix(got, "web 198.51.100.1") {
		t.Errorf("from a user namespace: %q", got)
	}

	s.greeter("late", "networks: {lan: {driver: ipvlan, driver_opts: {parent: wire0}}}")
	s.refuse(65, []string{"HR246", "the driver macvlan"}, "up", "late")
	s.greeter("late", "networks: [lan]", `ports: ["8081:80"]`, "extra_hosts: ['gate:host-gateway']")
	s.refuse(0, []string{"HR395", "HR378"}, "up", "late")
	s.greeter("astray", "networks: {other: {driver: macvlan, driver_opts: {parent: wire0.50}}}")
	s.refuse(65, []string{"HR377", "astray.yaml:", "no interface wire0.50", "ip link add link"}, "up", "astray")

	s.must("kill", "late")
	s.hostrun("wait", "late")
	s.in(s.ns, "ip", "link", "del", "wire0")
	s.must("down", "web", "peer", "both", "mapped", "late")
	s.untraced()
}

// TestIpvlanNetwork: where the kernel has ipvlan its containers reach each other at layer 3 too; elsewhere the start says what is missing
// and leaves nothing.
func TestIpvlanNetwork(t *testing.T) {
	t.Parallel()
	s := &street{netStage: newNetStage(t)}
	s.in(s.ns, "ip", "link", "add", "spare0", "type", "veth", "peer", "name", "spare1")
	for _, end := range []string{"spare0", "spare1"} {
		s.in(s.ns, "ip", "link", "set", end, "up")
	}
	known := exec.Command("nsenter", "--net="+s.ns, "ip", "link", "add", "known0", "link", "spare1", "type", "ipvlan").Run() == nil
	for _, name := range []string{"web", "peer"} {
		s.greeter(name, "networks: {rack: {driver: ipvlan, driver_opts: {parent: spare0, ipvlan_mode: l3}, ipam: {config: [{subnet: 203.0.113.0/24}]}}}")
	}
	if known {
		s.in(s.ns, "ip", "link", "del", "known0")
		s.must("up", "web")
		s.must("up", "peer")
		s.visit("web", s.command("exec", "web", "--"), "tcp peer 80 peer_203.0.113.")
	} else {
		s.refuse(1, []string{"connect container web", "the kernel has no such interfaces", "modprobe ipvlan"}, "up", "web")
	}
	s.must("down", "web", "peer")
	s.in(s.ns, "ip", "link", "del", "spare0")
	s.untraced()
}
