package runtime

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/platforms"

	"hostrun.dev/hostrun/finding"
)

// DockerDaemon begins the names of images that a local Docker has, as in skopeo and podman: docker-daemon:dinov2:latest.
const DockerDaemon = "docker-daemon:"

// A dockerd is the HTTP API of Docker's daemon, or of what speaks it as well (podman system service). Paths are without a
// version: then the daemon answers in its own (Docker Engine API, "Versioned API").
type dockerd struct {
	client *http.Client
	base   url.URL
	where  string // as DOCKER_HOST says it
}

// localDocker finds it as the docker program does without contexts: DOCKER_HOST, else the socket of the machine's, or of the
// caller's own.
func localDocker() (*dockerd, error) {
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		host = "unix:///var/run/docker.sock"
		if own := filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "docker.sock"); os.Getenv("XDG_RUNTIME_DIR") != "" && !isSocket("/var/run/docker.sock") && isSocket(own) {
			host = "unix://" + own
		}
	}
	scheme, rest, ok := strings.Cut(host, "://")
	d := &dockerd{where: host, base: url.URL{Scheme: "http", Host: "docker"}}
	transport := &http.Transport{DisableKeepAlives: true}
	d.client = &http.Client{Transport: transport}
	switch {
	case ok && scheme == "unix":
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", rest)
		}
	case ok && (scheme == "tcp" || scheme == "http" || scheme == "https"):
		u, err := url.Parse("http://" + rest)
		if err != nil {
			return nil, dockerAway(host, err)
		}
		d.base.Host, d.base.Path = u.Host, strings.TrimSuffix(u.Path, "/")
		if scheme == "https" || scheme == "tcp" && os.Getenv("DOCKER_TLS_VERIFY") != "" {
			d.base.Scheme = "https"
			if transport.TLSClientConfig, err = dockerTLS(); err != nil {
				return nil, dockerAway(host, err)
			}
		}
	default:
		return nil, dockerAway(host, errors.New("hostrun speaks unix://, tcp:// and http://"))
	}
	return d, nil
}

func isSocket(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode()&fs.ModeSocket != 0
}

