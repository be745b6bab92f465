package integration

import (
	"encoding/json"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"hostrun.dev/hostrun/runtime"
)

// TestBridgeNetwork is what a compose user leans on: ports from the machine and from outside, by tcp and udp, names of the others
// that come and go, and nothing left afterwards.
func TestBridgeNetwork(t *testing.T) {
	t.Parallel()
	s := newNetStage(t)
	far := s.outside()
	s.serving("web", "network_mode: bridge", `ports: ["8080:80", "127.0.0.1:8001-8002:80-81", "80", "127.0.0.1:5300:53/udp"]`, "hostname: www", "extra_hosts: {gate: host-gateway}")
	s.serving("peer", "networks: {default: {aliases: [other]}}")
	s.must("up", "web")
	s.must("up", "peer")

	for _, address := range []string{"127.0.0.1:8080", "198.51.100.1:8080", "127.0.0.1:8001", s.must("port", "web", "80")} {
		address, _, _ = strings.Cut(address, "\n")
		if got := s.fetch(s.ns, address); got != "web" {
			t.Errorf("%s from the machine: %q", address, got)
		}
	}
	if got := s.fetch(far, "198.51.100.1:8080"); got != "web" {
		t.Errorf("from outside: %q", got)
	}
	if got := s.fetchFrom("peer", "web"); got != "web" {
		t.Errorf("web from its peer: %q", got)
	}
	for _, name := range []string{"peer", "other", "www", "web", "gate:8080"} {
		want := map[string]string{"peer": "peer", "other": "peer"}[name]
		if want == "" {
			want = "web"
		}
		if got := s.fetchFrom("web", name); got != want {
			t.Errorf("%s from web: %q", name, got)
		}
	}
	var ps runtime.Container
	for _, line := range strings.Split(strings.TrimSpace(s.must("ps", "--format", "json")), "\n") {
		if err := json.Unmarshal([]byte(line), &ps); err != nil || ps.Container == "web" {
			break
		}
	}
	if len(ps.Ports) != 5 || ps.Ports[0].String() != "0.0.0.0:8080->80/tcp" || ps.Ports[3].HostPort < 32768 || ps.Ports[4].String() != "127.0.0.1:5300->53/udp" {
		t.Errorf("ports %v", ps.Ports)
	}
	if table := s.must("ps"); !strings.Contains(table, "PORTS") || !strings.Contains(table, "127.0.0.1:8001-8002->80-81/tcp") {
		t.Errorf("ps: %s", table)
	}

	s.must("down", "web")
	if hosts := s.hostsOf("peer"); strings.Contains(hosts, "web") {
		// The removal goes on in the background.
		for deadline := time.Now().Add(2 * time.Minute); strings.Contains(hosts, "web") && time.Now().Before(deadline); hosts = s.hostsOf("peer") {
			time.Sleep(50 * time.Millisecond)
		}
		if strings.Contains(hosts, "web") {
			t.Errorf("web has gone, and its peer's hosts file says: %s", hosts)
		}
	}
	s.must("down", "peer")
	s.in(s.ns, "ip", "link", "del", "wire0")
	s.untraced()
}

// TestNetworksApart: containers of two networks do not reach each other, one on both reaches both, an internal network has no way
// out; fixed addresses, IPv6.
func TestNetworksApart(t *testing.T) {
	t.Parallel()
	s := newNetStage(t)
	far := s.outside()
	s.serving("a", "networks: {left: {ipam: {config: [{subnet: 10.77.0.0/24}, {subnet: 'fd77::/64'}]}, ipv4_address: 10.77.0.9, mac_address: '02:42:0a:4d:00:09'}}",
		`ports: ["8080:80", "[2001:db8::1]:8086:80"]`, "dns: [192.0.2.53]", "dns_search: [example.org]", "domainname: example.org")
	s.serving("b", "networks: [right]")
	s.serving("both", "networks: [left, right]")
	s.serving("inner", "networks: {vault: {internal: true}}")
	s.must("up", "a", "b", "both", "inner")

	if got := s.addressOf("a", "left"); got != "10.77.0.9" {
		t.Errorf("a has %s", got)
	}
	for _, name := range []string{"a", "b"} {
		if got := s.fetchFrom("both", name); got != name {
			t.Errorf("%s from both: %q", name, got)
		}
	}
	b := s.addressOf("b", "right")
	if got := s.fetch(s.ns, b); got != "b" {
		t.Errorf("the machine reaches its containers: %q", got)
	}
	if !s.cut("a", b) {
		t.Error("a reaches b, on another network")
	}
	if got := s.fetch(far, "198.51.100.1:8080"); got != "a" {
		t.Errorf("from outside: %q", got)
	}
	if got := s.fetch(far, "[2001:db8::1]:8086"); got != "a" {
		t.Errorf("from outside by IPv6: %q", got)
	}
	if out := s.must("exec", "inner", "--", "ip", "route"); strings.Contains(out, "default") {
		t.Errorf("an internal network has a way out: %s", out)
	}
	if out := s.must("exec", "a", "--", "sh", "-c", "cat /sys/class/net/eth0/address /etc/resolv.conf; hostname -f"); out != "02:42:0a:4d:00:09\nnameserver 192.0.2.53\nsearch example.org\na.example.org\n" {
		t.Errorf("a: %q", out)
	}
	// The same subnet, the same network described otherwise, an address that a has: each is named before anything starts.
	s.serving("c", "networks: {third: {ipam: {config: [{subnet: 10.77.0.0/16}]}}}")
	s.refuse(65, []string{"HR242", "10.77.0.0/24 of the network left (container a", "c.yaml:5"}, "up", "c")
	s.serving("c", "networks: {left: {ipam: {config: [{subnet: 10.78.0.0/16}]}}}")
	s.refuse(65, []string{"HR246", "10.77.0.0/24"}, "up", "c")
	s.serving("c", "networks: {left: {ipv4_address: 10.77.0.9}}")
	s.refuse(65, []string{"HR245", "container a's"}, "up", "c")
	s.must("down", "a", "b", "both", "inner")
	s.in(s.ns, "ip", "link", "del", "wire0")
	s.untraced()
}

