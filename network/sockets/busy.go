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
	for _, ip := range b.Listens() {
		fd, err := Bind(b, ip)
		if err == nil {
			_ = unix.Close(fd)
		}
		if errors.Is(err, unix.EADDRINUSE) || errors.Is(err, unix.EADDRNOTAVAIL) && b.HostIP != "" {
			return fmt.Errorf("bind %s/%s: %w", b.Address(), b.Protocol, err)
		}
	}
	return nil // EACCES of a port below 1024 among others: no word about who has it
}

// Bind binds a socket of the binding's port at one of the addresses that it listens at. The caller closes it. Where the machine
// has no IPv6, the error of an IPv6 address is unix.EADDRNOTAVAIL.
func Bind(b network.Binding, ip netip.Addr) (fd int, err error) {
	kind, proto := unix.SOCK_STREAM, 0
	switch b.Protocol {
	case "udp":
		kind = unix.SOCK_DGRAM
	case "sctp":
		proto = unix.IPPROTO_SCTP
	}
	family, address := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(b.HostPort), Addr: ip.As16()})
	if ip = ip.Unmap(); ip.Is4() {
		family, address = unix.AF_INET, &unix.SockaddrInet4{Port: int(b.HostPort), Addr: ip.As4()}
	}
	fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, proto)
	if errors.Is(err, unix.EAFNOSUPPORT) {
		err = unix.EADDRNOTAVAIL
	}
	if err != nil {
		return -1, err // no such protocol here: whoever wants to use it will say so
	}
	if kind == unix.SOCK_STREAM { // with it only a listener is in the way, not what is left of its connections (socket(7))
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	}
	if family == unix.AF_INET6 {
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	if err := unix.Bind(fd, address); err != nil {
		_ = unix.Close(fd)
		return -1, err
	}
	return fd, nil
}
