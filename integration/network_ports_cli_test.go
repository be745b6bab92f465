package integration

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"hostrun.dev/hostrun/integration/fixture"
)

// echoText is a server of UDP that says its name and who has asked.
const echoText = `import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 53))
while True:
    d, a = s.recvfrom(999); s.sendto(sys.argv[1].encode() + b" " + d, a)`

// askText is a client that keeps one port, and takes answers from the address alone that it has asked.
const askText = `import socket, sys, time
host, port, own, want = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("", own)); s.connect((host, port)); s.settimeout(0.2)
end = time.time() + 30
while time.time() < end:
    try:
        s.send(b"hello"); d = s.recv(999).decode()
        if d == want: print(d); break
    except OSError: time.sleep(0.05)
else: sys.exit("no answer " + want)`

// relayOf is the number of the process that listens at the container's ports; 0 for none.
func (s *netStage) relayOf(container string) int {
	pids := fixture.Processes(func(args string) bool {
		return strings.Contains(args, "hostrun-ports") && strings.Contains(args, s.namespace+"/"+container)
	})
	if len(pids) == 0 {
		return 0
	}
	return pids[0]
}

// TestPortsOutliveTheirRules: a port without an address is one of IPv6 too, and of ::1, though the network has none; whoever flushes
// the rules does not cut off what is published; the next command sets them again, the supervisor by itself; Docker's policy for
// FORWARD is no obstacle; and nobody else gets the port meanwhile.
func TestPortsOutliveTheirRules(t *testing.T) {
	t.Parallel()
	s := newNetStage(t)
	far := s.outside()
	s.in(s.ns, "iptables", "-P", "FORWARD", "DROP")
	s.serving("web", "network_mode: bridge", `ports: ["8080:80", "[::1]:8090:80", "127.0.0.1:8100-8199:8100-8199"]`)
	s.serving("other", "network_mode: none")
	away := exec.Command("nsenter", "--net="+far, "/usr/bin/python3", "-c", fmt.Sprintf(serverText, "far"))
	must(t, away.Start())
	t.Cleanup(func() { _ = away.Process.Kill(); _ = away.Wait() })

	begun := time.Now()
	s.must("up", "web")
	t.Logf("up with 102 ports took %v", time.Since(begun))
	for _, address := range []string{"127.0.0.1:8080", "[::1]:8080", "[::1]:8090", "[2001:db8::1]:8080"} {
		if got := s.fetch(s.ns, address); got != "web" {
			t.Errorf("%s from the machine: %q", address, got)
		}
	}
	for _, address := range []string{"198.51.100.1:8080", "[2001:db8::1]:8080"} {
		if got := s.fetch(far, address); got != "web" {
			t.Errorf("%s from outside: %q", address, got)
		}
	}
	if got := s.fetchFrom("web", "198.51.100.2"); got != "far" {
		t.Errorf("the way out: %q", got)
	}
	if r := finish(exec.Command("nsenter", "--net="+s.ns, "/usr/bin/python3", "-m", "http.server", "8080", "--directory", s.dir)); !strings.Contains(r.stderr, "in use") {
		t.Errorf("another server got the port:\n%v", r)
	}

	s.in(s.ns, "nft", "flush", "ruleset")
	if got := s.fetch(far, "198.51.100.1:8080"); got != "web" {
		t.Errorf("from outside, without rules: %q", got)
	}
	must(t, syscall.Kill(s.relayOf("web"), syscall.SIGKILL))
	s.must("up", "other") // any command
	for _, rule := range []string{"-j MASQUERADE", "--dport 8080 -j DNAT", "-A FORWARD -j HOSTRUN"} {
		if rules := s.in(s.ns, "iptables-save"); !strings.Contains(rules, rule) {
			t.Errorf("no %s:\n%s", rule, rules)
		}
	}
	if got := s.fetch(s.ns, "[::1]:8090"); got != "web" {
		t.Errorf("after its relay was killed: %q", got)
	}
	if got := s.fetchFrom("web", "198.51.100.2"); got != "far" {
		t.Errorf("the way out, healed: %q", got)
	}
	s.must("down", "web", "other")
	s.in(s.ns, "ip", "link", "del", "wire0")
	s.untraced()
	if pid := s.relayOf("web"); pid != 0 {
		t.Errorf("its relay is still there: %d", pid)
	}
}

