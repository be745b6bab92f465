package bridge

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/network"
	"hostrun.dev/hostrun/network/relay"
	"hostrun.dev/hostrun/network/sockets"
)

// A hold is a container's published ports, bound: nobody else gets them, and who does not come by the kernel's rules waits in the
// sockets' queues until the relay accepts.
type hold struct {
	sockets []relay.Socket
	files   []*os.File
}

// hold binds the ports. The error is a *network.Conflict where somebody else has one of them.
func (k *Kernel) hold(e network.Entry) (h *hold, err error) {
	h = new(hold)
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	for _, b := range e.Bindings {
		if b.Protocol == "sctp" { // the rules alone lead it
			continue
		}
		for _, ip := range b.Listens() {
			err := h.bind(b, ip)
			if b.HostIP == "" && ip.Is6() && errors.Is(err, unix.EADDRNOTAVAIL) {
				continue // a machine without IPv6
			}
			if err != nil {
				return h, holdError(b, ip, err)
			}
		}
	}
	return h, nil
}

func (h *hold) bind(b network.Binding, ip netip.Addr) error {
	fd, err := sockets.Bind(b, ip)
	if err != nil {
		return err
	}
	if b.Protocol == "tcp" {
		if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
			_ = unix.Close(fd)
			return err
		}
	}
	h.files = append(h.files, os.NewFile(uintptr(fd), b.Protocol))
	h.sockets = append(h.sockets, relay.Socket{Protocol: b.Protocol, To: []string{strconv.Itoa(int(b.Port))}})
	return nil
}

func holdError(b network.Binding, ip netip.Addr, err error) error {
	b.HostIP = ip.String()
	if !errors.Is(err, unix.EADDRINUSE) {
		return fmt.Errorf("bind %s/%s: %w", b.Address(), b.Protocol, err)
	}
	c := &network.Conflict{Kind: network.PortTaken, Binding: b, Text: fmt.Sprintf("port %s/%s is in use by a process that can't be seen from here", b.Address(), b.Protocol)}
	if by, ok := sockets.HolderOf("/", b); ok {
		c.Holder, c.Text = by.String(), fmt.Sprintf("port %s/%s is in use by %s", b.Address(), b.Protocol, by)
	}
	return c
}

func (h *hold) close() {
	for _, f := range h.files {
		_ = f.Close()
	}
	h.files = nil
}

// serve starts the container's relay with the sockets, which are closed here.
func (k *Kernel) serve(e network.Entry, h *hold) error {
	defer h.close()
	if len(h.files) == 0 {
		return nil
	}
	to := addresses(e.Links[0])
	for i := range h.sockets {
		port := h.sockets[i].To[0]
		h.sockets[i].To = nil
		for _, ip := range to {
			h.sockets[i].To = append(h.sockets[i].To, net.JoinHostPort(ip, port))
		}
	}
	if _, err := os.Stat(k.Relay); err != nil {
		return finding.Errorf(finding.StatusFailed, "install all of hostrun: make install", "find what listens at published ports: %w", err)
	}
	key := Key{e.Namespace, e.ID}
	control, err := k.control(key)
	if err != nil {
		return fmt.Errorf("listen for the relay of container %s: %w", e.ID, err)
	}
	defer control.Close()
	order, err := json.Marshal(relay.Order{Control: k.controlPath(key), Sockets: h.sockets})
	if err != nil {
		return err
	}
	return start(k.Relay, e.Namespace+"/"+e.ID, order, append([]*os.File{control}, h.files...))
}

// addresses are the container's, those of IPv4 first: more servers listen there.
func addresses(l network.Link) []string {
	var all []string
	for _, v6 := range []bool{false, true} {
		for _, ip := range l.IPs {
			if strings.Contains(ip, ":") == v6 {
				all = append(all, ip)
			}
		}
	}
	return all
}

// start starts the relay in a session of its own, so that it outlives this process and its terminal.
func start(program, name string, order []byte, files []*os.File) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	cmd := exec.Command(program, name)
	cmd.Dir, cmd.Stdin, cmd.ExtraFiles, cmd.Env = "/", read, files, []string{}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		_ = write.Close()
		return fmt.Errorf("start %s: %w", program, err)
	}
	go func() { _ = cmd.Wait() }() // whoever stays reaps it
	_, err = write.Write(order)
	if err = errors.Join(err, write.Close()); err != nil {
		return fmt.Errorf("tell %s its ports: %w", program, err)
	}
	return nil
}

// controlPath is short whatever the container is called.
func (k *Kernel) controlPath(key Key) string {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key.name()))
	return k.dir("ports", fmt.Sprintf("%016x", h.Sum64()))
}

// control makes the socket by which the relay is told to stop. One that a dead relay has left is replaced.
func (k *Kernel) control(key Key) (control *os.File, err error) {
	path := k.controlPath(key)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	err = within(path, func() error {
		short, done, err := shortened(path)
		if err != nil {
			return err
		}
		defer done()
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
		if err != nil {
			return err
		}
		l.SetUnlinkOnClose(false)
		defer l.Close()
		control, err = l.File()
		return err
	})
	return control, err
}

// shortened is a name for path that fits into a socket's address (unix(7): 107 bytes), until done.
func shortened(path string) (name string, done func(), err error) {
	if len(path) < 100 {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { _ = dir.Close() }, nil
}

// reach connects to the container's relay; the error is fs.ErrNotExist or ECONNREFUSED where there is none.
func (k *Kernel) reach(key Key) (*net.UnixConn, error) {
	name, done, err := shortened(k.controlPath(key))
	if err != nil {
		return nil, err
	}
	defer done()
	return net.DialUnix("unix", nil, &net.UnixAddr{Name: name, Net: "unix"})
}

// relayPatience bounds the wait for a relay that is told to stop.
const relayPatience = 10 * time.Second

// release ends the container's relay. Its ports are free afterwards.
func (k *Kernel) release(key Key) error {
	c, err := k.reach(key)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		_ = c.SetDeadline(time.Now().Add(relayPatience))
		_, err = c.Write([]byte(relay.Stop))
		if err == nil {
			_, err = io.Copy(io.Discard, c)
		}
		_ = c.Close()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("end the relay of container %s: it does not answer", key.ID)
		}
	}
	// Refused, or broken: it is no more.
	if err := os.Remove(k.controlPath(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = os.Remove(k.dir("ports")) // if it was the last
	return nil
}

// relays reports whether the container's relay is alive.
func (k *Kernel) relays(key Key) bool {
	c, err := k.reach(key)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}
