package runtime

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"hostrun.dev/hostrun/finding"
)

// attempts of a transfer that breaks: what has arrived is kept between them.
const attempts = 4

// Pull fetches and unpacks an image; a broken transfer is taken up where it ended. It returns the full reference.
func (c *Client) Pull(ctx context.Context, ref, platform string) (string, error) {
	ctx = c.in(ctx)
	name, err := fullName(ref)
	if err != nil {
		return "", err
	}
	leased, release, err := c.pullLease(ctx, name)
	if err != nil {
		return "", err
	}
	c.progress("Image "+familiar(name), "Pulling", "")
	met, err := c.pullAttempts(leased, name, platform)
	if err == nil || !resumable(err) || !met {
		release() // otherwise what has arrived waits a day for the next pull
	}
	switch {
	case err == nil:
		c.notePull(ctx, name)
		c.progress("Image "+familiar(name), "Pulled", "")
		return name, nil
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case noSpace(err):
		return "", fullError("pull image "+name, err)
	}
	return "", c.absent(ctx, name, err)
}

// pullAttempts reports whether any layer was met.
func (c *Client) pullAttempts(ctx context.Context, name, platform string) (met bool, err error) {
	wait := 500 * time.Millisecond
	for try := 1; ; try++ {
		once, err := c.pullOnce(ctx, name, platform)
		met = met || once
		if err == nil || !resumable(err) || try == attempts || ctx.Err() != nil {
			return met, err
		}
		c.progress("Image "+familiar(name), "Retrying", fmt.Sprintf("in %v: %v", wait, shortCause(err)))
		select {
		case <-ctx.Done():
			return met, context.Cause(ctx)
		case <-time.After(wait):
		}
		wait *= 2
	}
}

func (c *Client) pullOnce(ctx context.Context, name, platform string) (met bool, err error) {
	match, err := platformOf(platform)
	if err != nil {
		return false, err
	}
	sn, err := c.snapshotter(ctx)
	if err != nil {
		return false, err
	}
	watch := c.watchPull(ctx)
	defer watch.stop()
	opts := []containerd.RemoteOpt{containerd.WithResolver(resolver()), containerd.WithPullSnapshotter(sn),
		containerd.WithPlatformMatcher(match), containerd.WithImageHandler(images.HandlerFunc(watch.seen))}
	if platform == "" { // another machine's image is fetched and not unpacked
		opts = append(opts, containerd.WithPullUnpack)
	}
	_, err = c.ctrd.Pull(ctx, name, opts...)
	return watch.met.Load(), err
}

// pullLease is named after the image, so that a pull after a broken one finds what has arrived.
func (c *Client) pullLease(ctx context.Context, name string) (context.Context, func(), error) {
	id := "hostrun-pull-" + digest.FromString(name).Encoded()[:16]
	_, err := c.ctrd.LeasesService().Create(ctx, leases.WithID(id), leases.WithExpiration(24*time.Hour))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return nil, nil, fmt.Errorf("lease containerd's content: %w", err)
	}
	return leases.WithLease(ctx, id), func() {
		free, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		if err := c.ctrd.LeasesService().Delete(free, leases.Lease{ID: id}, leases.SynchronousDelete); err != nil && !errdefs.IsNotFound(err) {
			c.opt.Log.Warn("end the lease", "error", err)
		}
	}, nil
}

// resumable reports a failure of the way to the registry, not of what it says.
func resumable(err error) bool {
	var dns *net.DNSError
	var status remoteerrors.ErrUnexpectedStatus
	switch {
	case err == nil, errdefs.IsNotFound(err), errors.Is(err, context.Canceled), noSpace(err), errdefs.IsUnauthorized(err):
		return false
	case errors.As(err, &dns):
		return dns.IsTemporary && !dns.IsNotFound
	case errors.As(err, &status):
		return status.StatusCode >= 500 || status.StatusCode == http.StatusTooManyRequests
	}
	return !strings.Contains(err.Error(), "insufficient_scope") && !strings.Contains(err.Error(), "authorization failed") &&
		!strings.Contains(err.Error(), "certificate") && !strings.Contains(err.Error(), "wrong diff id")
}

// shortCause is the innermost error: the chain above it repeats name and address.
func shortCause(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		var op *net.OpError
		var dns *net.DNSError
		if errors.As(err, &dns) {
			return dns
		}
		if errors.As(err, &op) {
			return op
		}
		err = next
	}
}

// resolver speaks https, and http with a registry of this machine; it logs in as docker did (~/.docker/config.json).
func resolver() remotes.Resolver {
	auth := docker.NewDockerAuthorizer(docker.WithAuthCreds(credentials))
	return docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
		docker.WithAuthorizer(auth), docker.WithPlainHTTP(docker.MatchLocalhost))})
}

