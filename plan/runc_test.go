package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// seen is what testdata/probe prints.
type seen struct {
	Args, Env []string
	Hostname  string
	Dir       string
	UID, GID  int
	Groups    []int
	Files     map[string]string
	Writable  map[string]bool
	Status    map[string]string
}

// needRunc skips where no container can run; HOSTRUN_REQUIRE_ALL=1 makes that a failure.
func needRunc(t *testing.T) string {
	t.Helper()
	runc, err := exec.LookPath("runc")
	why := ""
	switch {
	case err != nil:
		why = "runc is not installed"
	case os.Geteuid() != 0:
		why = "runc needs root"
	}
	if why != "" {
		if os.Getenv("HOSTRUN_REQUIRE_ALL") == "1" {
			t.Fatal(why)
		}
		t.Skip(why)
	}
	return runc
}

// probe builds testdata/probe into a root file system of its own.
func probe(t *testing.T, root string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-o", filepath.Join(root, "probe"), "./testdata/probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the probe: %v\n%s", err, out)
	}
}

// run starts the plan's spec with the probe as the image and returns what it saw.
func run(t *testing.T, runc string, f plan.Facts) seen {
	t.Helper()
	bundle := t.TempDir()
	probe(t, must(bundle, "rootfs"))
	out := start(t, runc, bundle, f)
	var s seen
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s
}

// start runs the plan's spec, as it is, in a bundle that has the image as rootfs, and returns its output.
func start(t *testing.T, runc, bundle string, f plan.Facts) string {
	t.Helper()
	f.Engine.DataDir = filepath.Join(bundle, "data")
	f.ID = fmt.Sprintf("plan-test-%d-%d", os.Getpid(), time.Now().UnixNano())
	f.Host.Hosts, f.Host.ResolvConf = existing("/etc/hosts"), existing("/etc/resolv.conf")
	pl := build(t, f)
	for _, d := range pl.Directories {
		must(d.Path)
	}
	for _, file := range pl.Files {
		must(filepath.Dir(file.Path))
		if err := os.WriteFile(file.Path, []byte(file.Content), os.FileMode(file.Mode)); err != nil {
			t.Fatal(err)
		}
	}
	config, err := json.MarshalIndent(pl.Spec, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(runc, "--root", filepath.Join(bundle, "state"), "run", "--bundle", bundle, f.ID)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("runc run: %v\n%s\n%s", err, stderr.String(), config)
	}
	return stdout.String()
}

// must makes a directory and returns its path.
func must(elem ...string) string {
	dir := filepath.Join(elem...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		panic(err)
	}
	return dir
}

// realHost are the facts of this machine that a spec depends on.
func realHost(t *testing.T, f *plan.Facts) {
	t.Helper()
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	f.Host.Kernel = strings.TrimSpace(string(release))
	f.Host.CgroupVersion = 1
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		f.Host.CgroupVersion = 2
	}
	f.Engine.Namespace = fmt.Sprintf("hostrun-plan-test-%d", os.Getpid())
	t.Cleanup(func() { // runc removes the container's own cgroups, not the one that they were made in
		for _, pattern := range []string{"/sys/fs/cgroup/", "/sys/fs/cgroup/*/"} {
			dirs, _ := filepath.Glob(pattern + f.Engine.Namespace)
			for _, dir := range dirs {
				_ = os.Remove(dir)
			}
		}
	})
	f.Engine.Seccomp = defaultSeccomp(t)
}

