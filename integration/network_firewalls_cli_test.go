package integration

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// greeterText is a server of TCP at 80 and of UDP at 53, of both families, that says its name and who has asked.
const greeterText = `import socket, sys, threading
def hello(a): return (sys.argv[1] + " " + a[0].replace("::ffff:", "")).encode()
def tcp():
    s = socket.create_server(("", 80), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    while True:
        c, a = s.accept(); c.sendall(hello(a)); c.close()
threading.Thread(target=tcp, daemon=True).start()
u = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); u.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0); u.bind(("", 53))
while True:
    d, a = u.recvfrom(99); u.sendto(hello(a), a)`

// visitorText asks each PROTOCOL HOST PORT WANT until the answer begins with WANT; a WANT of - must not be answered.
const visitorText = `import socket, sys, time
def ask(proto, host, port, patience):
    try: infos = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
    except OSError as e: return "! " + str(e)
    s = socket.socket(*infos[0][:2])
    s.settimeout(patience)
    try:
        s.connect(infos[0][4])
        if proto == "udp": s.send(b"?")
        return s.recv(99).decode()
    except OSError as e: return "! " + str(e)
    finally: s.close()
failed = False
for i in range(1, len(sys.argv), 4):
    proto, host, port, want = sys.argv[i:i+4]; want = want.replace("_", " ")
    end = time.time() + 60
    while True:
        got = ask(proto, host, port, 0.3 if want == "-" else 2)
        if want == "-" or got.startswith(want) or time.time() > end: break
        time.sleep(0.05)
    if (want == "-") != got.startswith("!") or want != "-" and not got.startswith(want):
        failed = True; print(proto, host, port, "said", got, "and not", want)
sys.exit(failed)`

// A street is a machine with a neighbour outside and three greeters on two networks, one of them with published ports.
type street struct {
	*netStage
	far string
}

func newStreet(t *testing.T) *street {
	t.Helper()
	s := &street{netStage: newNetStage(t)}
	s.far = s.outside()
	away := exec.Command("nsenter", "--net="+s.far, "/usr/bin/python3", "-c", greeterText, "far")
	must(t, away.Start())
	t.Cleanup(func() { _ = away.Process.Kill(); _ = away.Wait() })
	s.greeter("web", `networks: {front: {enable_ipv6: true}}`, `ports: ["8080:80", "127.0.0.1:8001-8002:80-81", "[::1]:8090:80", "5300:53/udp"]`, "restart: always")
	s.greeter("peer", "networks: [front]")
	s.greeter("alien", "networks: {back: {enable_ipv6: true}}")
	return s
}

func (s *street) greeter(name string, lines ...string) {
	s.profile(name, "rootfs: host\npython: none\nstop_grace_period: 0s\ncommand: [/usr/bin/python3, -c, "+strconv.Quote(greeterText)+", "+name+"]\n"+strings.Join(lines, "\n")+"\n")
}

// visit runs the visitor, by a command that it is put behind, with words for it.
func (s *street) visit(from string, cmd *exec.Cmd, words ...string) {
	s.t.Helper()
	cmd.Args = append(append(cmd.Args, "/usr/bin/python3", "-c", visitorText), strings.Fields(strings.Join(words, " "))...)
	if r := finish(cmd); r.status != 0 {
		s.t.Errorf("from %s: %s%s", from, r.stdout, r.stderr)
	}
}

// walk looks at every way that a network is to be open or shut.
func (s *street) walk(when string) {
	s.t.Helper()
	web, web6 := s.addresses("web", "front")
	peer, _ := s.addresses("peer", "front")
	s.visit("outside, "+when, exec.Command("nsenter", "--net="+s.far),
		"tcp 198.51.100.1 8080 web", "tcp 2001:db8::1 8080 web", "udp 198.51.100.1 5300 web", "udp 2001:db8::1 5300 web", "tcp 198.51.100.1 8001 -")
	s.visit("the machine, "+when, exec.Command("nsenter", "--net="+s.ns),
		"tcp 127.0.0.1 8080 web", "tcp 198.51.100.1 8080 web", "tcp ::1 8080 web", "tcp ::1 8090 web", "tcp 127.0.0.1 8001 web", "udp 127.0.0.1 5300 web", "udp ::1 5300 web", "tcp", web, "80 web")
	s.visit("web, "+when, s.command("exec", "web", "--"),
		"tcp 198.51.100.2 80 far_198.51.100.1", "tcp 2001:db8::2 80 far_2001:db8::1", "udp 198.51.100.2 53 far_198.51.100.1", "tcp peer 80 peer", "tcp", peer, "80 peer_"+web, "tcp 198.51.100.1 8080 web")
	s.visit("another network, "+when, s.command("exec", "alien", "--"),
		"tcp", web, "80 -", "tcp", web6, "80 -", "udp", web, "53 -", "tcp 198.51.100.1 8080 web", "tcp 198.51.100.2 80 far")
}

