package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A netStage is a stage whose hostrun lives in a network namespace of its own, the "machine", with nothing but a loopback
// interface: its bridges, rules and ports are none of the real machine's.
type netStage struct {
	*stage
	ns string // the machine's network namespace, as a file
}

func newNetStage(t *testing.T) *netStage {
	t.Helper()
	for _, program := range []string{"nsenter", "unshare", "ip", "iptables", "iptables-save"} {
		if _, err := exec.LookPath(program); err != nil {
			skip(t, "there is no %s: apt-get install iproute2 iptables util-linux", program)
		}
	}
	if !slices.ContainsFunc([]string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/hostrun/cni"}, func(dir string) bool { _, err := os.Stat(filepath.Join(dir, "bridge")); return err == nil }) {
		skip(t, "CNI's plugins are not installed: apt-get install containernetworking-plugins")
	}
	s := &netStage{stage: newStage(t)}
	t.Cleanup(s.unbind)
	s.ns = s.netns("machine")
	s.in(s.ns, "ip", "link", "set", "lo", "up")
	return s
}

// unbind takes away what a test that fails leaves of networks: mounts keep its directory from being removed.
func (s *netStage) unbind() {
	left, _ := filepath.Glob(s.path("state/netns/*/*"))
	for _, file := range left {
		_ = syscall.Unmount(file, syscall.MNT_DETACH)
	}
	results, _ := filepath.Glob("/var/lib/cni/results/*-" + s.namespace + ".*")
	for _, file := range results {
		_ = os.Remove(file)
	}
}

// netns makes a network namespace that lives until the test ends.
func (s *netStage) netns(name string) string {
	s.t.Helper()
	file := s.write("ns-"+name, "")
	if out, err := exec.Command("unshare", "--net="+file, "true").CombinedOutput(); err != nil {
		skip(s.t, "make a network namespace: %v\n%s", err, out)
	}
	s.t.Cleanup(func() { _ = syscall.Unmount(file, syscall.MNT_DETACH) })
	return file
}

