package bridge

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

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
`
	if diff := cmp.Diff(want, rules(l)); diff != "" {
		t.Error(diff)
	}
	l.Internal = true
	if got := rules(l); strings.Contains(got, "DNAT") || !strings.Contains(got, "-i hr-0011aabb -j DROP") {
		t.Errorf("an internal network: %s", got)
	}
	if got := families(l); !slices.Equal(got, []string{"iptables"}) {
		t.Errorf("families %v", got)
	}
	l.Subnets = append(l.Subnets, network.Subnet{Subnet: "fd00::/64"})
	if got := families(l); !slices.Equal(got, []string{"iptables", "ip6tables"}) {
		t.Errorf("families %v", got)
	}
}

// TestPurging finds the rules of one container in what CNI's bridge and portmap have made, and no other's.
func TestPurging(t *testing.T) {
	saved := `*nat
:POSTROUTING ACCEPT [0:0]
:CNI-4d4f - [0:0]
-A POSTROUTING -s 10.5.0.2/32 -m comment --comment "name: \"hr-1\" id: \"n.web\"" -j CNI-4d4f
-A POSTROUTING -s 10.5.0.3/32 -m comment --comment "name: \"hr-1\" id: \"n.web2\"" -j CNI-5d5f
-A CNI-4d4f -d 10.5.0.0/24 -m comment --comment "name: \"hr-1\" id: \"n.web\"" -j ACCEPT
COMMIT
`
	want := `*nat
-D POSTROUTING -s 10.5.0.2/32 -m comment --comment "name: \"hr-1\" id: \"n.web\"" -j CNI-4d4f
-F CNI-4d4f
-X CNI-4d4f
COMMIT
`
	if diff := cmp.Diff(want, purging(saved, "n.web")); diff != "" {
		t.Error(diff)
	}
	if got := purging(saved, "n.we"); got != "" {
		t.Errorf("nobody's rules: %s", got)
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
