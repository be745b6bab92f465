package relay

import (
	"errors"
	"io"
	"net"
	"time"
)

const (
	dialPatience = 5 * time.Second
	// acceptPause follows a failed accept: too many open files, as a rule.
	acceptPause = 50 * time.Millisecond
)

func serveTCP(l net.Listener, to []string) {
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			go pass(c, to)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			time.Sleep(acceptPause)
		}
	}
}

// pass connects both ends, and lets each close its half by itself.
func pass(client net.Conn, to []string) {
	defer client.Close()
	server, err := dial(to)
	if err != nil {
		if c, ok := client.(*net.TCPConn); ok {
			_ = c.SetLinger(0) // a reset, which is as near as it gets to a refusal
		}
		return
	}
	defer server.Close()
	done := make(chan struct{})
	go func() { defer close(done); half(server, client) }()
	half(client, server)
	<-done
}

func half(to, from net.Conn) {
	_, err := io.Copy(to, from)
	if c, ok := to.(*net.TCPConn); ok && err == nil {
		_ = c.CloseWrite()
		return
	}
	// One end is broken: so is the other.
	_, _ = to.Close(), from.Close()
}

func dial(to []string) (c net.Conn, err error) {
	for _, address := range to {
		if c, err = net.DialTimeout("tcp", address, dialPatience); err == nil {
			return c, nil
		}
	}
	return nil, err
}
