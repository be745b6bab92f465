// Package sockets tells whether a port of this machine can be bound, and who has it if not.
package sockets

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/network"
)

// Busy tries to bind what the binding names, as a server would, and lets go of it: nil, unix.EADDRINUSE, or what else hinders
// it (unix.EADDRNOTAVAIL for an address that the machine does not have). It does not listen, so nobody sees it.
func Busy(b network.Binding) error {
	kind, proto := unix.SOCK_STREAM, 0
	switch b.Protocol {
	case "udp":
		kind = unix.SOCK_DGRAM
	case "sctp":
		proto = unix.IPPROTO_SCTP
	}
	ip, err := netip.ParseAddr(b.HostIP)
	if err != nil {
		ip = netip.IPv4Unspecified()
	}
	family, address := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(b.HostPort), Addr: ipv4(ip)})
	if ip.Is6() && !ip.Is4In6() {
		family, address = unix.AF_INET6, &unix.SockaddrInet6{Port: int(b.HostPort), Addr: ip.As16()}
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, proto)
	if err != nil {
		return nil // no such protocol here: whoever wants to use it will say so
	}
	defer unix.Close(fd)
	if kind == unix.SOCK_STREAM { // with it only a listener is in the way, not what is left of its connections (socket(7))
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if family == unix.AF_INET6 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	err = unix.Bind(fd, address)
	if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("bind %s/%s: %w", b.Address(), b.Protocol, err)
	}
	return nil // EACCES of a port below 1024 among others: no word about who has it
}

func ipv4(ip netip.Addr) (bytes [4]byte) {
	if ip = ip.Unmap(); ip.Is4() {
		return ip.As4()
	}
	return bytes
}
