package bridge

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/network"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRules(t *testing.T) {
	l := network.Link{Bridge: "hr-0011aabb", Subnets: []network.Subnet{{Subnet: "10.5.0.0/24"}}}
	want := `*filter
:HOSTRUN-0011aabb - [0:0]
-A HOSTRUN-0011aabb -i hr-0011aabb -o hr-0011aabb -j ACCEPT
-A HOSTRUN-0011aabb -o hr-0011aabb -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A HOSTRUN-0011aabb -o hr-0011aabb -m conntrack --ctstate DNAT -j ACCEPT
-A HOSTRUN-0011aabb -i hr-0011aabb ! -o hr-+ -j ACCEPT
-A HOSTRUN-0011aabb -o hr-0011aabb -j DROP
-I FORWARD 1 -j HOSTRUN-0011aabb
COMMIT
*nat
:HOSTRUN-0011aabb - [0:0]
-A HOSTRUN-0011aabb -s 10.5.0.0/24 ! -d 224.0.0.0/4 ! -o hr-0011aabb -j MASQUERADE
-A HOSTRUN-0011aabb -s 10.5.0.0/24 -o hr-0011aabb -m conntrack --ctstate DNAT -j MASQUERADE
-A HOSTRUN-0011aabb -s 127.0.0.0/8 -o hr-0011aabb -j MASQUERADE
-I POSTROUTING 1 -j HOSTRUN-0011aabb
COMMIT
`
	if diff := cmp.Diff(want, setting("", networkChains(l, false))); diff != "" {
		t.Error(diff)
	}
	l.Internal = true
	if got := setting("", networkChains(l, false)); strings.Contains(got, "--ctstate DNAT -j ACCEPT") || strings.Contains(got, "224") || !strings.Contains(got, "-i hr-0011aabb -j DROP") {
		t.Errorf("an internal network: %s", got)
	}
}

// TestRulesOfPorts: each address leads to the container's of its family, and ::1 nowhere.
func TestRulesOfPorts(t *testing.T) {
	e := network.Entry{Namespace: "n", ID: "web", Links: []network.Link{{Bridge: "hr-1", IPs: []string{"10.5.0.2", "fd00::2"}}}, Bindings: []network.Binding{
		{HostPort: 8080, Port: 80, Protocol: "tcp"}, {HostIP: "127.0.0.1", HostPort: 53, Port: 5353, Protocol: "udp"}, {HostIP: "0.0.0.0", HostPort: 1, Port: 2, Protocol: "tcp"},
		{HostIP: "::1", HostPort: 8081, Port: 80, Protocol: "tcp"}, {HostIP: "2001:db8::1", HostPort: 8082, Port: 80, Protocol: "tcp"}}}
	for v6, want := range map[bool][]string{
		false: {"-p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.5.0.2:80", "-d 127.0.0.1/32 -p udp -m udp --dport 53 -j DNAT --to-destination 10.5.0.2:5353", "-p tcp -m tcp --dport 1 -j DNAT --to-destination 10.5.0.2:2"},
		true:  {"-p tcp -m tcp --dport 8080 -j DNAT --to-destination [fd00::2]:80", "-d 2001:db8::1/128 -p tcp -m tcp --dport 8082 -j DNAT --to-destination [fd00::2]:80"},
	} {
		chains := portChains(e, v6)
		if len(chains) != 1 {
			t.Fatalf("IPv6 %v: %+v", v6, chains)
		}
		if diff := cmp.Diff(want, chains[0].rules); diff != "" {
			t.Errorf("IPv6 %v: %s", v6, diff)
		}
	}
	e.Links[0].IPs = e.Links[0].IPs[:1]
	if chains := portChains(e, true); chains != nil {
		t.Errorf("a container without IPv6: %+v", chains)
	}
}

// TestRulesSomebodyFlushed: what is there is told from what is missing, by one rule less as well, set again once, and removed whole.
func TestRulesSomebodyFlushed(t *testing.T) {
	l := network.Link{Bridge: "hr-1", Subnets: []network.Subnet{{Subnet: "10.5.0.0/24"}}}
	chains := networkChains(l, false)
	there := strings.NewReplacer("-I FORWARD 1 ", "-A FORWARD ", "-I POSTROUTING 1 ", "-A POSTROUTING ").Replace(setting("", chains))
	if !complete(there, chains) {
		t.Errorf("all of it is there:\n%s", there)
	}
	for _, line := range strings.Split(strings.TrimSpace(there), "\n") {
		if strings.HasPrefix(line, "-A ") && complete(strings.Replace(there, line+"\n", "", 1), chains) {
			t.Errorf("nobody misses %s", line)
		}
	}
	if complete("", chains) || complete("*filter\nCOMMIT\n", chains) {
		t.Error("nothing is enough")
	}
	if again := setting(there, chains); strings.Count(again, "-D FORWARD -j HOSTRUN-1\n") != 1 || strings.Count(again, "-D POSTROUTING -j HOSTRUN-1\n") != 1 {
		t.Errorf("set again:\n%s", again)
	}
	want := "*filter\n-D FORWARD -j HOSTRUN-1\n-F HOSTRUN-1\n-X HOSTRUN-1\nCOMMIT\n*nat\n-D POSTROUTING -j HOSTRUN-1\n-F HOSTRUN-1\n-X HOSTRUN-1\nCOMMIT\n"
	if diff := cmp.Diff(want, removal(there, chains)); diff != "" {
		t.Error(diff)
	}
	if got := removal("*filter\n:FORWARD ACCEPT [0:0]\n:HOSTRUN-11 - [0:0]\nCOMMIT\n", chains); got != "" {
		t.Errorf("nobody's rules: %s", got)
	}
}