// credentials reads the auths of docker's configuration file. Credential programs (credsStore) are not run.
func credentials(host string) (user, secret string, err error) {
	dir := os.Getenv("DOCKER_CONFIG")
	if dir == "" {
		dir = filepath.Join(os.Getenv("HOME"), ".docker")
	}
	b, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return "", "", nil // anonymous
	}
	var file struct {
		Auths map[string]struct {
			Auth          string `json:"auth"`
			IdentityToken string `json:"identitytoken"`
		} `json:"auths"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return "", "", fmt.Errorf("read %s: %w", filepath.Join(dir, "config.json"), err)
	}
	keys := []string{host, "https://" + host}
	if host == "registry-1.docker.io" {
		keys = append(keys, "https://index.docker.io/v1/", "docker.io")
	}
	for _, key := range keys {
		a, ok := file.Auths[key]
		if !ok {
			continue
		}
		if a.IdentityToken != "" {
			return "", a.IdentityToken, nil
		}
		plain, err := base64.StdEncoding.DecodeString(a.Auth)
		user, secret, _ = strings.Cut(string(plain), ":")
		return user, secret, err
	}
	return "", "", nil
}

// A pullWatch reports how far each layer has come.
type pullWatch struct {
	c      *Client
	descs  chan ocispec.Descriptor
	cancel context.CancelFunc
	over   chan struct{}
	met    atomic.Bool // a layer
}

func (c *Client) watchPull(ctx context.Context) *pullWatch {
	ctx, cancel := context.WithCancel(ctx)
	w := &pullWatch{c: c, descs: make(chan ocispec.Descriptor, 64), cancel: cancel, over: make(chan struct{})}
	go w.run(ctx)
	return w
}

func (w *pullWatch) stop() { w.cancel(); <-w.over }

// seen notes a layer that the pull has met.
func (w *pullWatch) seen(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	if images.IsLayerType(d.MediaType) {
		w.met.Store(true)
		select {
		case w.descs <- d:
		case <-ctx.Done():
		case <-w.over:
		}
	}
	return nil, nil
}

func (w *pullWatch) run(ctx context.Context) {
	defer close(w.over)
	if w.c.opt.Progress == nil {
		<-ctx.Done()
		return
	}
	layers := map[digest.Digest]ocispec.Descriptor{}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-w.descs:
			layers[d.Digest] = d
		case <-tick.C:
			w.report(ctx, layers)
		}
	}
}

// report asks for the transfers under way; a layer that was under way and is not any more has arrived.
func (w *pullWatch) report(ctx context.Context, layers map[digest.Digest]ocispec.Descriptor) {
	active, err := w.c.ctrd.ContentStore().ListStatuses(ctx, "")
	if err != nil {
		return
	}
	at := map[string]int64{}
	for _, s := range active {
		at[s.Ref] = s.Offset
	}
	for dgst, d := range layers {
		if n, ok := at[remotes.MakeRefKey(ctx, d)]; ok {
			w.c.progressBytes(Event{ID: "Layer " + dgst.String(), Status: "Downloading", Current: n, Total: d.Size})
		} else if _, err := w.c.ctrd.ContentStore().Info(ctx, dgst); err == nil {
			w.c.progressBytes(Event{ID: "Layer " + dgst.String(), Status: "Downloaded", Current: d.Size, Total: d.Size})
			delete(layers, dgst)
		}
	}
}

const offline = "see that the registry can be reached, or bring an archive: hostrun load FILE"

// pullError says in one sentence why the registry did not give the image.
func pullError(name string, err error) (status int, text, hint string) {
	var dns *net.DNSError
	var code remoteerrors.ErrUnexpectedStatus
	switch {
	case errdefs.IsNotFound(err) && strings.Contains(err.Error(), "no match for platform"):
		return finding.StatusMisfit, "the registry has it for other platforms only", "name one: --platform linux/amd64"
	case errdefs.IsNotFound(err):
		return finding.StatusFailed, "neither here nor in its registry", "hostrun images lists what is here"
	case errors.As(err, &dns):
		return finding.StatusTryAgain, "it is not here, and its registry can't be reached: " + dns.Error(), offline
	case errors.As(err, &code) && code.StatusCode == http.StatusUnauthorized, strings.Contains(err.Error(), "insufficient_scope"),
		strings.Contains(err.Error(), "authorization failed"):
		return finding.StatusPermission, "it is not here, and its registry asks for a login", "docker login, which hostrun shares (~/.docker/config.json)"
	}
	return finding.StatusTryAgain, "it is not here, and pulling it failed: " + shortCause(err).Error(), offline
}
