// Package relay listens at a container's published ports and passes on what gets there. The kernel's rules take most of it to the
// container before: what is left is what no rule can lead there, ::1 and IPv6 where the container has none, and all of it while
// somebody has flushed the rules. As long as it listens, nobody else on the machine gets the port by mistake.
//
// It is the whole of hostrun-ports, of which one runs for each container with published ports, and needs the standard library alone.
package relay

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// An Order says what to do with the files that follow the standard ones: the control socket, then each of Sockets.
type Order struct {
	Control string   `json:"control"` // the control socket's path: the relay ends when it is gone
	Sockets []Socket `json:"sockets"`
}

// A Socket is bound to a port of the host, and listens if it is one of TCP.
type Socket struct {
	Protocol string   `json:"protocol"` // "tcp", "udp"
	To       []string `json:"to"`       // ADDRESS:PORT of the container; the first that takes a connection. UDP: the first
}

const (
	// Stop, written to the control socket, ends the relay. It closes that connection with all others.
	Stop = "stop\n"
	// FirstFile is the number of the control socket.
	FirstFile = 3
	// lookAgain is how often the relay looks for its control socket.
	lookAgain = 10 * time.Second
)

// Run reads the order and serves until it is told to stop.
func Run(from io.Reader) error {
	var o Order
	if err := json.NewDecoder(from).Decode(&o); err != nil {
		return fmt.Errorf("read the order: %w", err)
	}
	control, err := net.FileListener(os.NewFile(FirstFile, "control"))
	if err != nil {
		return fmt.Errorf("open the control socket: %w", err)
	}
	for i, s := range o.Sockets {
		if err := s.serve(os.NewFile(uintptr(FirstFile+1+i), s.Protocol)); err != nil {
			return fmt.Errorf("listen for %v: %w", s.To, err)
		}
	}
	go abandon(o.Control)
	return obey(control)
}

// serve takes the file over.
func (s Socket) serve(file *os.File) error {
	defer file.Close()
	if len(s.To) == 0 {
		return errors.New("it leads nowhere")
	}
	if s.Protocol == "udp" {
		c, err := net.FilePacketConn(file)
		if err != nil {
			return err
		}
		conn, ok := c.(*net.UDPConn)
		if !ok {
			return fmt.Errorf("it is a socket of %s", c.LocalAddr().Network())
		}
		go newFlows(conn, s.To[0]).serve()
		return nil
	}
	l, err := net.FileListener(file)
	if err != nil {
		return err
	}
	go serveTCP(l, s.To)
	return nil
}

// obey returns when it is told to. Who only connects learns that the relay is alive.
func obey(control net.Listener) error {
	for {
		c, err := control.Accept()
		if err != nil {
			return fmt.Errorf("accept on the control socket: %w", err)
		}
		word := make([]byte, len(Stop))
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := io.ReadFull(c, word); err == nil && string(word) == Stop {
			return nil
		}
		_ = c.Close()
	}
}

// abandon ends a relay whose state directory somebody has removed: nobody could tell it to stop any more.
func abandon(control string) {
	for range time.Tick(lookAgain) {
		if _, err := os.Lstat(control); errors.Is(err, os.ErrNotExist) {
			os.Exit(0)
		}
	}
}
