package integration

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/containerd/typeurl/v2"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/runtime-spec/specs-go"

	private "hostrun.dev/hostrun/engine"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/runtime"
)

// runtimeHelpers are what this test binary does when it is started as a child: the reaper of hostrun, and the victim
// that the journal tests kill.
var runtimeHelpers = map[string]func(args []string) error{
	runtime.ReapVerb: func(args []string) error {
		reaping, err := runtime.ReapOptions(args)
		if err != nil {
			return err
		}
		return runtime.Reap(context.Background(), reaping)
	},
}

func init() {
	if len(os.Args) < 2 {
		return
	}
	if do := runtimeHelpers[os.Args[1]]; do != nil {
		if err := do(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// testCache keeps what tests build, from one run to the next.
func testCache() string {
	if dir := os.Getenv("HOSTRUN_TEST_CACHE"); dir != "" {
		return dir
	}
	return "/var/cache/hostrun-test"
}

// builtDir holds the programs of this tree: another checkout that is tested at the same time has its own.
func builtDir() (string, error) {
	top, err := filepath.Abs("..")
	if err != nil {
		return "", err
	}
	dir := filepath.Join(testCache(), "libexec", fmt.Sprintf("%x", sha256.Sum256([]byte(top)))[:12])
	return dir, os.MkdirAll(dir, 0o755)
}

// programs are those that this process has brought up to date. Tests side by side took each other's half-made file away.
var (
	programs sync.Map // of command lines, func() (string, error)
	building atomic.Int64
)

// built returns a program of the test cache after bringing it up to date, for several test processes at once.
func built(name string, env []string, args ...string) (string, error) {
	made, _ := programs.LoadOrStore(fmt.Sprint(name, env, args), sync.OnceValues(func() (string, error) { return buildInto(name, env, args) }))
	return made.(func() (string, error))()
}

func buildInto(name string, env, args []string) (string, error) {
	dir, err := builtDir()
	if err != nil {
		return "", err
	}
	made := filepath.Join(dir, fmt.Sprintf(".%s.%d.%d", name, os.Getpid(), building.Add(1)))
	cmd := exec.Command("go", append(args[:len(args)-1:len(args)-1], "-o", made, args[len(args)-1])...)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return filepath.Join(dir, name), os.Rename(made, filepath.Join(dir, name))
}

// libexec is a directory with the programs that lie beside hostrun.
var libexec = sync.OnceValues(func() (string, error) {
	var dir string
	for _, name := range []string{"hostrun-log", "hostrun-probe"} {
		path, err := built(name, []string{"CGO_ENABLED=0"}, "build", "hostrun.dev/hostrun/cmd/"+name)
		if err != nil {
			return "", err
		}
		dir = filepath.Dir(path)
	}
	_, err := built(private.Shim, []string{"CGO_ENABLED=0"}, "build", "-trimpath", "-tags=no_grpc", "-ldflags=-s -w", "hostrun.dev/hostrun/cmd/containerd-shim-runc-v2")
	return dir, err
})

// A world is one private containerd and hostrun's own directories.
type world struct {
	t    *testing.T
	ctrd *fixture.Containerd
	opt  runtime.Options
	c    *runtime.Client
}

const busybox = "docker.io/library/busybox:latest"

// eachEngine runs the test against every containerd of this machine, side by side: most of the time is spent waiting.
func eachEngine(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	for _, e := range fixture.Engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, fixture.StartContainerd(t, e.Binary))
			w.load(fixture.BusyboxImage(t, busybox))
			test(t, w)
		})
	}
}

func newWorld(t *testing.T, ctrd *fixture.Containerd) *world {
	t.Helper()
	dir, err := libexec()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, ctrd: ctrd, opt: runtime.Options{Address: ctrd.Address, Namespace: "ht" + strings.ToLower(rand.Text()[:8]),
		StateDir: ctrd.Path("run"), DataDir: ctrd.Path("lib"), CacheDir: ctrd.Path("cache"), LibexecDir: dir,
		Log: slog.New(slog.NewTextHandler(testWriter{t}, nil))}}
	w.c, err = runtime.Open(context.Background(), w.opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.c.Close() })
	return w
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (w *world) load(img fixture.Image) {
	w.t.Helper()
	if _, err := w.c.Load(context.Background(), img.Archive(), ""); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) leaks() fixture.Leaks {
	w.t.Helper()
	return fixture.LeaksOf(w.t, w.ctrd, w.opt.Namespace, w.opt.StateDir, filepath.Join(w.opt.DataDir, "containers"))
}