func TestRuncRunsTheSpec(t *testing.T) {
	runc := needRunc(t)
	src := t.TempDir()
	if err := os.WriteFile(filepath.Join(src, "file"), []byte("from the host\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f := simple()
	realHost(t, &f)
	f.Profile.Command = command("/probe", "/data/file", "/data", "/vol", "/scratch", "/dev/shm", "/etc/hosts", "/etc/hostname", "/sys", "/")
	f.Profile.Environment = []profiles.EnvVar{{Name: "A", Value: "1"}}
	f.Profile.WorkingDir = "/work"
	f.Profile.User = "1000:1000"
	f.Profile.Hostname = "inside"
	f.Profile.PidsLimit = 64
	f.Profile.ReadOnly = true
	f.Profile.Volumes = []profiles.Volume{
		{Type: "bind", Source: src, Target: "/data", ReadOnly: true, Key: "volumes[0]"},
		{Type: "volume", Source: "keep", Target: "/vol", Key: "volumes[1]"},
		{Type: "tmpfs", Target: "/scratch", Key: "tmpfs[0]"},
	}
	f.Sources = map[string]plan.Source{src: {Exists: true, Dir: true}}
	s := run(t, runc, f)

	if s.Hostname != "inside" || s.Dir != "/work" || s.UID != 1000 || s.GID != 1000 {
		t.Errorf("hostname %q, directory %q, uid %d, gid %d", s.Hostname, s.Dir, s.UID, s.GID)
	}
	for _, kv := range []string{"A=1", "HOSTNAME=inside", "HOME=/home/app"} {
		if !slices.Contains(s.Env, kv) {
			t.Errorf("environment lacks %s: %q", kv, s.Env)
		}
	}
	if got := s.Files["/data/file"]; got != "from the host\n" {
		t.Errorf("/data/file: %q", got)
	}
	if got := s.Files["/etc/hostname"]; got != "inside\n" {
		t.Errorf("/etc/hostname: %q", got)
	}
	if got := s.Files["/etc/hosts"]; !strings.Contains(got, "127.0.1.1\tinside") {
		t.Errorf("/etc/hosts: %q", got)
	}
	for p, want := range map[string]bool{"/data": false, "/": false, "/sys": false, "/scratch": true, "/dev/shm": true} {
		if s.Writable[p] != want {
			t.Errorf("writable %s: %v, want %v", p, s.Writable[p], want)
		}
	}
	if s.Status["NoNewPrivs"] != "1" || s.Status["Seccomp"] != "2" || s.Status["CapEff"] != "0000000000000000" {
		t.Errorf("status: NoNewPrivs %s, Seccomp %s, CapEff %s", s.Status["NoNewPrivs"], s.Status["Seccomp"], s.Status["CapEff"])
	}
}

// TestRuncReadOnlyIsRecursive mounts a writable file system below a lent directory, and a lent directory on one that
// allows no execution: the first must be read-only in the container, in the second native modules must load.
func TestRuncReadOnlyIsRecursive(t *testing.T) {
	runc := needRunc(t)
	src := t.TempDir()
	below := must(src, "below")
	mountTmpfs(t, below, "rw")
	noexec := t.TempDir()
	mountTmpfs(t, noexec, "noexec")
	probe(t, noexec)

	f := borrowing(nil)
	realHost(t, &f)
	h := venvHost(11)
	h.Sites = []host.Site{{Path: src, Real: src, Kind: "site-packages"}, {Path: noexec, Real: noexec, Kind: "site-packages"}}
	f.Host.Python = h
	f.Profile.Command = command("/opt/hostrun/site/1/probe", "/opt/hostrun/site/0", "/opt/hostrun/site/0/below", "/usr/local/lib/python3.11/site-packages/zz_hostrun.pth")
	f.Image.Paths = nil
	s := run(t, runc, f)
	for p, writable := range s.Writable {
		if writable {
			t.Errorf("%s is writable", p)
		}
	}
	if !strings.Contains(s.Files["/usr/local/lib/python3.11/site-packages/zz_hostrun.pth"], "addsitedir('/opt/hostrun/site/1')") {
		t.Errorf("files %v", s.Files)
	}
}

func mountTmpfs(t *testing.T, dir, options string) {
	t.Helper()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", options, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Fatalf("mount %s: %v\n%s", dir, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v\n%s", dir, err, out)
		}
	})
}