// TestRulesComeBackByThemselves where a supervisor looks after the namespace.
func TestRulesComeBackByThemselves(t *testing.T) {
	t.Parallel()
	s := newNetStage(t)
	s.serving("web", "network_mode: bridge", `ports: ["8080:80"]`, "restart: always")
	s.must("up", "web")
	s.in(s.ns, "nft", "flush", "ruleset")
	for deadline := time.Now().Add(90 * time.Second); !strings.Contains(s.in(s.ns, "iptables-save"), "--dport 8080 -j DNAT"); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the rules do not come back")
		}
	}
	s.must("down", "web")
	s.untraced()
}

// TestPortsOfUDP: answers come from the address that was asked; a client that keeps asking while the container is replaced is led to
// the new one.
func TestPortsOfUDP(t *testing.T) {
	t.Parallel()
	s := newNetStage(t)
	far := s.outside()
	s.in(s.ns, "ip", "address", "add", "198.51.100.7/24", "dev", "wire0")
	echo := func(name string) {
		s.profile("dns", "rootfs: host\npython: none\nstop_grace_period: 0s\nnetwork_mode: bridge\nports: [\"53:53/udp\"]\n"+
			fmt.Sprintf("command: [/usr/bin/python3, -c, %q, %s]\n", echoText, name))
	}
	ask := func(ns, host, own, want string) {
		t.Helper()
		if r := finish(exec.Command("nsenter", "--net="+ns, "/usr/bin/python3", "-c", askText, host, "53", own, want)); r.status != 0 {
			t.Errorf("%s asked for %q:\n%v", host, want, r)
		}
	}
	echo("one")
	s.must("up", "dns")
	ask(s.ns, "127.0.0.1", "4001", "one hello")
	ask(s.ns, "::1", "4002", "one hello")
	ask(far, "198.51.100.1", "4003", "one hello")
	ask(far, "198.51.100.7", "4004", "one hello")
	ask(far, "2001:db8::1", "4005", "one hello")
	keeps := exec.Command("nsenter", "--net="+far, "/usr/bin/python3", "-c", askText, "198.51.100.1", "53", "4006", "two hello")
	must(t, keeps.Start())
	echo("two")
	s.must("up", "dns")
	if err := keeps.Wait(); err != nil {
		t.Errorf("a client that asked all the time: %v", err)
	}
	squatter := exec.Command("nsenter", "--net="+s.ns, "/usr/bin/python3", "-c", `import socket, time
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1); s.bind(("::", 54)); print(flush=True); time.sleep(1000)`)
	said, err := squatter.StdoutPipe()
	must(t, err)
	must(t, squatter.Start())
	t.Cleanup(func() { _ = squatter.Process.Kill(); _ = squatter.Wait() })
	_, _ = said.Read(make([]byte, 1))
	s.serving("late", "network_mode: bridge", `ports: ["54:53/udp"]`)
	s.refuse(75, []string{"HR240", fmt.Sprintf("process %d (/usr/bin/python3", squatter.Process.Pid)}, "up", "late")
	s.must("down", "dns")
	s.in(s.ns, "ip", "link", "del", "wire0")
	s.untraced()
}

// TestPortOfWhatWasJustDown: down returns before the removal is over; the port is the next one's all the same.
func TestPortOfWhatWasJustDown(t *testing.T) {
	t.Parallel()
	s := newNetStage(t)
	for _, name := range []string{"first", "second"} {
		s.serving(name, "network_mode: bridge", `ports: ["8080:80"]`)
	}
	for range 2 {
		s.must("up", "first")
		s.must("down", "first")
		s.must("up", "second")
		s.must("down", "second")
	}
	s.untraced()
}

// TestInternalNetworkFirst: with an internal network before another one, the way out and the ports are the other's. Two networks of one
// profile do not share a subnet.
func TestInternalNetworkFirst(t *testing.T) {
	t.Parallel()
	s := newNetStage(t)
	s.serving("both", "networks: {a: {internal: true}, b: {}}", `ports: ["8080:80"]`)
	s.serving("twice", "networks: {c: {ipam: {config: [{subnet: 10.78.0.0/24}]}}, d: {ipam: {config: [{subnet: 10.78.0.0/16}]}}}")
	s.must("up", "both")
	if out := s.must("exec", "both", "--", "ip", "route"); !strings.Contains(out, "default") {
		t.Errorf("no way out: %s", out)
	}
	if got := s.fetch(s.ns, "127.0.0.1:8080"); got != "both" {
		t.Errorf("its port: %q", got)
	}
	s.refuse(65, []string{"HR242", "10.78.0.0/16", "network c"}, "up", "twice")
	s.must("down", "both")
	s.untraced()
	if left, _ := filepath.Glob(s.path("state/network/ports/*")); left != nil {
		t.Errorf("left: %v", left)
	}
}