// clean fails the test unless nothing of containers is left; a removal in the background gets its time.
func (w *world) clean() {
	w.t.Helper()
	w.eventually("nothing is left", func() error {
		if l := w.leaks().String(); l != "" {
			return errors.New("left behind:\n" + l)
		}
		return nil
	})
}

// eventually asks until ask agrees; half a minute is long enough for a machine that does other things.
func (w *world) eventually(what string, ask func() error) {
	w.t.Helper()
	var err error
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if err = ask(); err == nil {
			return
		}
	}
	w.t.Fatalf("%s: %v", what, err)
}

// plan is a small container: what package plan makes is tested there.
func (w *world) plan(id string, args ...string) plan.Plan {
	w.t.Helper()
	img, err := w.c.Inspect(context.Background(), busybox, "", plan.ImageNeeds{})
	if err != nil {
		w.t.Fatal(err)
	}
	pl := plan.Plan{Schema: 1, ID: id, Profile: "test", Namespace: w.opt.Namespace, Image: img.Reference, Digest: img.Digest,
		ChainID: img.ChainID, Runtime: "io.containerd.runc.v2", Spec: w.spec(id, args), StopSignal: "SIGTERM", StopSeconds: 1,
		Labels: map[string]string{"hostrun.dev/profile": "test", "hostrun.dev/stop-signal": "SIGTERM", "hostrun.dev/stop-seconds": "1",
			"hostrun.dev/image-digest": img.Digest}}
	pl.Files = []plan.File{{Path: filepath.Join(w.opt.DataDir, "containers", w.opt.Namespace, id, "hosts"), Content: "127.0.0.1 localhost\n", Mode: 0o644}}
	rehash(&pl)
	return pl
}

func rehash(pl *plan.Plan) {
	pl.Hash = digest.FromString(fmt.Sprintf("%v%v", pl.Spec.Process, pl.Files)).Encoded()
	pl.Labels["hostrun.dev/plan-sha256"] = pl.Hash
}

func (w *world) spec(id string, args []string) *specs.Spec {
	ctx := namespaces.WithNamespace(context.Background(), w.opt.Namespace)
	s, err := oci.GenerateSpec(ctx, nil, &containers.Container{ID: id}, oci.WithProcessArgs(args...), oci.WithHostNamespace(specs.NetworkNamespace),
		oci.WithEnv([]string{"PATH=/bin"}), oci.WithRootFSPath("rootfs"))
	if err != nil {
		w.t.Fatal(err)
	}
	s.Version = "1.0.2"
	s.Root.Readonly = false
	s.Process.Rlimits = nil
	return s
}

// output is a writer that several goroutines may use.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// refused checks an error's exit status, that it says what is wanted, and that it says what to do.
func refused(t *testing.T, what string, err error, status int, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error", what)
		return
	}
	if got := finding.StatusOf(err); got != status {
		t.Errorf("%s: status %d, want %d: %v", what, got, status, err)
	}
	all := err.Error() + "\n" + strings.Join(finding.HintOf(err), "\n")
	for _, word := range words {
		if !strings.Contains(all, word) {
			t.Errorf("%s: %q is not in: %s", what, word, all)
		}
	}
	if strings.Contains(all, "rpc error") {
		t.Errorf("%s: the words of the wire: %s", what, all)
	}
	if len(finding.HintOf(err)) == 0 {
		t.Errorf("%s: no hint: %v", what, err)
	}
}

// foreignContainer makes a record as another tool would.
func (w *world) foreignContainer(id string) {
	w.t.Helper()
	cl, err := containerd.New(w.opt.Address)
	ok(w.t, err)
	defer cl.Close()
	ctx := namespaces.WithNamespace(context.Background(), w.opt.Namespace)
	spec, err := typeurl.MarshalAny(w.spec(id, []string{"true"}))
	ok(w.t, err)
	_, err = cl.ContainerService().Create(ctx, containers.Container{ID: id, Spec: spec, Runtime: containers.RuntimeInfo{Name: "io.containerd.runc.v2"}})
	ok(w.t, err)
}

func openTTY(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOCTTY, 0)
	ok(t, err)
	return f
}

// kill ends the container's first process behind containerd's back.
func kill(t *testing.T, pid int) {
	t.Helper()
	if pid <= 1 {
		t.Fatalf("pid %d", pid)
	}
	ok(t, syscall.Kill(pid, syscall.SIGKILL))
}
