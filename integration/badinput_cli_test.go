package integration

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/integration/image/archive"
)

// A refusal is a thing that a person gets wrong: how it comes about, and what hostrun says to it.
type refusal struct {
	name    string
	prepare func(t *testing.T, s *stage) []string // returns the command line
	status  int
	says    []string // each stands in what is printed
	hint    string   // stands in a hint or a remedy; "" for any
	as      []string // setpriv's options: the rights that the command runs with
}

// wrong runs the command line and proves that one clear error is all that comes of it.
func (c refusal) wrong(t *testing.T) {
	s := newStage(t)
	args := c.prepare(t, s)
	before := s.inventory()
	cmd := s.command(args...)
	if len(c.as) > 0 {
		withRights(t, cmd, c.as...)
	}
	c.judge(t, finish(cmd))
	s.nothingLeft(before)
}

// withRights makes the command run under setpriv.
func withRights(t *testing.T, cmd *exec.Cmd, options ...string) {
	t.Helper()
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		skip(t, "there is no setpriv: apt-get install util-linux")
	}
	cmd.Args = slices.Concat([]string{"setpriv"}, options, []string{"--", cmd.Path}, cmd.Args[1:])
	cmd.Path = setpriv
}

func (c refusal) judge(t *testing.T, r result) {
	t.Helper()
	t.Log(r)
	if r.status != c.status {
		t.Errorf("exit status %d, want %d", r.status, c.status)
	}
	if n := strings.Count("\n"+r.stderr, "\nhostrun: error: "); n != 1 {
		t.Errorf("%d error lines, want 1", n)
	}
	for _, want := range c.says {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("does not say %q", want)
		}
	}
	if strings.Contains(r.stderr, "goroutine ") || strings.Contains(r.stderr, "internal error") {
		t.Errorf("shows a stack instead of an error")
	}
	for _, line := range strings.Split(r.stderr, "\n") {
		line = strings.TrimSpace(line)
		if (strings.HasPrefix(line, "hostrun: hint: ") || strings.HasPrefix(line, "help: ")) && strings.Contains(line, c.hint) {
			return
		}
	}
	t.Errorf("no hint that says %q", c.hint)
}

// plain writes a profile without Python and returns the command line that starts it.
func plain(s *stage, lines ...string) []string {
	s.profile("job", strings.Join(append([]string{"image: job:latest", "pull_policy: never"}, lines...), "\n")+"\n")
	return []string{"up", "job"}
}

// borrowing is a profile that borrows the packages of the environment dir of the stage.
func borrowing(s *stage, dir string, lines ...string) []string {
	return plain(s, append([]string{fmt.Sprintf("python: {interpreter: %q, packages: [borrowed]}", s.path(dir, "bin/python3"))}, lines...)...)
}

func TestRefusesProfile(t *testing.T) {
	for _, c := range []refusal{
		{"no such profile", func(_ *testing.T, s *stage) []string {
			s.profile("dinov2-large", "image: job\n")
			return []string{"up", "dinov2-lrage"}
		}, 65, []string{`"dinov2-lrage"`}, "dinov2-large", nil},
		{"malformed YAML", func(_ *testing.T, s *stage) []string {
			s.profile("job", "image: job\ncommand: [sleep, 1\n")
			return []string{"up", "job"}
		}, 65, []string{"job.yaml"}, "", nil},
		{"unknown key", func(_ *testing.T, s *stage) []string { return plain(s, "comand: [sleep]") }, 65, []string{"job.yaml:3", "comand"}, "command", nil},
		{"key of a later version", func(_ *testing.T, s *stage) []string { return plain(s, "develop: {watch: []}") }, 65, []string{"job.yaml:3", "develop", "not"}, "", nil},
		{"missing variable", func(_ *testing.T, s *stage) []string { return plain(s, "hostname: ${NOT_SET_ANYWHERE}") }, 65, []string{"job.yaml:3", "NOT_SET_ANYWHERE"}, "", nil},
		{"missing bind source", func(t *testing.T, s *stage) []string {
			s.load(tiny(t, "job"))
			return plain(s, "volumes: ['./nodata:/data']")
		}, 66, []string{"HR050", "nodata", "job.yaml:3"}, "create_host_path", nil},
		{"missing device", func(t *testing.T, s *stage) []string {
			s.load(tiny(t, "job"))
			return plain(s, "devices: [/dev/accelerator9]")
		}, 69, []string{"/dev/accelerator9", "job.yaml:3"}, "", nil},
	} {
		t.Run(c.name, c.wrong)
	}
}

