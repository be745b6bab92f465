package integration

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/errdefs"

	"golang.org/x/sys/unix"

	"hostrun.dev/hostrun/integration/fixture"
	"hostrun.dev/hostrun/integration/image/archive"
)

// theatre is what all tests of the real programs share: a directory, the programs, and one containerd of their own.
var theatre struct {
	once   sync.Once
	err    error
	dir    string // on a disk: containerd's root and the programs
	run    string // short, for sockets
	bin    string
	engine *engine
	stages atomic.Int64
}

func TestMain(m *testing.M) {
	flag.Parse()
	widen()
	status := m.Run()
	closeTheatre()
	os.Exit(status)
}

// widen lets more tests run side by side than there are processors: they wait for containers most of the time.
func widen() {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if n := 2 * goruntime.GOMAXPROCS(0); !given {
		_ = flag.Set("test.parallel", strconv.Itoa(n))
	}
}

func closeTheatre() {
	if theatre.engine != nil {
		theatre.engine.stop()
	}
	for _, dir := range []string{theatre.dir, theatre.run} {
		if dir != "" {
			_ = os.RemoveAll(dir)
		}
	}
}

// skip says why a test can't run here; where everything is required it fails.
func skip(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
		t.Fatalf("HOSTRUN_REQUIRE_ALL=1, and "+format, args...)
	}
	t.Skipf(format, args...)
}

func openTheatre() error {
	if os.Getuid() != 0 {
		return errors.New("these tests start containerd, which needs root")
	}
	var err error
	if theatre.dir, err = os.MkdirTemp("/var/tmp", "hostrun-cli-"); err != nil {
		return err
	}
	if err = os.Chmod(theatre.dir, 0o755); err != nil { // nobody runs the programs too
		return err
	}
	if theatre.run, err = os.MkdirTemp("/run", "hostrun-cli-"); err != nil {
		return err
	}
	if err := os.Chmod(theatre.run, 0o711); err != nil { // as /run/containerd: root of a user namespace reaches its root directory
		return err
	}
	theatre.bin = filepath.Join(theatre.dir, "bin")
	if err := build(theatre.bin, ""); err != nil {
		return err
	}
	if err := build(filepath.Join(theatre.dir, "mortal"), "failpoints"); err != nil {
		return err
	}
	theatre.engine, err = startEngine(filepath.Join(theatre.dir, "root"), theatre.run)
	return err
}

// build puts the programs into dir, as `make build` does, with the given tags.
func build(dir, tags string) error {
	for _, args := range [][]string{
		{tags, "./cmd/hostrun", "./cmd/hostrun-log", "./cmd/hostrun-init", "./cmd/hostrun-ports", "./cmd/hostrun-reap", "./cmd/hostrun-probe", "./cmd/hostrun-compose"},
		{"no_grpc", "./cmd/containerd-shim-runc-v2"},
	} {
		cmd := exec.Command("go", append([]string{"build", "-o", dir + "/", "-tags"}, args...)...)
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build the programs: %w\n%s", err, out)
		}
	}
	return nil
}

// An engine is a containerd of the tests' own.
type engine struct {
	address string
	root    string
	process *exec.Cmd
}

// startForGood starts a process from a thread that lives as long as this one: what dies with its parent dies with the thread that started
// it (prctl(2), PR_SET_PDEATHSIG), and tests that enter namespaces end threads.
func startForGood(cmd *exec.Cmd) error {
	started := make(chan error, 1)
	go func() {
		goruntime.LockOSThread()
		started <- cmd.Start()
		select {}
	}()
	return <-started
}

