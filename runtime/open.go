package runtime

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/soon"
)

// firstAnswer bounds the first call: a daemon that accepts and stays silent is as good as none. One that has work to do may only wait
// for its turn, on a machine with many more processes than processors: it gets until lateAnswer.
const (
	firstAnswer = 2 * time.Second
	lateAnswer  = 20 * time.Second
)

// A Client talks to one containerd in one namespace. It is safe for concurrent use.
type Client struct {
	opt       Options
	ctrd      *containerd.Client
	daemonPID int // by SO_PEERCRED; 0 when it lives in a pid namespace that is not visible here

	asked       atomic.Pointer[chan inventory] // what Open has asked for, until List takes it
	imagesAsked sync.Map                       // of full names, the chan imageAnswer that FindAhead fills
	ahead       sync.Map                       // of container IDs, the *earlySnapshot that Ahead has begun
	starved     sync.Map                       // the IDs of containers that were seen to run out of memory

	held   holds
	sweeps soon.Answers[struct{}]

	engineOnce sync.Once
	engine     engineFacts
	engineErr  error

	shimOnce sync.Once
	shim     string

	reservedMu sync.Mutex
	reserved   map[string]*Reservation // for containers that this process is making
}

// Open connects to containerd. Its errors carry status 75 (no daemon, a hanging one) or 77 (no permission), and what to type.
func Open(ctx context.Context, opt Options) (*Client, error) {
	if err := checkOptions(&opt); err != nil {
		return nil, err
	}
	// The client's own dialer retries a missing socket for 10 s, so look first; the connection is then used.
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", opt.Address)
	if err != nil {
		return nil, dialError(opt.Address, err)
	}
	c := &Client{opt: opt, daemonPID: peerPID(conn)}
	once := &onceDialer{address: opt.Address, first: conn}
	// gRPC gives up on a silent connection by itself; that says "use of closed network connection". greet comes first.
	connect := grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: 4 * lateAnswer}
	connect.Backoff.MaxDelay = 4 * firstAnswer
	c.ctrd, err = containerd.New(opt.Address, containerd.WithExtraDialOpts([]grpc.DialOption{grpc.WithContextDialer(once.dial), grpc.WithConnectParams(connect)}))
	if err != nil {
		_ = conn.Close()
		return nil, finding.Errorf(finding.StatusTryAgain, "", "connect to containerd at %s: %w", opt.Address, err)
	}
	if opt.ListAhead {
		c.takeAhead(ctx)
	}
	if opt.Beside != nil {
		go opt.Beside(c)
	}
	if err := c.greet(ctx); err != nil {
		_ = c.Close()
		_ = once.Close()
		return nil, err
	}
	return c, nil
}

func checkOptions(opt *Options) error {
	for name, path := range map[string]string{"address": opt.Address, "state": opt.StateDir, "data": opt.DataDir,
		"cache": opt.CacheDir, "libexec": opt.LibexecDir} {
		if path != "" && !filepath.IsAbs(path) {
			return finding.Errorf(finding.StatusUsage, "give an absolute path", "%s %q: not an absolute path", name, path)
		}
	}
	if opt.Address == "" {
		return finding.Errorf(finding.StatusUsage, "--address /run/containerd/containerd.sock", "no address of containerd")
	}
	if opt.Namespace == "" {
		opt.Namespace = "hostrun"
	}
	if err := namespaceValid(opt.Namespace); err != nil {
		return err
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// namespaceValid holds the namespace to containerd's identifiers (pkg/identifiers), before it becomes part of a path.
func namespaceValid(ns string) error {
	if ns == "" || len(ns) > 76 || ns[0] == '.' || strings.ContainsFunc(ns, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", r)
	}) {
		return finding.Errorf(finding.StatusUsage, "use letters, digits, - _ and .", "namespace %q: not a containerd identifier", ns)
	}
	return nil
}

func (c *Client) greet(ctx context.Context) error {
	short, cancel := patient(ctx, firstAnswer, lateAnswer, stillWorking(c.daemonPID))
	defer cancel()
	began := time.Now()
	_, err := c.ctrd.Version(short)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if impatient(short) {
		return finding.Errorf(finding.StatusTryAgain, "see what it does: journalctl -u containerd; then: systemctl restart containerd",
			"connect to containerd at %s: no answer within %v", c.opt.Address, max(firstAnswer, time.Since(began).Truncate(time.Second)))
	}
	return finding.Errorf(finding.StatusTryAgain, "is that containerd's socket? --address names another one",
		"connect to containerd at %s: %w", c.opt.Address, plainError(err))
}

func dialError(address string, err error) error {
	cause := err
	var op *net.OpError
	if errors.As(err, &op) {
		cause = op.Err
	}
	start := "systemctl start containerd\nor name its socket: --address /run/containerd/containerd.sock"
	switch {
	case errors.Is(err, fs.ErrPermission):
		return finding.Errorf(finding.StatusPermission, "run hostrun as root: sudo hostrun ...\nor name a socket that you may use: --address",
			"connect to containerd at %s: permission denied", address)
	case errors.Is(err, fs.ErrNotExist):
		return finding.Errorf(finding.StatusTryAgain, start, "connect to containerd at %s: there is no such socket: containerd is not running, or listens elsewhere", address)
	case errors.Is(err, syscall.ECONNREFUSED):
		return finding.Errorf(finding.StatusTryAgain, start, "connect to containerd at %s: nobody listens there: containerd is not running", address)
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	return finding.Errorf(finding.StatusTryAgain, start, "connect to containerd at %s: %w", address, cause)
}

// A onceDialer hands out the connection that Open made, then dials anew: after a restart of containerd.
type onceDialer struct {
	address string
	mu      sync.Mutex
	first   net.Conn
}

func (o *onceDialer) dial(ctx context.Context, _ string) (net.Conn, error) {
	o.mu.Lock()
	conn := o.first
	o.first = nil
	o.mu.Unlock()
	if conn != nil {
		return conn, nil
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", o.address)
}

// Close ends the connection if nobody asked for it.
func (o *onceDialer) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.first == nil {
		return nil
	}
	return o.first.Close()
}

var _ io.Closer = (*onceDialer)(nil)

func peerPID(conn net.Conn) int {
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0
	}
	pid := 0
	_ = raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid
}

// Close ends the connection. Containers go on.
func (c *Client) Close() error {
	c.held.end()
	return c.ctrd.Close()
}

func (c *Client) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, c.opt.Namespace)
}

func (c *Client) progress(id, status, text string) {
	c.progressBytes(Event{ID: id, Status: status, Text: text})
}

func (c *Client) progressBytes(e Event) {
	if c.opt.Progress != nil {
		c.opt.Progress(e)
	}
}

// steady returns a context for calls that must not be torn in the middle: when ctx ends they get 10 s more, so that
// nothing stays half made on the other side.
func steady(ctx context.Context) (context.Context, context.CancelFunc) {
	free, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-time.After(10 * time.Second):
			cancel()
		case <-free.Done():
		}
	})
	return free, func() { stop(); cancel() }
}

// plainError drops the wrapping that says "rpc error: code = ...".
func plainError(err error) error {
	if err == nil {
		return nil
	}
	if _, after, ok := strings.Cut(err.Error(), " desc = "); ok && strings.HasPrefix(err.Error(), "rpc error") {
		return fmt.Errorf("%s", after)
	}
	return err
}