// dockerTLS reads ca.pem, cert.pem and key.pem as docker does.
func dockerTLS() (*tls.Config, error) {
	dir := os.Getenv("DOCKER_CERT_PATH")
	if dir == "" {
		dir = filepath.Join(os.Getenv("HOME"), ".docker")
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca, err := os.ReadFile(filepath.Join(dir, "ca.pem")); err == nil {
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(ca) {
			return nil, fmt.Errorf("%s holds no certificate", filepath.Join(dir, "ca.pem"))
		}
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err == nil {
		cfg.Certificates = []tls.Certificate{cert}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return cfg, nil
}

func dockerAway(where string, err error) error {
	remedy := "start it, or set DOCKER_HOST; or docker save IMAGE | hostrun load"
	status := finding.Explain(finding.DockerAway).ExitStatus
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EACCES) {
		status, remedy = finding.StatusPermission, "be root or in the socket's group"
	}
	return finding.Errorf(status, remedy+"\nhostrun explain "+finding.DockerAway, "ask Docker at %s: %w", where, err)
}

// get asks for a path; the caller closes the answer's body.
func (d *dockerd) get(ctx context.Context, path string, query url.Values) (*http.Response, error) {
	u := d.base
	u.Path += path
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, dockerAway(d.where, err)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		var outer *url.Error
		if errors.As(err, &outer) {
			err = outer.Err // without the made-up address
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, dockerAway(d.where, err)
	}
	return resp, nil
}

// dockersWord is the daemon's own word on why it does not answer.
func dockersWord(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	var said struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &said) == nil && said.Message != "" {
		return errors.New(said.Message)
	}
	return fmt.Errorf("it answers %s", resp.Status)
}

// A dockerImage is what Docker says of one of its images (GET /images/{name}/json).
type dockerImage struct {
	ID       string   `json:"Id"`
	RepoTags []string `json:"RepoTags"`
	Size     int64    `json:"Size"` // bytes, unpacked
}

func (d *dockerd) image(ctx context.Context, name string) (dockerImage, error) {
	var img dockerImage
	resp, err := d.get(ctx, "/images/"+name+"/json", nil)
	if err != nil {
		return img, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotFound:
		return img, finding.Errorf(finding.Explain(finding.DockerNoImage).ExitStatus, "docker images lists what it has\nhostrun explain "+finding.DockerNoImage,
			"image %s: Docker at %s does not have it", name, d.where)
	case resp.StatusCode != http.StatusOK:
		return img, dockerAway(d.where, dockersWord(resp))
	}
	if err := json.NewDecoder(resp.Body).Decode(&img); err != nil {
		return img, dockerAway(d.where, fmt.Errorf("its answer is none of Docker's: %w", err))
	}
	return img, nil
}

// PullDocker brings an image of a local Docker over, as a stream (GET /images/{name}/get, which docker save asks for): no
// file is in between, and the digests of its configuration and layers are checked, and stay what they were. ref may begin with
// DockerDaemon; as, if not empty, is the name that the image gets, which one that is taken by its ID needs. It returns the
// full reference.
func (c *Client) PullDocker(ctx context.Context, ref, as, platform string) (string, error) {
	name := strings.TrimPrefix(ref, DockerDaemon)
	if name == "" {
		return "", finding.Errorf(finding.StatusUsage, "hostrun pull "+DockerDaemon+"dinov2:latest", "image %q: it has no name", ref)
	}
	want, err := c.dockersName(name, as)
	if err != nil {
		return "", err
	}
	d, err := localDocker()
	if err != nil {
		return "", err
	}
	short, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	img, err := d.image(short, name)
	if err != nil {
		return "", err
	}
	if want == "" {
		if len(img.RepoTags) == 0 {
			return "", finding.Errorf(finding.StatusUsage, "give it one: hostrun pull --name NAME "+DockerDaemon+name+"\nhostrun explain "+finding.DockerNoImage, "image %s: Docker has no name for it", name)
		}
		if want, err = fullName(img.RepoTags[0]); err != nil {
			return "", err
		}
	}
	query := url.Values{}
	if platform != "" {
		p, err := platforms.Parse(platform)
		if err != nil {
			return "", finding.Errorf(finding.StatusUsage, "a platform looks like linux/amd64 or linux/arm64/v8", "platform %q: %w", platform, err)
		}
		text, _ := json.Marshal(p) // strings
		query.Set("platform", string(text))
	}
	c.progress("Image "+familiar(want), "Pulling", "from Docker")
	// A name in the archive only where Docker is asked by that name; one that it is asked for by its ID has none.
	resp, err := d.get(ctx, "/images/"+name+"/get", query)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return "", dockerAway(d.where, dockersWord(resp))
	}
	got, err := c.loadAs(ctx, resp.Body, want)
	if err != nil {
		return "", err
	}
	c.progress("Image "+familiar(got), "Pulled", "")
	return got, nil
}

// dockersName is the full name that the image will have; "" where Docker has to say it.
func (c *Client) dockersName(name, as string) (string, error) {
	if as != "" {
		return fullName(as)
	}
	if isID(name) {
		return "", nil
	}
	return fullName(name)
}

// isID tells an image's ID, whole or its beginning, from a name. Docker's names may look like one, too; it says then.
func isID(name string) bool {
	hex, marked := strings.CutPrefix(name, "sha256:")
	return (marked || len(hex) >= 12 && len(hex) <= 64) && strings.Trim(hex, "0123456789abcdef") == ""
}

// loadAs loads an archive of one image and makes sure that it has that full name. Other names in it are its own, and stay.
func (c *Client) loadAs(ctx context.Context, archive io.Reader, want string) (string, error) {
	names, err := c.Load(ctx, archive, want)
	if err != nil || slices.Contains(names, want) {
		return want, err
	}
	in := c.in(ctx)
	if len(names) != 1 {
		return "", finding.Errorf(finding.StatusFailed, "hostrun images lists them", "load image %s: the archive holds %s instead", want, strings.Join(names, ", "))
	}
	img, err := c.ctrd.ImageService().Get(in, names[0])
	if err == nil {
		_, err = c.renamedTo(in, img, want)
	}
	if err != nil {
		return "", fmt.Errorf("name image %s: %w", want, err)
	}
	return want, nil
}