// TestRuncHoldsTheRest: limits, devices, the host's shared memory, network none, and sysctls.
func TestRuncHoldsTheRest(t *testing.T) {
	runc := needRunc(t)
	f := simple()
	realHost(t, &f)
	f.Profile.Command = command("/probe", "/dev/null-too", "/proc/sys/net/core/somaxconn", "/proc/self/limits", "/proc/self/mountinfo", "/proc/net/dev")
	f.Profile.Devices = []profiles.Device{{Source: "/dev/null", Target: "/dev/null-too", Key: "devices[0]"}}
	// The probe reads it to the end: not a disk, which may be one (7:0 is loop0).
	f.Nodes = []devices.Node{{Path: "/dev/null", Destination: "/dev/null-too", Type: "c", Major: 1, Minor: 3, Mode: 0o600}}
	f.Profile.CPUs, f.Profile.MemLimit, f.Profile.PidsLimit = 0.5, 256<<20, 100
	f.Engine.NoFileMax, f.Engine.MemlockMax = 4096, 64<<10
	f.Profile.IPC, f.Profile.NetworkMode = "host", "none"
	f.Profile.Sysctls = map[string]string{"net.core.somaxconn": "321"}
	s := run(t, runc, f)
	if got := strings.TrimSpace(s.Files["/proc/sys/net/core/somaxconn"]); got != "321" {
		t.Errorf("somaxconn %q", got)
	}
	if got := s.Files["/proc/self/limits"]; !strings.Contains(got, "Max open files            4096                 4096") ||
		!strings.Contains(got, "Max locked memory         65536                65536") {
		t.Errorf("limits:\n%s", got)
	}
	if got := s.Files["/proc/net/dev"]; strings.Count(got, ":") > 3 {
		t.Errorf("network none has interfaces:\n%s", got)
	}
	if strings.Contains(s.Files["/dev/null-too"], "no such file") {
		t.Errorf("the device is absent: %s", s.Files["/dev/null-too"])
	}
	var mknod uint64 = 1 << 27 // CAP_MKNOD, linux/capability.h
	if n, err := strconv.ParseUint(s.Status["CapBnd"], 16, 64); err != nil || n&mknod != 0 {
		t.Errorf("bounding set %s has CAP_MKNOD beside devices", s.Status["CapBnd"])
	}
}

func existing(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return string(b)
}

// TestRuncRunsPrivileged gives all that this machine's own processes have.
func TestRuncRunsPrivileged(t *testing.T) {
	runc := needRunc(t)
	own, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	f := simple()
	realHost(t, &f)
	f.Engine.Capabilities = boundingSet(t, string(own))
	f.Profile.Privileged = true
	f.Profile.Command = command("/probe", "/sys/fs/cgroup", "/proc/sys/kernel/domainname")
	s := run(t, runc, f)
	if s.Status["Seccomp"] != "0" && !strings.Contains(string(own), "Seccomp:\t"+s.Status["Seccomp"]) {
		t.Errorf("a privileged container has a filter: %s", s.Status["Seccomp"])
	}
	if !s.Writable["/proc/sys/kernel/domainname"] {
		t.Error("/proc/sys is read-only")
	}
	if !strings.Contains(string(own), "CapBnd:\t"+s.Status["CapBnd"]) {
		t.Errorf("bounding set %s, want this process's own", s.Status["CapBnd"])
	}
}

// boundingSet names the bits of CapBnd, by the order of linux/capability.h.
func boundingSet(t *testing.T, status string) []string {
	t.Helper()
	var bits uint64
	for _, line := range strings.Split(status, "\n") {
		if hex, ok := strings.CutPrefix(line, "CapBnd:\t"); ok {
			n, err := strconv.ParseUint(hex, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			bits = n
		}
	}
	var names []string
	for i, name := range plan.Capabilities() {
		if bits&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}