func TestRefusesImage(t *testing.T) {
	foreign := "arm64"
	if runtime.GOARCH == foreign {
		foreign = "amd64"
	}
	for _, c := range []refusal{
		{"unknown image", func(_ *testing.T, s *stage) []string { return plain(s) }, 1, []string{"job:latest"}, "hostrun", nil},
		{"image in another namespace of containerd", func(t *testing.T, s *stage) []string {
			other := s.namespace + "-other"
			s.must("--namespace", other, "load", s.archive(tiny(t, "job")))
			t.Cleanup(func() {
				ctx := namespaces.WithNamespace(s.context(), other)
				_ = s.client.ImageService().Delete(ctx, "docker.io/library/job:latest")
			})
			return plain(s)
		}, 1, []string{"job:latest", "-other"}, "-other", nil},
		{"no Python", func(t *testing.T, s *stage) []string {
			venv(t, s, "env")
			s.load(tiny(t, "job"))
			return borrowing(s, "env")
		}, 78, []string{"HR018"}, "", nil},
		{"dangling python3", func(t *testing.T, s *stage) []string {
			venv(t, s, "env")
			s.load(tiny(t, "job", archive.File{Path: "/usr/bin/python3", Mode: fs.ModeSymlink, Content: []byte("python3.99")}))
			return borrowing(s, "env", "command: [python3]")
		}, 78, []string{"HR018", "python3.99"}, "", nil},
		{"Python of another minor version", func(t *testing.T, s *stage) []string {
			venv(t, s, "env")
			p := thePython(t)
			s.load(tiny(t, "job", p.other(t, "/usr", p.minor+1)...))
			return borrowing(s, "env", "command: [python3]")
		}, 78, []string{"HR012", fmt.Sprintf("3.%d", thePython(t).minor), fmt.Sprintf("3.%d", thePython(t).minor+1)}, "", nil},
		{"two Pythons, and the first does not fit", func(t *testing.T, s *stage) []string {
			venv(t, s, "env")
			p := thePython(t)
			s.load(tiny(t, "job", append(p.other(t, "/usr", p.minor), p.other(t, "/usr/local", p.minor+1)...)...))
			return borrowing(s, "env", "command: [python3]")
		}, 78, []string{"HR012", "/usr/local/bin/python3"}, "/usr/bin/python3", nil},
		{"two Pythons off the PATH, and the command names none", func(t *testing.T, s *stage) []string {
			venv(t, s, "env")
			p := thePython(t)
			s.load(tiny(t, "job", append(p.other(t, "/opt/venv", p.minor), p.other(t, "/opt/conda", p.minor+1)...)...))
			return borrowing(s, "env", "command: [sh, -c, './start']")
		}, 78, []string{"HR019"}, "command", nil},
		{"musl", func(t *testing.T, s *stage) []string {
			venv(t, s, "env")
			p := thePython(t)
			s.load(tiny(t, "job", musl(t, p.other(t, "/usr", p.minor))...))
			return borrowing(s, "env", "command: [python3]")
		}, 78, []string{"HR014", "musl"}, "", nil},
		{"another architecture", func(t *testing.T, s *stage) []string {
			img := tiny(t, "job")
			img.Architecture = foreign
			// Without --platform, loading may refuse already; both are one clear error.
			if r := s.hostrun("load", s.archive(img)); r.status != 0 {
				t.Log(r)
				return []string{"load", s.archive(img)}
			}
			return plain(s)
		}, 78, []string{foreign}, "", nil},
	} {
		t.Run(c.name, c.wrong)
	}
}

// twin is an image with a Python like this machine's, to be read only.
func twin(t *testing.T) archive.Image {
	t.Helper()
	p := thePython(t)
	img := tiny(t, "job", p.other(t, "/usr", p.minor)...)
	img.Config.Cmd = []string{"python3"}
	return img
}

// likeNFS is root without the right to pass over modes, as on a network file system with root_squash.
var likeNFS = []string{"--bounding-set=-dac_override,-dac_read_search"}

