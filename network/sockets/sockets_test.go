package sockets

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/network"
)

// TestBusyNamesThisProcess: a real listener of this process is in the way, is found by /proc, and is so no more when it has closed.
func TestBusyNamesThisProcess(t *testing.T) {
	for _, c := range []struct{ network, listen, ip, protocol string }{
		{"tcp4", "127.0.0.1:0", "127.0.0.1", "tcp"}, {"tcp4", "127.0.0.1:0", "", "tcp"}, {"tcp", "[::]:0", "", "tcp"}, {"tcp6", "[::1]:0", "::1", "tcp"}, {"udp4", "127.0.0.1:0", "127.0.0.1", "udp"},
	} {
		port, end := listen(t, c.network, c.listen)
		b := network.Binding{HostIP: c.ip, HostPort: port, Protocol: c.protocol}
		if err := Busy(b); !errors.Is(err, unix.EADDRINUSE) {
			t.Errorf("%s beside %s: %v", b.Address(), c.listen, err)
		}
		h, ok := HolderOf("/", b)
		if !ok || h.PID != os.Getpid() || !strings.Contains(h.Command, "sockets.test") {
			t.Errorf("%s: holder %+v, %v", b.Address(), h, ok)
		}
		end()
		if err := Busy(b); err != nil {
			t.Errorf("%s after its end: %v", b.Address(), err)
		}
	}
	if err := Busy(network.Binding{HostIP: "203.0.113.9", HostPort: 1, Protocol: "tcp"}); !errors.Is(err, unix.EADDRNOTAVAIL) {
		t.Errorf("another machine's address: %v", err)
	}
}

func listen(t *testing.T, kind, address string) (uint16, func()) {
	t.Helper()
	if strings.HasPrefix(kind, "udp") {
		c, err := net.ListenPacket(kind, address)
		if err != nil {
			t.Fatal(err)
		}
		return netip.MustParseAddrPort(c.LocalAddr().String()).Port(), func() { _ = c.Close() }
	}
	l, err := net.Listen(kind, address)
	if err != nil {
		t.Fatal(err)
	}
	return netip.MustParseAddrPort(l.Addr().String()).Port(), func() { _ = l.Close() }
}

// TestHolderBelowARoot: another machine's tree, with a container's process.
func TestHolderBelowARoot(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		file := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	write("proc/net/tcp", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"+
		"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0000000000000000 100 0 0 10 0\n"+
		"   1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0000000000000000 100 0 0 10 0\n")
	id := strings.Repeat("1f", 32)
	write("proc/812/cmdline", "docker-proxy\x00-host-port\x008080\x00")
	write("proc/812/cgroup", "4:memory:/docker/"+id+"\n0::/system.slice\n")
	if err := errors.Join(os.MkdirAll(filepath.Join(root, "proc/812/fd"), 0o755), os.Symlink("socket:[4242]", filepath.Join(root, "proc/812/fd/4"))); err != nil {
		t.Fatal(err)
	}
	h, ok := HolderOf(root, network.Binding{HostPort: 8080, Protocol: "tcp"})
	if !ok || h.String() != "process 812 (docker-proxy -host-port 8080)" || h.DockerID() != id || h.In("hostrun", "web") {
		t.Errorf("%+v, %v", h, ok)
	}
	if _, ok := HolderOf(root, network.Binding{HostPort: 8081, Protocol: "tcp"}); ok {
		t.Error("a connection is no listener")
	}
	if h := (Holder{Cgroup: "/hostrun/web"}); !h.In("hostrun", "web") || h.In("hostrun", "eb") {
		t.Error("In")
	}
}
