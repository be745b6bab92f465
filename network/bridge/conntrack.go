package bridge

import (
	"encoding/binary"
	"syscall"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/network"
)

// Of ctnetlink (linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h): a message's number, and the attributes of a flow.
const (
	flowGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1 // IPCTNL_MSG_CT_GET
	flowDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // IPCTNL_MSG_CT_DELETE

	tupleOriginal = 1 // CTA_TUPLE_ORIG
	tupleProtocol = 2 // CTA_TUPLE_PROTO
	protocolNum   = 1 // CTA_PROTO_NUM
	protocolTo    = 3 // CTA_PROTO_DST_PORT

	familyHeader = 4 // bytes of struct nfgenmsg
)

// forgetFlows makes the kernel forget flows of UDP to the ports: it decides for the first packet of a flow where all of it goes, and a
// client that sends on would be led to a container that is gone, or to none. Failures are no fault of the ports.
func forgetFlows(bindings []network.Binding) {
	ports := map[uint16]bool{}
	for _, b := range bindings {
		if b.Protocol == "udp" {
			ports[b.HostPort] = true
		}
	}
	if len(ports) == 0 {
		return
	}
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		messages, err := talk(request(flowGet, unix.NLM_F_DUMP, family, nil))
		if err != nil {
			continue
		}
		for _, m := range messages {
			if tuple := flowTo(m.Data, ports); tuple != nil {
				_, _ = talk(request(flowDelete, unix.NLM_F_ACK, family, tuple))
			}
		}
	}
}

// flowTo returns the attribute that names a flow of UDP to one of the ports; nil for other flows.
func flowTo(message []byte, ports map[uint16]bool) []byte {
	if len(message) < familyHeader {
		return nil
	}
	tuple := attribute(message[familyHeader:], tupleOriginal)
	protocol := attribute(tuple, tupleProtocol)
	num, to := attribute(protocol, protocolNum), attribute(protocol, protocolTo)
	if len(num) != 1 || num[0] != unix.IPPROTO_UDP || len(to) != 2 || !ports[binary.BigEndian.Uint16(to)] {
		return nil
	}
	b := make([]byte, unix.NLA_HDRLEN, unix.NLA_HDRLEN+len(tuple))
	binary.NativeEndian.PutUint16(b, uint16(unix.NLA_HDRLEN+len(tuple)))
	binary.NativeEndian.PutUint16(b[2:], tupleOriginal|unix.NLA_F_NESTED)
	return append(b, tuple...)
}

// attribute is the value of the first attribute of that kind (struct nlattr: length, kind, value; aligned to four bytes).
func attribute(b []byte, kind uint16) []byte {
	for len(b) >= unix.NLA_HDRLEN {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.NLA_HDRLEN || n > len(b) {
			return nil
		}
		if binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER) == kind {
			return b[unix.NLA_HDRLEN:n]
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return nil
}

func request(kind, flags uint16, family uint8, attributes []byte) []byte {
	b := make([]byte, unix.NLMSG_HDRLEN+familyHeader, unix.NLMSG_HDRLEN+familyHeader+len(attributes))
	binary.NativeEndian.PutUint32(b, uint32(cap(b)))
	binary.NativeEndian.PutUint16(b[4:], kind)
	binary.NativeEndian.PutUint16(b[6:], flags|unix.NLM_F_REQUEST)
	b[unix.NLMSG_HDRLEN] = family
	return append(b, attributes...)
}

// talk sends one request of netfilter's and reads the answer to its end.
func talk(request []byte) ([]syscall.NetlinkMessage, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2})
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	var all []syscall.NetlinkMessage
	for buf := make([]byte, 64<<10); ; {
		n, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return all, err
		}
		messages, err := syscall.ParseNetlinkMessage(append([]byte{}, buf[:n]...))
		if err != nil {
			return all, err
		}
		for _, m := range messages {
			if m.Header.Type == unix.NLMSG_DONE || m.Header.Type == unix.NLMSG_ERROR {
				return all, nil
			}
			all = append(all, m)
		}
	}
}