func (s *street) addresses(container, network string) (v4, v6 string) {
	s.t.Helper()
	f := strings.Fields(s.must("inspect", container, "--format", fmt.Sprintf(`{{range index .networks %q}}{{.}} {{end}}`, network)))
	if len(f) != 2 {
		s.t.Fatalf("%s has the addresses %v on %s", container, f, network)
	}
	return f[0], f[1]
}

// restore hands rules to a program as a firewall does.
func (s *street) restore(program, file string, args ...string) {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata/firewalls", file))
	must(s.t, err)
	cmd := exec.Command("nsenter", append([]string{"--net=" + s.ns, program}, args...)...)
	cmd.Stdin = strings.NewReader(string(text))
	if r := finish(cmd); r.status != 0 {
		s.t.Fatalf("%s:\n%v", file, r)
	}
}

var uncounted = regexp.MustCompile(`(?m)^#.*\n|\[\d+:\d+\]|counter packets \d+ bytes \d+`)

// rules are those of the machine as a program tells them, but for what counts packets, and for tables that have none.
func (s *street) rules(args ...string) string {
	s.t.Helper()
	text := uncounted.ReplaceAllString(s.in(s.ns, args...), "")
	return regexp.MustCompile(`(?m)^\*\w+\n(:[A-Z]+ ACCEPT \n)*COMMIT\n`).ReplaceAllString(text, "")
}

// legacy are rules of the older tables: who only looks at them makes them.
func (s *street) legacy() {
	s.t.Helper()
	for _, program := range []string{"iptables-legacy", "ip6tables-legacy"} {
		if _, err := exec.LookPath(program); err != nil {
			skip(s.t, "there is no %s", program)
		}
		if out, err := exec.Command("nsenter", "--net="+s.ns, program, "-t", "nat", "-L", "-n").CombinedOutput(); err != nil {
			skip(s.t, "the kernel has no older tables: %s", out)
		}
	}
}

// TestNetworkBesideOtherFirewalls: all ways of a network are open, and shut, beside the rules that Docker and ufw write, which are
// there before the containers or come after them, and are set anew below them, with a flush of ours. What is theirs stays as it was.
func TestNetworkBesideOtherFirewalls(t *testing.T) {
	t.Parallel()
	both := func(s *street, kind, name string, args ...string) {
		s.restore("iptables"+kind+"-restore", name+".v4", args...)
		s.restore("ip6tables"+kind+"-restore", name+".v6", args...)
	}
	for _, c := range []struct {
		name string
		kind string // of iptables that the other firewall uses: "" is what the machine has
		own  string // the same of ours
		// first are the rules before the containers, again those that come while they run.
		first, again string
		flush        bool // again by a restore that flushes the tables
	}{
		{name: "Docker 20 restarts", first: "docker20", again: "docker20", flush: true},
		{name: "Docker 28 comes later", again: "docker28"},
		{name: "ufw reloads", first: "ufw", again: "ufw", flush: true},
		{name: "Docker 20 in the older tables beside ours", kind: "-legacy", first: "docker20", again: "docker20", flush: true},
		{name: "Docker 28 and we in the older tables", kind: "-legacy", own: "-legacy", first: "docker28", again: "docker28", flush: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newStreet(t)
			if c.kind != "" {
				s.legacy()
			}
			if c.own != "" {
				s.env = append(s.env, "PATH="+s.renamed(c.own)+":"+os.Getenv("PATH"))
			}
			if c.first != "" {
				both(s, c.kind, c.first)
			}
			before := s.rules("iptables"+c.kind+"-save") + s.rules("ip6tables"+c.kind+"-save")
			s.must("up", "web")
			s.must("up", "peer", "alien")
			s.walk("at first")
			if c.flush {
				both(s, c.kind, c.again)
			} else {
				both(s, c.kind, c.again, "--noflush")
				before = s.theirs(c.kind)
			}
			if c.kind != "" { // nothing tells of changes to the older tables
				s.must("up", "web")
			}
			s.walk("after theirs were set again")
			s.must("down", "web", "peer", "alien")
			s.in(s.ns, "ip", "link", "del", "wire0")
			s.untraced()
			if after := s.rules("iptables"+c.kind+"-save") + s.rules("ip6tables"+c.kind+"-save"); after != before {
				t.Errorf("their rules were\n%s\nand are\n%s", before, after)
			}
		})
	}
}