// TestFlowsOfUDP: a flow is named to the kernel by the words in which it has told of it.
func TestFlowsOfUDP(t *testing.T) {
	attr := func(kind uint16, value []byte) []byte {
		b := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
		b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
		return append(b, make([]byte, (4-len(b)%4)%4)...)
	}
	flow := func(protocol byte, to uint16) []byte {
		tuple := append(attr(1|unix.NLA_F_NESTED, attr(1, []byte{10, 0, 0, 1})), attr(2|unix.NLA_F_NESTED, append(attr(1, []byte{protocol}), attr(3, binary.BigEndian.AppendUint16(nil, to))...))...)
		return append([]byte{2, 0, 0, 0}, append(attr(7, []byte{1}), attr(1|unix.NLA_F_NESTED, tuple)...)...)
	}
	ports := map[uint16]bool{53: true}
	m := flow(unix.IPPROTO_UDP, 53)
	if got := flowTo(m, ports); !bytes.Equal(got, m[12:]) {
		t.Errorf("%x of %x", got, m)
	}
	for _, other := range [][]byte{flow(unix.IPPROTO_TCP, 53), flow(unix.IPPROTO_UDP, 54), {2, 0, 0, 0}, nil, {2, 0, 0, 0, 255, 255, 1, 0}} {
		if got := flowTo(other, ports); got != nil {
			t.Errorf("%x of %x", got, other)
		}
	}
}

func TestRoutes(t *testing.T) {
	dir := t.TempDir()
	v4, v6 := filepath.Join(dir, "route"), filepath.Join(dir, "ipv6_route")
	must(t, os.WriteFile(v4, []byte("Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"+
		"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\nvpn0\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n"), 0o644))
	must(t, os.WriteFile(v6, []byte("fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n"+
		"fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0\n"), 0o644))
	want := map[string][]netip.Prefix{"vpn0": {netip.MustParsePrefix("10.0.0.0/8")}, "eth0": {netip.MustParsePrefix("fd00::/64")}}
	if got := routesOf(v4, v6); !cmp.Equal(got, want, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestHostsFileKeepsItsInode: a container has the file bound, so another file at its path would tell it nothing.
func TestHostsFileKeepsItsInode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	must(t, os.WriteFile(path, []byte("127.0.0.1\tlocalhost\n"), 0o644))
	inode := func() uint64 {
		fi, err := os.Stat(path)
		must(t, err)
		return fi.Sys().(*syscall.Stat_t).Ino
	}
	before := inode()
	for _, part := range []string{network.HostsMark + "10.0.0.2\tweb\n10.0.0.3\tdb\n", network.HostsMark + "10.0.0.2\tweb\n"} {
		must(t, rewrite(path, part))
		text, err := os.ReadFile(path)
		must(t, err)
		if string(text) != "127.0.0.1\tlocalhost\n"+part || inode() != before {
			t.Errorf("%q, inode %d was %d", text, inode(), before)
		}
	}
}

func TestFirewalldByItsUnit(t *testing.T) {
	root := t.TempDir()
	unit := filepath.Join(root, "sys/fs/cgroup/systemd/system.slice/firewalld.service")
	must(t, os.MkdirAll(unit, 0o755))
	must(t, os.WriteFile(filepath.Join(unit, "cgroup.procs"), nil, 0o644))
	if firewalld(root) {
		t.Error("a unit without a process runs")
	}
	must(t, os.WriteFile(filepath.Join(unit, "cgroup.procs"), []byte("812\n"), 0o644))
	if !firewalld(root) {
		t.Error("firewalld runs and is not seen")
	}
}

// TestJournalOrder: entries come in the order of their attachment; a damaged one is an error, not a network that nobody knows of.
func TestJournalOrder(t *testing.T) {
	k := &Kernel{StateDir: t.TempDir()}
	for i, id := range []string{"c", "a", "b"} {
		must(t, k.write(network.Entry{Namespace: "n", ID: id, Since: int64(10 - i)}))
	}
	all, err := k.Entries()
	must(t, err)
	if len(all) != 3 || all[0].ID != "b" || all[2].ID != "c" {
		t.Errorf("entries %+v", all)
	}
	ids := k.IDs("n")
	slices.Sort(ids)
	if !slices.Equal(ids, []string{"a", "b", "c"}) || k.IDs("m") != nil {
		t.Errorf("ids %v", ids)
	}
	must(t, os.WriteFile(k.journal(Key{"n", "a"}), []byte("{"), 0o600))
	if _, err := k.Entries(); err == nil || !strings.Contains(err.Error(), "a.json") {
		t.Errorf("a damaged entry: %v", err)
	}
}
