package bridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/network"
)

// setUp sets or clears IFF_UP of an interface of the thread's network namespace (netdevice(7)).
func setUp(name string, up bool) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	flags := ifr.Uint16() &^ unix.IFF_UP
	if up {
		flags |= unix.IFF_UP
	}
	ifr.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return nil
}

// removeBridge deletes a bridge that has no port (ioctl SIOCBRDELBR, linux/sockios.h). One that is gone is no fault.
func removeBridge(name string) error {
	here, err := net.InterfaceByName(name)
	if err != nil {
		return nil // it is gone
	}
	if used, err := hasPorts(here.Index); err != nil || used {
		return err // used: by somebody else than hostrun
	}
	if err := setUp(name, false); err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	text := append([]byte(name), 0)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCBRDELBR, uintptr(unsafe.Pointer(&text[0]))); errno != 0 && !errors.Is(errno, unix.ENXIO) {
		return fmt.Errorf("remove the bridge %s: %w", name, errno)
	}
	return nil
}

// hasPorts reports whether an interface has the bridge for its master (rtnetlink(7), IFLA_MASTER). /sys/class/net would tell of the
// network namespace that it was mounted in.
func hasPorts(bridge int) (bool, error) {
	table, err := syscall.NetlinkRIB(syscall.RTM_GETLINK, syscall.AF_UNSPEC)
	if err != nil {
		return false, fmt.Errorf("list the host's interfaces: %w", err)
	}
	messages, err := syscall.ParseNetlinkMessage(table)
	if err != nil {
		return false, fmt.Errorf("list the host's interfaces: %w", err)
	}
	for _, m := range messages {
		attributes, err := syscall.ParseNetlinkRouteAttr(&m)
		if err != nil {
			continue // the end of the list
		}
		for _, a := range attributes {
			if a.Attr.Type == unix.IFLA_MASTER && len(a.Value) == 4 && int(binary.NativeEndian.Uint32(a.Value)) == bridge {
				return true, nil
			}
		}
	}
	return false, nil
}

// Interfaces are the host's, with the subnets of their addresses and routes; loopback is none of them.
func Interfaces() ([]network.Interfaces, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list the host's interfaces: %w", err)
	}
	routes := routesOf("/proc/net/route", "/proc/net/ipv6_route")
	found := []network.Interfaces{}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			continue
		}
		one := network.Interfaces{Name: i.Name, Subnets: routes[i.Name]}
		addresses, _ := i.Addrs()
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil && !p.Addr().IsLinkLocalUnicast() {
				one.Subnets, one.Addresses = append(one.Subnets, p.Masked()), append(one.Addresses, p.Addr())
			}
		}
		found = append(found, one)
	}
	return found, nil
}

// routesOf reads the kernel's tables (proc(5)): the default route says nothing about a subnet.
func routesOf(v4, v6 string) map[string][]netip.Prefix {
	found := map[string][]netip.Prefix{}
	for _, f := range fieldsOf(v4, 8) {
		dst, err1 := strconv.ParseUint(f[1], 16, 32)
		mask, err2 := strconv.ParseUint(f[7], 16, 32)
		if err1 != nil || err2 != nil || mask == 0 {
			continue
		}
		ip := netip.AddrFrom4([4]byte{byte(dst), byte(dst >> 8), byte(dst >> 16), byte(dst >> 24)}) // in the machine's order, which is little here
		bits := 0
		for ; mask != 0; mask &= mask - 1 {
			bits++
		}
		found[f[0]] = append(found[f[0]], netip.PrefixFrom(ip, bits).Masked())
	}
	for _, f := range fieldsOf(v6, 10) {
		bits, err := strconv.ParseUint(f[1], 16, 8)
		ip, ok := hexAddress(f[0])
		if err != nil || !ok || bits == 0 || bits == 128 || ip.IsLinkLocalUnicast() || ip.IsMulticast() {
			continue
		}
		found[f[9]] = append(found[f[9]], netip.PrefixFrom(ip, int(bits)).Masked())
	}
	return found
}

func fieldsOf(file string, least int) [][]string {
	text, _ := os.ReadFile(file)
	var all [][]string
	for _, line := range strings.Split(string(text), "\n") {
		if f := strings.Fields(line); len(f) >= least {
			all = append(all, f)
		}
	}
	return all
}

func hexAddress(text string) (netip.Addr, bool) {
	var bytes [16]byte
	if len(text) != 32 {
		return netip.Addr{}, false
	}
	for i := range bytes {
		n, err := strconv.ParseUint(text[2*i:2*i+2], 16, 8)
		if err != nil {
			return netip.Addr{}, false
		}
		bytes[i] = byte(n)
	}
	return netip.AddrFrom16(bytes), true
}