// startEngine starts a containerd that keeps its data in root, and its socket and state in run.
func startEngine(root, run string) (*engine, error) {
	e := &engine{address: filepath.Join(run, "c.sock"), root: root}
	config := filepath.Join(run, "containerd.toml")
	text := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
  address = %q
`, root, filepath.Join(run, "state"), e.address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(run, "containerd.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	e.process = exec.Command("containerd", "--config", config)
	e.process.Stdout, e.process.Stderr, e.process.SysProcAttr = log, log, dieWithUs()
	if err := startForGood(e.process); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if e.answers() {
			return e, nil
		}
	}
	e.stop()
	b, _ := os.ReadFile(log.Name())
	return nil, fmt.Errorf("containerd does not answer; its log:\n%s", b)
}

func (e *engine) answers() bool {
	if _, err := os.Stat(e.address); err != nil {
		return false
	}
	c, err := containerd.New(e.address, containerd.WithTimeout(2*time.Second))
	if err != nil {
		return false
	}
	defer c.Close()
	_, err = c.Version(context.Background())
	return err == nil
}

func (e *engine) stop() {
	_ = e.process.Process.Signal(os.Interrupt)
	_ = e.process.Wait()
}

// A stage is one test's namespace of containerd and one set of hostrun's directories.
type stage struct {
	t         *testing.T
	namespace string
	dir       string
	env       []string
	client    *containerd.Client
}

func newStage(t *testing.T) *stage {
	t.Helper()
	theatre.once.Do(func() { theatre.err = openTheatre() })
	if theatre.err != nil {
		skip(t, "the stage could not be set: %v", theatre.err)
	}
	s := &stage{t: t, namespace: fmt.Sprintf("cli%d-%d", os.Getpid(), theatre.stages.Add(1)), dir: t.TempDir()}
	for _, dir := range []string{s.dir, filepath.Dir(s.dir)} { // nobody looks in as well
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(s.path("profiles"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.env = append(os.Environ(),
		"CONTAINERD_ADDRESS="+theatre.engine.address, "HOSTRUN_NAMESPACE="+s.namespace, "HOSTRUN_PROGRESS=plain", "NO_COLOR=1",
		"HOSTRUN_STATE_DIR="+s.path("state"), "HOSTRUN_DATA_DIR="+s.path("data"), "HOSTRUN_CACHE_DIR="+s.path("cache"))
	client, err := containerd.New(theatre.engine.address, containerd.WithDefaultNamespace(s.namespace))
	if err != nil {
		t.Fatal(err)
	}
	s.client = client
	t.Cleanup(s.strike)
	return s
}

func (s *stage) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

// strike removes what the test made, by the names it knows.
func (s *stage) strike() {
	for deadline := time.Now().Add(20 * time.Second); s.reaps() && time.Now().Before(deadline); { // they write below the stage's directory
		time.Sleep(5 * time.Millisecond)
	}
	ctx := s.context()
	if list, err := s.client.Containers(ctx); err == nil {
		for _, c := range list {
			if task, err := c.Task(ctx, nil); err == nil {
				_, _ = task.Delete(ctx, containerd.WithProcessKill)
			}
			_ = c.Delete(ctx, containerd.WithSnapshotCleanup)
		}
	}
	// A supervisor that was ended in the middle of a restart leaves a task that comes after its record is gone.
	if r, err := s.client.TaskService().List(ctx, &tasks.ListTasksRequest{}); err == nil {
		for _, t := range r.Tasks {
			_, _ = s.client.TaskService().Kill(ctx, &tasks.KillRequest{ContainerID: t.ID, Signal: uint32(unix.SIGKILL), All: true})
			for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
				if _, err := s.client.TaskService().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: t.ID}); err == nil || errdefs.IsNotFound(err) {
					break
				}
			}
		}
	}
	if images, err := s.client.ListImages(ctx); err == nil {
		for _, i := range images {
			_ = s.client.ImageService().Delete(ctx, i.Name())
		}
	}
	_ = s.client.Close()
	for _, m := range append(fixture.MountsBelow(s.path("state", "secrets")), fixture.MountsBelow(s.path("state", "subpaths"))...) { // of a test that failed
		_ = unix.Unmount(m, unix.MNT_DETACH)
	}
	fixture.RemoveTraces(s.namespace)
}

func (s *stage) context() context.Context {
	return namespaces.WithNamespace(context.Background(), s.namespace)
}

// write puts a file below the stage's directory and returns its path.
func (s *stage) write(name, content string) string {
	s.t.Helper()
	file := s.path(name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
	return file
}

func (s *stage) profile(name, content string) { s.write("profiles/"+name+".yaml", content) }

// A result is the end of one command line.
type result struct {
	line           string
	stdout, stderr string
	status         int // 128+n for a signal
}

func (r result) String() string {
	return fmt.Sprintf("$ %s\n%s%s(exit status %d)", r.line, r.stdout, r.stderr, r.status)
}

// command prepares a command line of hostrun in the stage's directory.
func (s *stage) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(theatre.bin, "hostrun"), args...)
	cmd.Dir, cmd.Env = s.dir, s.env
	return cmd
}

func (s *stage) hostrun(args ...string) result { return finish(s.command(args...)) }

func finish(cmd *exec.Cmd) result {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	r := result{line: strings.Join(cmd.Args, " "), stdout: stdout.String(), stderr: stderr.String(), status: exitStatus(cmd)}
	if r.status < 0 {
		r.stderr += err.Error()
	}
	return r
}

// exitStatus is the shell's: 128+n for a signal; negative if the process did not start.
func exitStatus(cmd *exec.Cmd) int {
	if cmd.ProcessState == nil {
		return -1
	}
	if signal := signalOf(cmd.ProcessState); signal > 0 {
		return 128 + signal
	}
	return cmd.ProcessState.ExitCode()
}

// must runs a command line that has to succeed and returns its standard output.
func (s *stage) must(args ...string) string {
	s.t.Helper()
	r := s.hostrun(args...)
	if r.status != 0 {
		s.t.Fatalf("want success:\n%v", r)
	}
	return r.stdout
}

// load makes an image and loads it.
func (s *stage) load(img archive.Image) {
	s.t.Helper()
	s.must("load", s.archive(img))
}

func (s *stage) archive(img archive.Image) string {
	s.t.Helper()
	f, err := os.CreateTemp(s.dir, "image-*.tar")
	if err != nil {
		s.t.Fatal(err)
	}
	if err := errors.Join(archive.Write(f, img), f.Close()); err != nil {
		s.t.Fatal(err)
	}
	return f.Name()
}

// inventory lists everything that a start may leave behind, as sorted lines.
func (s *stage) inventory() []string {
	s.t.Helper()
	var all []string
	all = append(all, s.records()...)
	all = append(all, s.mounts()...)
	all = append(all, s.processes()...)
	all = append(all, s.cgroups()...)
	all = append(all, s.files()...)
	slices.Sort(all)
	return all
}

func (s *stage) records() []string {
	ctx := s.context()
	var all []string
	check := func(err error) {
		if err != nil {
			s.t.Fatal(err)
		}
	}
	list, err := s.client.Containers(ctx)
	check(err)
	for _, c := range list {
		all = append(all, "container "+c.ID())
	}
	running, err := s.client.TaskService().List(ctx, &tasks.ListTasksRequest{})
	check(err)
	for _, task := range running.Tasks {
		all = append(all, "task "+task.ID)
	}
	leases, err := s.client.LeasesService().List(ctx)
	check(err)
	for _, l := range leases {
		all = append(all, "lease "+l.ID)
	}
	check(s.client.SnapshotService("").Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		all = append(all, "snapshot "+info.Kind.String()+" "+info.Name)
		return nil
	}))
	return all
}

// mounts lists those of the stage's directory, of containers of its namespace, and temporary ones of containerd's client.
func (s *stage) mounts() []string {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for _, line := range strings.Split(string(b), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		at := fields[4]
		temporary := strings.Contains(at, "containerd-mount") && (strings.HasPrefix(at, theatre.dir) || !strings.Contains(at, "/hostrun-cli-")) // not another run's
		if strings.Contains(at, s.dir) || strings.Contains(at, "/"+s.namespace+"/") || temporary {
			all = append(all, "mount "+at)
		}
	}
	return all
}

// processes lists shims, loggers and hostrun itself: whatever names the stage in its command line or environment.
func (s *stage) processes() []string {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil || pid == os.Getpid() || !bytes.Contains(line, []byte(s.namespace)) && !bytes.Contains(line, []byte(s.dir)) {
			continue
		}
		all = append(all, "process "+strings.ReplaceAll(strings.TrimRight(string(line), "\x00"), "\x00", " "))
	}
	return all
}

func (s *stage) cgroups() []string {
	var all []string
	var tops []string
	for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
		found, err := filepath.Glob(pattern + s.namespace + "/*")
		if err != nil {
			s.t.Fatal(err)
		}
		tops = append(tops, found...)
	}
	for _, dir := range tops {
		if fi, err := os.Stat(dir); err == nil && fi.IsDir() {
			all = append(all, "cgroup "+dir)
		}
	}
	return all
}

// files lists the directories of containers: generated files and logs.
func (s *stage) files() []string {
	var all []string
	root := s.path("data", "containers")
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root || d.IsDir() && filepath.Dir(p) == root {
			return err
		}
		all = append(all, "file "+p)
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.t.Fatal(err)
	}
	return all
}

// settled waits until the inventory equals want: shims and reapers end a moment after the command.
func (s *stage) settled(want []string) (extra, gone []string) {
	s.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		have := s.inventory()
		extra, gone = without(have, want), slices.DeleteFunc(without(want, have), passing)
		if len(extra)+len(gone) == 0 || time.Now().After(deadline) {
			return extra, gone
		}
	}
}

// passing says whether a line of an inventory is a temporary mount of containerd's client: one of a test beside this one comes and goes.
func passing(line string) bool {
	return strings.HasPrefix(line, "mount ") && strings.Contains(line, "containerd-mount")
}

// nothingLeft fails the test if anything came or went since before.
func (s *stage) nothingLeft(before []string) {
	s.t.Helper()
	if extra, gone := s.settled(before); len(extra)+len(gone) > 0 {
		s.t.Errorf("left behind: %q\ngone: %q", extra, gone)
	}
}

func without(all, some []string) []string {
	var rest []string
	for _, one := range all {
		if !slices.Contains(some, one) {
			rest = append(rest, one)
		}
	}
	return rest
}