// in runs a command in a network namespace; it must succeed.
func (s *netStage) in(ns string, args ...string) string {
	s.t.Helper()
	out, err := exec.Command("nsenter", append([]string{"--net=" + ns}, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (s *netStage) command(args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--net=" + s.ns, filepath.Join(theatre.bin, "hostrun")}, args...)...)
	cmd.Dir, cmd.Env = s.dir, s.env
	return cmd
}

func (s *netStage) hostrun(args ...string) result { return finish(s.command(args...)) }

func (s *netStage) must(args ...string) string {
	s.t.Helper()
	r := s.hostrun(args...)
	if r.status != 0 {
		s.t.Fatalf("want success:\n%v", r)
	}
	return r.stdout
}

// refuse runs a command line that has to end with that status and name each of the words.
func (s *netStage) refuse(status int, words []string, args ...string) {
	s.t.Helper()
	r := s.hostrun(args...)
	if r.status != status {
		s.t.Errorf("want status %d:\n%v", status, r)
	}
	for _, w := range words {
		if !strings.Contains(r.stdout+r.stderr, w) {
			s.t.Errorf("want %q:\n%v", w, r)
		}
	}
}

// serving is a profile of a web server that says its name, with more lines. Its root is the machine's: clients in it have a
// resolver as people's have.
func (s *netStage) serving(name string, lines ...string) {
	s.profile(name, "rootfs: host\npython: none\nstop_grace_period: 0s\ncommand: [/usr/bin/python3, -c, "+strconv.Quote(fmt.Sprintf(serverText, name))+"]\n"+strings.Join(lines, "\n")+"\n")
}

const serverText = `import http.server
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b'%s')
http.server.ThreadingHTTPServer.address_family = __import__('socket').AF_INET6
http.server.ThreadingHTTPServer(('::', 80), H).serve_forever()
`

const clientText = `import sys, urllib.request as u
print(u.build_opener(u.ProxyHandler({})).open('http://%s/' % sys.argv[1], timeout=float(sys.argv[2])).read().decode())`

// fetch reads http://ADDRESS/ from a network namespace, as long as it takes the server to listen.
func (s *netStage) fetch(ns, address string) string {
	s.t.Helper()
	return s.try(exec.Command("nsenter", "--net="+ns, "/usr/bin/python3", "-c", clientText, address, "5").Args)
}

// fetchFrom reads the same in a container.
func (s *netStage) fetchFrom(container, address string) string {
	s.t.Helper()
	return s.try(s.command("exec", container, "--", "/usr/bin/python3", "-c", clientText, address, "5").Args)
}

// try runs a command until it succeeds, and returns what it has printed; "" with the test failed if it never does.
func (s *netStage) try(args []string) string {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Dir, cmd.Env = s.dir, s.env
		out, err := cmd.Output()
		if err == nil {
			return strings.TrimSpace(string(out))
		}
		if time.Now().After(deadline) {
			s.t.Errorf("%v: %v", args, err)
			return ""
		}
	}
}

// cut is whether a connection from a container is neither answered nor refused.
func (s *netStage) cut(container, address string) bool {
	s.t.Helper()
	r := s.hostrun("exec", container, "--", "/usr/bin/python3", "-c", clientText, address, "1")
	return r.status == 1 && (strings.Contains(r.stderr, "timed out") || strings.Contains(r.stderr, "unreachable"))
}

// traces are what networks have left on the machine: interfaces, rules that name the stage or a bridge of ours, and files.
func (s *netStage) traces() []string {
	s.t.Helper()
	var all []string
	for _, line := range strings.Split(s.in(s.ns, "ip", "-o", "link"), "\n") {
		if f := strings.Fields(line); len(f) > 1 && f[1] != "lo:" {
			all = append(all, "interface "+f[1])
		}
	}
	for _, program := range []string{"iptables-save", "ip6tables-save"} {
		for _, line := range strings.Split(s.in(s.ns, program), "\n") {
			if strings.Contains(line, s.namespace) || strings.Contains(line, "HOSTRUN") || strings.Contains(line, "hr-") {
				all = append(all, "rule "+line)
			}
		}
	}
	for _, pattern := range []string{s.path("state/netns/*/*"), s.path("state/network/containers/*/*"), s.path("state/network/leases/*"), "/var/lib/cni/results/*-" + s.namespace + ".*"} {
		found, _ := filepath.Glob(pattern)
		for _, f := range found {
			all = append(all, "file "+f)
		}
	}
	return all
}

// untraced waits until nothing of networks is left.
func (s *netStage) untraced() {
	s.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		left := s.traces()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
			return
		}
	}
}

// hostsOf is the container's /etc/hosts.
func (s *netStage) hostsOf(container string) string {
	s.t.Helper()
	return s.must("exec", container, "--", "cat", "/etc/hosts")
}

// addressOf is the container's on a network, by inspect.
func (s *netStage) addressOf(container, network string) string {
	s.t.Helper()
	return strings.TrimSpace(s.must("inspect", container, "--format", fmt.Sprintf(`{{index .networks %q 0}}`, network)))
}

// outside is another machine on a wire: 198.51.100.2, with ours at 198.51.100.1.
func (s *netStage) outside() string {
	s.t.Helper()
	ns := s.netns("outside")
	s.in(s.ns, "ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1")
	s.in(s.ns, "ip", "link", "set", "wire1", "netns", ns)
	for ns, config := range map[string][2]string{s.ns: {"wire0", "1"}, ns: {"wire1", "2"}} {
		s.in(ns, "ip", "address", "add", "198.51.100."+config[1]+"/24", "dev", config[0])
		s.in(ns, "ip", "address", "add", "2001:db8::"+config[1]+"/64", "dev", config[0], "nodad")
		s.in(ns, "ip", "link", "set", config[0], "up")
	}
	return ns
}