func TestRefusesHostEnvironment(t *testing.T) {
	with := func(damage func(t *testing.T, s *stage)) func(t *testing.T, s *stage) []string {
		return func(t *testing.T, s *stage) []string {
			venv(t, s, "env")
			s.load(twin(t))
			damage(t, s)
			return borrowing(s, "env")
		}
	}
	for _, c := range []refusal{
		{"no interpreter", func(t *testing.T, s *stage) []string {
			s.load(twin(t))
			return borrowing(s, "nowhere")
		}, 66, []string{"HR010", "nowhere/bin/python3"}, "", nil},
		{"broken venv", with(func(t *testing.T, s *stage) {
			link := s.path("env/bin/python3")
			must(t, os.Remove(link))
			must(t, os.Symlink("/opt/gone/bin/python3.11", link))
			s.write("env/pyvenv.cfg", "home = /opt/gone/bin\nversion = 3.11.2\n")
		}), 78, []string{"HR011", "/opt/gone"}, "", nil},
		{"unreadable site-packages", with(func(t *testing.T, s *stage) {
			must(t, os.Chmod(s.path(s.sitePackages("env")), 0))
		}), 78, []string{"HR030", "site-packages"}, "", likeNFS},
		{"half-deleted site-packages", with(func(t *testing.T, s *stage) {
			must(t, os.RemoveAll(s.path(s.sitePackages("env"), "borrowed")))
		}), 78, []string{"HR031", "borrowed"}, "pip install", nil},
		{"package that is not installed", with(func(t *testing.T, s *stage) {
			must(t, os.RemoveAll(s.path(s.sitePackages("env"), "borrowed")))
			must(t, os.RemoveAll(s.path(s.sitePackages("env"), "borrowed-1.0.dist-info")))
		}), 78, []string{"HR033", "borrowed"}, "", nil},
	} {
		t.Run(c.name, c.wrong)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRefusesWithoutContainerd(t *testing.T) {
	for _, c := range []refusal{
		{"no socket", func(_ *testing.T, s *stage) []string {
			return append([]string{"--address", s.path("none.sock")}, plain(s)...)
		}, 75, []string{"none.sock"}, "systemctl", nil},
		{"no socket but a file", func(_ *testing.T, s *stage) []string {
			return append([]string{"--address", s.write("file.sock", "")}, plain(s)...)
		}, 75, []string{"file.sock"}, "", nil},
		{"a socket where nobody listens", func(t *testing.T, s *stage) []string {
			l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(theatre.run, "dead.sock"), Net: "unix"})
			must(t, err)
			l.SetUnlinkOnClose(false)
			must(t, l.Close())
			return append([]string{"--address", l.Addr().String()}, plain(s)...)
		}, 75, []string{"dead.sock"}, "", nil},
		{"a socket that never answers", func(t *testing.T, s *stage) []string {
			mute := filepath.Join(theatre.run, "mute.sock")
			silentDaemon(t, mute)
			return append([]string{"--address", mute}, plain(s)...)
		}, 75, []string{"mute.sock"}, "", nil},
	} {
		t.Run(c.name, c.wrong)
	}
}

func TestRefusesWithoutPermission(t *testing.T) {
	refusal{prepare: func(t *testing.T, s *stage) []string {
		must(t, os.Chmod(theatre.run, 0o711))
		return plain(s)
	}, as: []string{"--reuid=65534", "--regid=65534", "--clear-groups"},
		status: 77, says: []string{"c.sock", "permission"}, hint: "sudo"}.wrong(t)
}

func TestRefusesForeignContainer(t *testing.T) {
	refusal{prepare: func(t *testing.T, s *stage) []string {
		s.load(tiny(t, "job"))
		spec, err := typeurl.MarshalAny(&specs.Spec{})
		must(t, err)
		_, err = s.client.ContainerService().Create(s.context(), containers.Container{
			ID: "job", Spec: spec, Runtime: containers.RuntimeInfo{Name: "io.containerd.runc.v2"}})
		must(t, err)
		return plain(s)
	}, status: 1, says: []string{"job", "hostrun did not make"}, hint: "namespace"}.wrong(t)
}

func TestRefusesCommand(t *testing.T) {
	for _, c := range []refusal{
		{"not found", func(t *testing.T, s *stage) []string {
			s.load(tiny(t, "job"))
			plain(s)
			return []string{"run", "job", "--", "no-such-command"}
		}, 127, []string{"no-such-command", "not found"}, "", nil},
		{"not found, detached", func(t *testing.T, s *stage) []string {
			s.load(tiny(t, "job"))
			return plain(s, "command: [no-such-command]")
		}, 127, []string{"no-such-command", "not found"}, "", nil},
		{"not executable", func(t *testing.T, s *stage) []string {
			s.load(tiny(t, "job", archive.File{Path: "/data.txt", Mode: 0o644, Content: []byte("text\n")}))
			plain(s)
			return []string{"run", "job", "--", "/data.txt"}
		}, 126, []string{"/data.txt", "not executable"}, "", nil},
		{"a directory", func(t *testing.T, s *stage) []string {
			s.load(tiny(t, "job"))
			plain(s)
			return []string{"run", "job", "--", "/tmp"}
		}, 126, []string{"/tmp", "not executable"}, "", nil},
	} {
		t.Run(c.name, c.wrong)
	}
}

// TestRefusesToLoadOnFullDisk loads more than the file system of a containerd of its own can hold.
func TestRefusesToLoadOnFullDisk(t *testing.T) {
	s := newStage(t)
	root, run := s.path("small"), t.TempDir()
	must(t, os.Mkdir(root, 0o700))
	must(t, unix.Mount("tmpfs", root, "tmpfs", 0, "size=16m"))
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	e, err := startEngine(root, run)
	must(t, err)
	t.Cleanup(e.stop)
	noise := make([]byte, 24<<20) // does not compress
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		noise[i] = byte(x)
	}
	file := s.archive(tiny(t, "job", archive.File{Path: "/noise", Mode: 0o644, Content: noise}))
	refusal{status: 1, says: []string{"no space left"}}.judge(t, s.hostrun("--address", e.address, "load", file))

	client, err := containerd.New(e.address, containerd.WithDefaultNamespace(s.namespace))
	must(t, err)
	defer client.Close()
	images, err := client.ListImages(s.context())
	must(t, err)
	leases, err := client.LeasesService().List(s.context())
	must(t, err)
	if len(images)+len(leases) > 0 {
		t.Errorf("left behind: %d images, %d leases", len(images), len(leases))
	}
}
