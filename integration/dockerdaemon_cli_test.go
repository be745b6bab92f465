package integration

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"hostrun.dev/hostrun/integration/image/archive"
)

// aDocker answers as Docker's daemon does, with one image (Docker Engine API, /images).
type aDocker struct {
	mu      sync.Mutex
	id      string
	name    string // "" for an image that is known by its ID alone
	archive []byte
}

// has makes it have another image.
func (d *aDocker) has(name string, archive []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.name, d.archive = name, slices.Clone(archive)
}

func (d *aDocker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	name, what := path.Split(strings.TrimPrefix(r.URL.Path, "/images/"))
	name = strings.TrimPrefix(strings.TrimSuffix(name, "/"), "docker.io/library/")
	if what != "json" && what != "get" || name == "" || name != d.name && name != d.id {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprintln(w, `{"message":"No such image"}`)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/json") {
		tags := []string{}
		if d.name != "" {
			tags = append(tags, d.name)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"Id": d.id, "RepoTags": tags, "Size": len(d.archive)})
		return
	}
	w.Header().Set("Content-Type", "application/x-tar")
	_, _ = w.Write(d.archive)
}

// serve listens on a socket of the stage and points DOCKER_HOST at it.
func (d *aDocker) serve(s *stage) {
	s.t.Helper()
	l, err := net.Listen("unix", s.path("docker.sock"))
	must(s.t, err)
	server := &http.Server{Handler: d}
	go func() { _ = server.Serve(l) }()
	s.t.Cleanup(func() { _ = server.Close() })
	s.env = append(s.env, "DOCKER_HOST=unix://"+s.path("docker.sock"))
}

// TestPullFromDocker: an image of a local Docker comes over as it is, by name or by ID, and is offered by name where an
// unknown image is one of Docker's.
func TestPullFromDocker(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	img := tiny(t, "dinov2:v1")
	img.Format = archive.Docker
	var whole bytes.Buffer
	must(t, archive.Write(&whole, img))
	config, diffIDs := dockersOwn(t, whole.Bytes())
	docker := &aDocker{id: config}
	docker.has("dinov2:v1", whole.Bytes())
	s.env = append(s.env, "DOCKER_HOST=unix:///not/there.sock")
	s.refused(75, "ask Docker at unix:///not/there.sock", "hostrun explain HR266", "pull", "docker-daemon:dinov2:v1")
	s.env = append(s.env, "DOCKER_HOST=ssh://gpu2")
	s.refused(75, "unix://, tcp:// and http://", "docker save", "pull", "docker-daemon:dinov2:v1")
	docker.serve(s)

	s.profile("job", "image: dinov2:v1\npull_policy: never\n")
	s.refused(1, "dinov2:v1", "pull docker-daemon:dinov2:v1", "check", "job")
	s.refused(66, "Docker at unix://"+s.path("docker.sock")+" does not have it", "hostrun explain HR267", "pull", "docker-daemon:dinov3")
	if out := s.must("pull", "docker-daemon:dinov2:v1"); out != "docker.io/library/dinov2:v1\n" {
		t.Errorf("pull printed %q", out)
	}
	s.unchanged("docker.io/library/dinov2:v1", config, diffIDs)
	if out := s.must("run", "job", "--", "echo", "it runs"); out != "it runs\n" {
		t.Errorf("the image printed %q", out)
	}

	img.Ref = "" // asked by its ID Docker names nothing in the archive
	whole.Reset()
	must(t, archive.Write(&whole, img))
	docker.has("", whole.Bytes())
	s.refused(2, "Docker has no name for it", "--name NAME", "pull", "docker-daemon:"+config)
	s.must("pull", "--name", "other:v2", "docker-daemon:"+config)
	s.unchanged("docker.io/library/other:v2", config, diffIDs)
	s.refused(2, "--name", "docker-daemon:", "pull", "--name", "x", "python:3.11")
	docker.has("", whole.Bytes()[:whole.Len()/2])
	if r := s.hostrun("pull", "--name", "half:v1", "docker-daemon:"+config); r.status == 0 {
		t.Errorf("half an archive was taken:\n%v", r)
	}
	if out := s.must("images", "-q"); strings.Contains(out, "half") {
		t.Errorf("half an image stays:\n%s", out)
	}
}