// theirs are all rules but those that are hostrun's.
func (s *street) theirs(kind string) string {
	s.t.Helper()
	ours := regexp.MustCompile(`(?m)^.*HOSTRUN.*\n`)
	return ours.ReplaceAllString(s.rules("iptables"+kind+"-save"), "") + ours.ReplaceAllString(s.rules("ip6tables"+kind+"-save"), "")
}

// renamed is a directory in which iptables is of that kind.
func (s *street) renamed(kind string) string {
	s.t.Helper()
	dir := s.path("programs")
	must(s.t, os.MkdirAll(dir, 0o755))
	for _, name := range []string{"iptables", "ip6tables"} {
		for _, end := range []string{"", "-save", "-restore"} {
			path, err := exec.LookPath(name + kind + end)
			must(s.t, err)
			must(s.t, os.Symlink(path, filepath.Join(dir, name+end)))
		}
	}
	return dir
}

// firewalldText runs firewalld of the unpacked tree $1, over that of the machine, on a bus of its own at $2/bus.
const firewalldText = `set -e
mount -t overlay o -o "lowerdir=$1/usr:/usr" /usr
mount -t overlay o -o "lowerdir=$1/etc:/etc" /etc
mount -t tmpfs none /var/log
mount -t tmpfs none /run
dbus-daemon --config-file="$2/bus.conf" --nofork &
while ! test -S "$2/bus"; do sleep 0.05; done
/usr/bin/python3 /usr/sbin/firewalld --nofork --nopid`

const busText = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth><policy context="default">
<allow user="*"/><allow own="*"/><allow send_type="method_call"/><allow send_destination="*"/><allow receive_type="*"/></policy></busconfig>`

// TestNetworkBesideFirewalld: Debian's firewalld, really run on a bus of the test's, refuses what is forwarded; containers are let through,
// when it is reloaded too; and afterwards it knows no more of them.
func TestNetworkBesideFirewalld(t *testing.T) {
	t.Parallel()
	tree := filepath.Join(cmp.Or(os.Getenv("HOSTRUN_TEST_CACHE"), "/var/cache/hostrun-test"), "firewalld")
	if _, err := os.Stat(filepath.Join(tree, "usr/sbin/firewalld")); err != nil {
		skip(t, "firewalld is not unpacked: integration/fetch-firewalld.sh")
	}
	s := newStreet(t)
	s.write("bus.conf", fmt.Sprintf(busText, s.path("bus")))
	s.env = append(s.env, "DBUS_SYSTEM_BUS_ADDRESS=unix:path="+s.path("bus"))
	log, err := os.Create(s.path("firewalld.log"))
	must(t, err)
	defer log.Close()
	daemon := exec.Command("nsenter", "--net="+s.ns, "unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", firewalldText, "sh", tree, s.dir)
	daemon.Env, daemon.Stdout, daemon.Stderr, daemon.SysProcAttr = s.env, log, log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // unshare(1) passes over SIGTERM
	must(t, startForGood(daemon))
	t.Cleanup(func() { _ = daemon.Process.Kill(); _ = daemon.Wait() })
	ask := func(words ...string) result {
		child, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", daemon.Process.Pid)) // of nsenter, which has become unshare
		cmd := exec.Command("nsenter", "--mount", "--net", "--target="+strings.TrimSpace(string(child)), "/usr/bin/python3", "/usr/bin/firewall-cmd")
		cmd.Args, cmd.Env = append(cmd.Args, words...), s.env
		return finish(cmd)
	}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		r := ask("--state")
		if r.status == 0 {
			break
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("firewalld does not come up: %v\n%s", r, text)
		}
	}
	for _, word := range []string{"--add-source=192.0.2.9", "--remove-source=192.0.2.9"} { // the zone's chains stay from then on
		if r := ask("--zone=trusted", word); r.status != 0 {
			t.Fatalf("%v", r)
		}
	}
	table := []string{"nft", "list", "table", "inet", "firewalld"}
	before := s.rules(table...)
	if !strings.Contains(before, "filter_FWD_public") {
		t.Fatalf("no rules of firewalld:\n%s", before)
	}
	s.must("up", "web")
	s.must("up", "peer", "alien")
	web, _ := s.addresses("web", "front")
	if rules := s.rules(table...); !strings.Contains(rules, web) {
		t.Errorf("firewalld does not know %s:\n%s", web, rules)
	}
	s.walk("at first")
	if r := ask("--reload"); r.status != 0 {
		t.Fatalf("%v", r)
	}
	s.walk("after its reload")
	s.must("down", "web", "peer", "alien")
	s.in(s.ns, "ip", "link", "del", "wire0")
	s.untraced()
	if after := s.rules(table...); after != before {
		t.Errorf("its rules were\n%s\nand are\n%s", before, after)
	}
}