// TestNetworkOfAnotherContainer: one loopback for two, and the other's names.
func TestNetworkOfAnotherContainer(t *testing.T) {
	t.Parallel()
	s := newNetStage(t)
	s.serving("web", "network_mode: bridge")
	s.serving("peer", "network_mode: bridge")
	s.profile("side", "rootfs: host\npython: none\nnetwork_mode: container:web\nstop_grace_period: 0s\ncommand: [sleep, '1000']\n")
	s.refuse(1, []string{"container web, which does not run", "hostrun up web"}, "up", "side")
	s.must("up", "web", "peer")
	s.must("up", "side")
	for name, want := range map[string]string{"localhost": "web", "peer": "peer", "web": "web"} {
		if got := s.fetchFrom("side", name); got != want {
			t.Errorf("%s from side: %q", name, got)
		}
	}
	s.must("down", "side")
	if got := s.fetchFrom("peer", "web"); got != "web" {
		t.Errorf("web lost its network with side: %q", got)
	}
	s.must("down", "web", "peer")
	s.untraced()
}

// TestPortTaken: by a process, by another container on a bridge or on the machine's network; and free again when its holder has ended.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	s := newNetStage(t)
	s.serving("web", "network_mode: bridge", `ports: ["8080:80"]`)
	s.serving("late", "network_mode: bridge", `ports: ["8080:80"]`)
	s.serving("host", "ports: [\"8080:8080\"]")
	s.serving("moved", "ports: [\"8080:80\"]")
	s.refuse(65, []string{"HR243", "moved.yaml:5", "network_mode: bridge"}, "up", "moved")

	squatter := exec.Command("nsenter", "--net="+s.ns, "/usr/bin/python3", "-m", "http.server", "8080", "--directory", s.dir)
	if err := squatter.Start(); err != nil {
		t.Fatal(err)
	}
	s.fetch(s.ns, "127.0.0.1:8080")
	s.refuse(75, []string{"HR240", "web.yaml:6", fmt.Sprintf("process %d (/usr/bin/python3 -m http.server 8080", squatter.Process.Pid)}, "up", "web")
	s.refuse(75, []string{"HR240", "host.yaml:5", "/usr/bin/python3 -m http.server 8080"}, "up", "host")
	_ = squatter.Process.Kill()
	_ = squatter.Wait()

	s.must("up", "web")
	s.must("up", "web") // its own port is no obstacle
	s.refuse(75, []string{"HR240", "container web", "hostrun down web"}, "up", "late")
	s.must("kill", "web")
	s.hostrun("wait", "web")
	s.must("up", "late") // web has ended by itself: whoever has ended holds nothing
	if got := s.fetch(s.ns, "127.0.0.1:8080"); got != "late" {
		t.Errorf("the port leads to %q", got)
	}
	s.refuse(75, []string{"container late"}, "start", "web")
	s.must("stop", "late")
	s.must("start", "web")
	if got := s.fetch(s.ns, "127.0.0.1:8080"); got != "web" {
		t.Errorf("after stop and start the port leads to %q", got)
	}
	if out := s.must("run", "web", "--", "echo", "beside"); out != "beside\n" {
		t.Errorf("run beside up: %q", out)
	}
	s.must("down", "web", "late")
	s.untraced()
}