// unpackTar returns the files of an archive by name.
func unpackTar(t *testing.T, whole []byte) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	for r := tar.NewReader(bytes.NewReader(whole)); ; {
		hdr, err := r.Next()
		if err == io.EOF {
			return files
		}
		must(t, err)
		files[hdr.Name], err = io.ReadAll(r)
		must(t, err)
	}
}

// dockersOwn reads configuration and layers out of a docker archive.
func dockersOwn(t *testing.T, whole []byte) (config string, diffIDs []string) {
	t.Helper()
	files := unpackTar(t, whole)
	var manifest []struct{ Config string }
	must(t, json.Unmarshal(files["manifest.json"], &manifest))
	var image v1.Image
	must(t, json.Unmarshal(files[manifest[0].Config], &image))
	for _, d := range image.RootFS.DiffIDs {
		diffIDs = append(diffIDs, d.String())
	}
	return "sha256:" + strings.TrimSuffix(filepath.Base(manifest[0].Config), ".json"), diffIDs
}

// unchanged compares what containerd holds with what Docker had.
func (s *stage) unchanged(name, config string, diffIDs []string) {
	s.t.Helper()
	img, err := s.client.ImageService().Get(s.context(), name)
	must(s.t, err)
	desc, err := img.Config(s.context(), s.client.ContentStore(), platforms.Default())
	must(s.t, err)
	got, err := images.RootFS(s.context(), s.client.ContentStore(), desc)
	must(s.t, err)
	var layers []string
	for _, d := range got {
		layers = append(layers, d.String())
	}
	if desc.Digest.String() != config || strings.Join(layers, " ") != strings.Join(diffIDs, " ") {
		s.t.Errorf("%s has the configuration %s and the layers %v; Docker's are %s and %v", name, desc.Digest, layers, config, diffIDs)
	}
}

// TestPullFromRealDocker is TestPullFromDocker with Docker's own daemon, where it is installed: the tests install none.
func TestPullFromRealDocker(t *testing.T) {
	dockerd, err := exec.LookPath("dockerd")
	if err != nil {
		t.Log("no dockerd here: TestPullFromDocker speaks for it")
		return
	}
	t.Parallel()
	s := newStage(t)
	socket := s.path("d.sock")
	log, err := os.Create(s.path("dockerd.log"))
	must(t, err)
	defer log.Close()
	cmd := exec.Command(dockerd, "--containerd", theatre.engine.address, "--data-root", s.path("docker"), "--exec-root", s.path("exec"), "--pidfile", s.path("docker.pid"),
		"--host", "unix://"+socket, "--iptables=false", "--bridge=none", "--config-file", s.write("daemon.json", "{}"))
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, dieWithUs()
	must(t, startForGood(cmd))
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	s.env = append(s.env, "DOCKER_HOST=unix://"+socket)
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return net.Dial("unix", socket) }}
	client := &http.Client{Transport: transport}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(100 * time.Millisecond) {
		resp, err := client.Get("http://docker/_ping")
		if err == nil {
			resp.Body.Close()
			break
		}
		if time.Now().After(deadline) {
			text, _ := os.ReadFile(log.Name())
			t.Fatalf("dockerd does not answer: %v\n%s", err, text)
		}
	}
	img := tiny(t, "dinov2:real")
	img.Format = archive.Docker
	var whole bytes.Buffer
	must(t, archive.Write(&whole, img))
	config, diffIDs := dockersOwn(t, whole.Bytes())
	resp, err := client.Post("http://docker/images/load", "application/x-tar", bytes.NewReader(whole.Bytes()))
	must(t, err)
	var said bytes.Buffer
	_, _ = said.ReadFrom(resp.Body)
	resp.Body.Close()
	s.profile("job", "image: dinov2:real\npull_policy: never\n")
	s.refused(1, "dinov2:real", "pull docker-daemon:dinov2:real", "check", "job")
	s.must("pull", "docker-daemon:dinov2:real")
	s.unchanged("docker.io/library/dinov2:real", config, diffIDs)
	s.must("pull", "--name", "by-id", "docker-daemon:"+config[len("sha256:"):][:12])
	s.unchanged("docker.io/library/by-id:latest", config, diffIDs)
	if out := s.must("run", "job", "--", "echo", "it runs"); out != "it runs\n" {
		t.Errorf("the image printed %q (docker load said %s)", out, said.String())
	}
}
