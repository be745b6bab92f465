package sockets

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"hostrun.dev/hostrun/network"
)

// A Holder is the process that has a port.
type Holder struct {
	PID     int    `json:"pid"`
	Command string `json:"command"` // its arguments, joined, abridged
	// Cgroup tells the container: "/hostrun/web", "/docker/1f2e...".
	Cgroup string `json:"cgroup,omitempty"`
	// Relay is the container, NAMESPACE/ID, whose published ports the process holds: it is a hostrun-ports.
	Relay string `json:"relay,omitempty"`
}

// HolderOf finds the process below root that has the binding's port open, in the network namespace of /proc/net (proc(5)).
func HolderOf(root string, b network.Binding) (Holder, bool) {
	var inodes []string
	for _, family := range []string{"", "6"} {
		inodes = append(inodes, inodesOf(filepath.Join(root, "proc/net", b.Protocol+family), b)...)
	}
	for _, inode := range inodes {
		if pid := owner(root, "socket:["+inode+"]"); pid != 0 {
			return describe(root, pid), true
		}
	}
	return Holder{}, false
}

// inodesOf reads a table of /proc/net: column 1 is the local address, 3 the state (0A listens, 07 is UDP unconnected), 9 the
// inode (Documentation/networking/proc_net_tcp.rst).
func inodesOf(file string, b network.Binding) []string {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var found []string
	for _, line := range strings.Split(string(text), "\n") {
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != "0A" && f[3] != "07" {
			continue
		}
		ip, port, ok := localAddress(f[1])
		held := network.Binding{HostIP: ip.String(), HostPort: port, Protocol: b.Protocol}
		if ok && b.Collides(held) {
			found = append(found, f[9])
		}
	}
	return found
}

// localAddress reads "0100007F:1F90": words of 32 bits in the machine's order, and the port.
func localAddress(text string) (netip.Addr, uint16, bool) {
	host, port, ok := strings.Cut(text, ":")
	raw, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if !ok || err != nil || err2 != nil || len(raw)%4 != 0 {
		return netip.Addr{}, 0, false
	}
	for i := 0; i < len(raw); i += 4 {
		binary.BigEndian.PutUint32(raw[i:], binary.NativeEndian.Uint32(raw[i:]))
	}
	ip, ok := netip.AddrFromSlice(raw)
	return ip, uint16(n), ok
}

// owner is the first process with the socket among its files; 0 for none that can be seen.
func owner(root, socket string) int {
	files, _ := filepath.Glob(filepath.Join(root, "proc/[0-9]*/fd"))
	for _, dir := range files {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && to == socket {
				pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
				return pid
			}
		}
	}
	return 0
}

// RelayProgram is hostrun's own that listens at published ports, with the container as its argument.
const RelayProgram = "hostrun-ports"

// maxCommand is the most of a command line that is shown, in bytes.
const maxCommand = 120

func describe(root string, pid int) Holder {
	h := Holder{PID: pid}
	dir := filepath.Join(root, "proc", strconv.Itoa(pid))
	line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	if args := strings.Split(string(line), "\x00"); len(args) > 1 && filepath.Base(args[0]) == RelayProgram {
		h.Relay = args[1]
	}
	h.Command = strings.TrimSpace(string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
	if h.Command == "" {
		name, _ := os.ReadFile(filepath.Join(dir, "comm"))
		h.Command = strings.TrimSpace(string(name))
	}
	if len(h.Command) > maxCommand {
		h.Command = strings.ToValidUTF8(h.Command[:maxCommand], "") + "..."
	}
	groups, _ := os.ReadFile(filepath.Join(dir, "cgroup"))
	h.Cgroup = cgroupOf(string(groups))
	return h
}

// cgroupOf is the longest path that any hierarchy has the process in (cgroups(7)): with v1 and v2 side by side one says more.
func cgroupOf(text string) string {
	longest := ""
	for _, line := range strings.Split(text, "\n") {
		if f := strings.SplitN(line, ":", 3); len(f) == 3 && len(f[2]) > len(longest) && f[2] != "/" {
			longest = f[2]
		}
	}
	return longest
}

var dockerCgroup = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`docker[/-]([0-9a-f]{64})`) })

// DockerID is the ID of the Docker container that the process is in; "" for none.
func (h Holder) DockerID() string {
	if m := dockerCgroup().FindStringSubmatch(h.Cgroup); m != nil {
		return m[1]
	}
	return ""
}

// In reports whether the process is in that container of hostrun's (the cgroup that plans give: /NAMESPACE/ID), or has its ports for it.
func (h Holder) In(namespace, id string) bool {
	return h.Relay == namespace+"/"+id || strings.HasSuffix(h.Cgroup, "/"+namespace+"/"+id)
}

// String names the process: "process 812 (python3 app.py)".
func (h Holder) String() string { return fmt.Sprintf("process %d (%s)", h.PID, h.Command) }
