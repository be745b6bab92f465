package relay

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

const (
	// flowIdle is after which a client that says nothing and hears nothing is forgotten; twice the kernel's own for a flow with an
	// answer would be 240 s (nf_conntrack_udp_timeout_stream), docker's relay has 90.
	flowIdle = 90 * time.Second
	// maxFlows bounds the clients of one port that are remembered: each holds a socket.
	maxFlows = 4096
	// largest datagram there is.
	largest = 65535
)

// flows are the clients of one port of UDP.
type flows struct {
	conn *net.UDPConn
	to   string

	mu  sync.Mutex
	all map[flowKey]*net.UDPConn
}

// A flowKey is a client, and which of the host's addresses it talks to: it expects the answers from there.
type flowKey struct {
	client netip.AddrPort
	here   string // the control message that has an answer sent from that address
}

func newFlows(conn *net.UDPConn, to string) *flows {
	return &flows{conn: conn, to: to, all: map[flowKey]*net.UDPConn{}}
}

func (f *flows) serve() {
	askForAddress(f.conn)
	data, control := make([]byte, largest), make([]byte, 256)
	for {
		n, m, _, client, err := f.conn.ReadMsgUDPAddrPort(data, control)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(acceptPause)
			continue
		}
		if server := f.server(flowKey{client, answerFrom(control[:m])}); server != nil {
			_, _ = server.Write(data[:n]) // a datagram may be lost
		}
	}
}

// server is the client's own connection to the container; nil where there can be none.
func (f *flows) server(k flowKey) *net.UDPConn {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c := f.all[k]; c != nil {
		_ = c.SetReadDeadline(time.Now().Add(flowIdle))
		return c
	}
	if len(f.all) >= maxFlows {
		return nil
	}
	c, err := net.Dial("udp", f.to)
	if err != nil {
		return nil
	}
	server, ok := c.(*net.UDPConn)
	if !ok {
		return nil
	}
	_ = server.SetReadDeadline(time.Now().Add(flowIdle))
	f.all[k] = server
	go f.answer(k, server)
	return server
}

// answer passes the container's datagrams on to the client, from the address that it talks to.
func (f *flows) answer(k flowKey, server *net.UDPConn) {
	defer func() {
		f.mu.Lock()
		delete(f.all, k)
		f.mu.Unlock()
		_ = server.Close()
	}()
	data := make([]byte, largest)
	for {
		n, err := server.Read(data)
		if errors.Is(err, syscall.ECONNREFUSED) { // the container does not listen, or not yet
			continue
		}
		if err != nil {
			return
		}
		_ = server.SetReadDeadline(time.Now().Add(flowIdle))
		_, _, _ = f.conn.WriteMsgUDPAddrPort(data[:n], []byte(k.here), k.client)
	}
}

// askForAddress has the kernel tell of each datagram which address of ours it was sent to (ip(7), ipv6(7)).
func askForAddress(conn *net.UDPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // one of the two is of the socket's family
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_RECVPKTINFO, 1)
	})
}

// answerFrom turns the kernel's word about a datagram into that for its answer: the same structure (in_pktinfo: the interface's
// number, the address to send from, that of the datagram; in6_pktinfo: the address, the interface's number). The interface is
// left open, as the way back may be another, but for link-local addresses, which mean nothing without it.
func answerFrom(control []byte) string {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil || len(messages) != 1 {
		return ""
	}
	data := messages[0].Data // within control
	switch h := messages[0].Header; {
	case h.Level == syscall.IPPROTO_IP && h.Type == syscall.IP_PKTINFO && len(data) >= 12:
		clear(data[0:4])
		clear(data[8:12])
	case h.Level == syscall.IPPROTO_IPV6 && h.Type == syscall.IPV6_PKTINFO && len(data) >= 20:
		if a, _ := netip.AddrFromSlice(data[:16]); !a.IsLinkLocalUnicast() {
			clear(data[16:20])
		}
	default:
		return ""
	}
	return string(control)
}