// TestPortOfTheHostsNetwork: a container on the machine's network has its port like a process, and is named by its cgroup. It
// listens at the loopback address.
func TestPortOfTheHostsNetwork(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port := l.Addr().(*net.TCPAddr).Port
	must(t, l.Close())
	for _, name := range []string{"host", "rival"} {
		s.profile(name, fmt.Sprintf("rootfs: host\npython: none\nstop_grace_period: 0s\nports: [\"127.0.0.1:%d:%d\"]\ncommand: [/usr/bin/python3, -m, http.server, \"%d\", --bind, 127.0.0.1, --directory, /usr/share]\n", port, port, port))
	}
	s.must("up", "host")
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			_ = conn.Close()
			break
		}
	}
	r := s.hostrun("up", "rival")
	if r.status != 75 || !strings.Contains(r.stderr, "HR240") || !strings.Contains(r.stderr, "container host: process") || !strings.Contains(r.stderr, "hostrun down host") {
		t.Errorf("want a refusal that names the container:\n%v", r)
	}
	if out := s.must("up", "host"); out != "host unchanged\n" {
		t.Errorf("its own port is an obstacle: %s", out)
	}
	if out := s.must("port", "host", strconv.Itoa(port)); out != fmt.Sprintf("127.0.0.1:%d\n", port) {
		t.Errorf("port: %s", out)
	}
	s.must("up", "--force-recreate", "host")
	s.must("down", "host")
}

// TestNetworkHealsAfterKill: SIGKILL at each step of making and removing; the next command removes what is left, or goes on.
func TestNetworkHealsAfterKill(t *testing.T) {
	t.Parallel()
	s := newNetStage(t)
	s.serving("web", "network_mode: bridge", `ports: ["8080:80"]`)
	s.serving("other", "network_mode: none")
	die := func(at string, args ...string) {
		t.Helper()
		cmd := s.command(args...)
		cmd.Args[2], cmd.Env = filepath.Join(theatre.dir, "mortal", "hostrun"), append(cmd.Env, "HOSTRUN_DIE_AT="+at)
		if r := finish(cmd); r.status != 137 {
			t.Fatalf("want its death at %s:\n%v", at, r)
		}
	}
	for _, at := range []string{"network-prepared", "network-attached", "task-created"} {
		die(at, "up", "web")
		s.must("up", "other") // any command sweeps
		s.untraced()
		s.must("down", "other")
	}
	s.must("up", "web")
	die("network-removed", "stop", "web")
	s.must("up", "web")
	if got := s.fetch(s.ns, "127.0.0.1:8080"); got != "web" {
		t.Errorf("up after a stop that was killed: %q", got)
	}
	// Somebody unbinds the namespace: CNI's plugin no longer finds its own rules for masquerading.
	if err := syscall.Unmount(s.path("state/netns", s.namespace, "web"), syscall.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	s.must("down", "web")
	s.untraced()
}

// TestNetworkOfManyAtOnce: eight containers come at once onto a network that is new, and go at once.
func TestNetworkOfManyAtOnce(t *testing.T) {
	t.Parallel()
	s := newNetStage(t)
	var names []string
	for i := range 8 {
		names = append(names, fmt.Sprintf("m%d", i))
		s.serving(names[i], "networks: [many]", fmt.Sprintf(`ports: ["%d:80"]`, 9000+i))
	}
	s.must(append([]string{"up"}, names...)...)
	seen := map[string]string{}
	for i, name := range names {
		address := s.addressOf(name, "many")
		if seen[address] != "" {
			t.Errorf("%s and %s have %s", name, seen[address], address)
		}
		seen[address] = name
		if got := s.fetch(s.ns, fmt.Sprintf("127.0.0.1:%d", 9000+i)); got != name {
			t.Errorf("%s: %q", name, got)
		}
	}
	hosts := s.hostsOf("m3")
	for _, name := range names {
		if !strings.Contains(hosts, "\t"+name+"\n") {
			t.Errorf("m3 does not know %s:\n%s", name, hosts)
		}
	}
	s.must(append([]string{"down"}, names...)...)
	s.untraced()
}

// TestNetworkChangedRightAfterDown: what is left of a removal goes on behind down's back, and its network stood against the next up, which wants it otherwise.
func TestNetworkChangedRightAfterDown(t *testing.T) {
	t.Parallel()
	s := newNetStage(t)
	for i := range 4 {
		for _, name := range []string{"one", "two"} {
			s.profile(name, fmt.Sprintf("rootfs: host\npython: none\nstop_grace_period: 0s\ncommand: [sleep, '1000']\nnetworks: {lan: {ipam: {config: [{subnet: 10.88.%d.0/24}]}}}\n", i))
		}
		s.must("up", "one", "two")
		s.must("down", "one", "two")
	}
	s.untraced()
}
