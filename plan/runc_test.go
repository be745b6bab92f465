package plan_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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

// run starts the plan's spec with runc as it is and returns what the probe saw.
func run(t *testing.T, runc string, f plan.Facts) seen {
	t.Helper()
	bundle := t.TempDir()
	probe(t, must(bundle, "rootfs"))
	f.Engine.DataDir = filepath.Join(bundle, "data")
	f.ID = fmt.Sprintf("plan-test-%d-%d", os.Getpid(), time.Now().UnixNano())
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
	var s seen
	if err := json.Unmarshal(stdout.Bytes(), &s); err != nil {
		t.Fatalf("%v: %s", err, stdout.String())
	}
	return s
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
	f.Engine.Namespace = "hostrun-plan-test"
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
