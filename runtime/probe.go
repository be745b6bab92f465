package runtime

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	goruntime "runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/logfile"
	"hostrun.dev/hostrun/supervise"
)

// Probe sees whether the container is healthy, within the time that its healthcheck gives.
func (c *Client) Probe(ctx context.Context, of supervise.Container) supervise.ProbeResult {
	ctx, cancel := context.WithTimeout(c.in(ctx), supervise.Timeout(of.Check))
	defer cancel()
	var err error
	switch check := of.Check; {
	case len(check.Test) > 0:
		err = c.probeCommand(ctx, of)
	case check.HTTP != "":
		err = c.inNetwork(ctx, of.ID, func(dial dialer) error { return probeHTTP(ctx, check.HTTP, dial) })
	case check.TCP != "":
		err = c.inNetwork(ctx, of.ID, func(dial dialer) error {
			conn, err := dial(ctx, "tcp", check.TCP)
			if err == nil {
				_ = conn.Close()
			}
			return err
		})
	case check.GPU:
		err = errors.New("its devices are looked at by who probes")
	case check.Log != "":
		err = c.probeLog(ctx, of)
	}
	if err == nil {
		return supervise.ProbeResult{Healthy: true}
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && len(of.Check.Test) == 0 {
		err = fmt.Errorf("not within %v: %w", supervise.Timeout(of.Check), err)
	}
	return supervise.ProbeResult{Output: err.Error()}
}

// probeCommand runs the test in the container; one that takes too long is killed.
func (c *Client) probeCommand(ctx context.Context, of supervise.Container) error {
	args := of.Check.Test[1:]
	if of.Check.Test[0] == "CMD-SHELL" {
		args = []string{"/bin/sh", "-c", of.Check.Test[1]}
	}
	signals := make(chan string, 1)
	defer context.AfterFunc(ctx, func() { signals <- "KILL" })()
	var out bounded
	status, err := c.Exec(context.WithoutCancel(ctx), of.ID, ExecOptions{Args: args}, IO{Stdout: &out, Stderr: &out}, signals)
	switch {
	case ctx.Err() != nil:
		return errors.New(strings.TrimSuffix(fmt.Sprintf("%s: not over within %v: %s", args[0], supervise.Timeout(of.Check), out.text()), ": "))
	case err != nil:
		return err
	case status != 0:
		return fmt.Errorf("%s: status %d: %s", args[0], status, out.text())
	}
	return nil
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *bounded) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.b.Write(p[:min(len(p), max(0, 4096-b.b.Len()))])
	return len(p), nil
}

func (b *bounded) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(bytes.TrimSpace(b.b.Bytes()))
}

type dialer func(ctx context.Context, network, address string) (net.Conn, error)

// probeHTTP asks once. Redirects are answers; a certificate is not looked at, for the server is asked by a name of this machine.
func probeHTTP(ctx context.Context, url string, dial dialer) error {
	client := http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "hostrun-healthcheck")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
	if resp.StatusCode >= 400 {
		return fmt.Errorf("GET %s: %s: %s", url, resp.Status, bytes.TrimSpace(text))
	}
	return nil
}

// inNetwork calls ask with a dialer of the container's network: the host's own, or another one that is entered for the moment
// in which the socket is made (setns(2), network_namespaces(7)).
func (c *Client) inNetwork(ctx context.Context, id string, ask func(dialer) error) error {
	task, err := c.getTask(ctx, id)
	if err != nil {
		return err
	}
	if !runs(task) {
		return notRunning(id)
	}
	own, err1 := os.Stat("/proc/self/ns/net")
	theirs, err2 := os.Stat(fmt.Sprintf("/proc/%d/ns/net", task.Pid))
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("find the network of container %s: %w", id, err)
	}
	plain := net.Dialer{}
	if os.SameFile(own, theirs) {
		return ask(plain.DialContext)
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", task.Pid))
	if err != nil {
		return fmt.Errorf("open the network of container %s: %w", id, err)
	}
	defer ns.Close()
	return ask(func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialIn(ctx, ns, network, address)
	})
}

// dialIn connects from within a network namespace, by a thread that ends with it. The address has to be a number, for which the dialer
// stays in its goroutine.
func dialIn(ctx context.Context, ns *os.File, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if host == "localhost" {
		address = net.JoinHostPort("127.0.0.1", port)
	} else if net.ParseIP(host) == nil {
		return nil, fmt.Errorf("%s: within a network of its own a probe takes localhost or an address", host)
	}
	type dialled struct {
		conn net.Conn
		err  error
	}
	done := make(chan dialled, 1)
	go func() {
		goruntime.LockOSThread() // and never unlock: the runtime ends the thread with the goroutine
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- dialled{err: fmt.Errorf("enter the container's network: %w", err)}
			return
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		done <- dialled{conn, err}
	}()
	d := <-done
	return d.conn, d.err
}

// probeLog waits for a line of the output since the start.
func (c *Client) probeLog(ctx context.Context, of supervise.Container) error {
	want, err := regexp.Compile(of.Check.Log)
	if err != nil {
		return err
	}
	if of.Health == supervise.Healthy { // it has been there
		return nil
	}
	reading, cancel := context.WithCancel(ctx)
	defer cancel()
	found := &matcher{want: want, found: cancel}
	ended := make(chan struct{}) // stays open: the process runs, and its end stops the probes
	opt := logfile.ReadOptions{Follow: true, Tail: logfile.All, Since: of.StartedAt.Add(-time.Millisecond), Ended: ended}
	err = logfile.Read(reading, c.logPath(of.ID), opt, found, found)
	if found.yes() {
		return nil
	}
	if ctx.Err() != nil {
		err = fmt.Errorf("no line of the output matches %s", of.Check.Log)
	}
	return err
}

// A matcher looks for a line that matches.
type matcher struct {
	want  *regexp.Regexp
	found context.CancelFunc
	rest  []byte
	seen  bool
}

func (m *matcher) yes() bool { return m.seen }

func (m *matcher) Write(p []byte) (int, error) {
	m.rest = append(m.rest, p...)
	for {
		line, rest, whole := bytes.Cut(m.rest, []byte("\n"))
		if !whole && len(line) < 64<<10 {
			return len(p), nil
		}
		if m.want.Match(line) {
			m.seen = true
			m.found()
		}
		m.rest = rest
	}
}
