package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

const patience = 30 * time.Second

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// served serves one socket and returns its address.
func served(t *testing.T, s Socket, listen string) string {
	t.Helper()
	var file *os.File
	var address net.Addr
	if s.Protocol == "udp" {
		family := "udp4"
		if listen[0] == '[' { // hostrun's are of one family each
			family = "udp6"
		}
		c, err := net.ListenPacket(family, listen)
		must(t, err)
		address = c.LocalAddr()
		file, err = c.(*net.UDPConn).File()
		must(t, err)
		must(t, c.Close())
	} else {
		l, err := net.Listen("tcp", listen)
		must(t, err)
		address = l.Addr()
		file, err = l.(*net.TCPListener).File()
		must(t, err)
		must(t, l.Close())
	}
	must(t, s.serve(file))
	return address.String()
}

// TestRelayedConnection: both ways, with halves that close by themselves; the first address that takes it; from IPv6 to IPv4.
func TestRelayedConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // answers after the client has said all
				defer c.Close()
				text, _ := io.ReadAll(c)
				fmt.Fprintf(c, "%d bytes", len(text))
			}()
		}
	}()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, nobody.Close())
	for _, listen := range []string{"127.0.0.1:0", "[::1]:0"} {
		address := served(t, Socket{Protocol: "tcp", To: []string{nobody.Addr().String(), l.Addr().String()}}, listen)
		c, err := net.DialTimeout("tcp", address, patience)
		must(t, err)
		_ = c.SetDeadline(time.Now().Add(patience))
		_, err = io.Copy(c, strings.NewReader(strings.Repeat("x", 1<<20)))
		must(t, err)
		must(t, c.(*net.TCPConn).CloseWrite())
		answer, err := io.ReadAll(c)
		must(t, err)
		if string(answer) != "1048576 bytes" {
			t.Errorf("%s: %q", listen, answer)
		}
		_ = c.Close()
	}
	// Nobody listens in the container: the client learns it.
	c, err := net.DialTimeout("tcp", served(t, Socket{Protocol: "tcp", To: []string{nobody.Addr().String()}}, "127.0.0.1:0"), patience)
	if err != nil { // so soon
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Errorf("a connection to nobody: %v", err)
	}
}

// TestRelayedDatagrams: each client gets its own answers, from the address that it has asked, also where the relay listens at all.
func TestRelayedDatagrams(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer server.Close()
	go func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = server.WriteTo([]byte("to "+string(b[:n])), from)
		}
	}()
	for listen, ask := range map[string][]string{"0.0.0.0:0": {"127.0.0.1", "127.0.0.2"}, "[::]:0": {"::1"}, "127.0.0.1:0": {"127.0.0.1"}} {
		address := served(t, Socket{Protocol: "udp", To: []string{server.LocalAddr().String()}}, listen)
		_, port, err := net.SplitHostPort(address)
		must(t, err)
		for _, ip := range ask {
			c, err := net.Dial("udp", net.JoinHostPort(ip, port)) // a connected socket takes nothing from elsewhere
			must(t, err)
			b := make([]byte, 1<<16)
			got := ""
			for range 30 { // a datagram may be lost
				_, err = c.Write([]byte(c.LocalAddr().String()))
				must(t, err)
				_ = c.SetReadDeadline(time.Now().Add(time.Second))
				if n, err := c.Read(b); err == nil {
					got = string(b[:n])
					break
				}
			}
			if got != "to "+c.LocalAddr().String() {
				t.Errorf("%s asked at %s: %q", listen, ip, got)
			}
			_ = c.Close()
		}
	}
}

// TestTheRelayObeys: it ends when it is told to, and not for somebody who only looks.
func TestTheRelayObeys(t *testing.T) {
	path := t.TempDir() + "/s"
	l, err := net.Listen("unix", path)
	must(t, err)
	defer l.Close()
	ended := make(chan error, 1)
	go func() { ended <- obey(l) }()
	for _, word := range []string{"", "sto", "what\n"} {
		c, err := net.Dial("unix", path)
		must(t, err)
		_, err = io.WriteString(c, word)
		must(t, err)
		if word == "what\n" {
			_, _ = bufio.NewReader(c).ReadByte()
		}
		_ = c.Close()
	}
	select {
	case err := <-ended:
		t.Fatalf("it has ended: %v", err)
	default:
	}
	c, err := net.Dial("unix", path)
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, Stop)
	must(t, err)
	select {
	case err := <-ended:
		must(t, err)
	case <-time.After(patience):
		t.Error("it goes on")
	}
}
