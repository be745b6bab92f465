package host

import (
	"context"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func TestMachineOfAFakeRoot(t *testing.T) {
	root := fakeRoot(t, map[string]string{
		"proc/sys/kernel/hostname": "node7\n", "proc/sys/kernel/osrelease": "6.1.0-18-arm64\n", "proc/sys/kernel/arch": "aarch64\n",
		"proc/meminfo": "MemFree: 1 kB\nMemTotal:       263842528 kB\n", "sys/devices/system/cpu/online": "0-3,8,10-11\n",
		"sys/fs/cgroup/cgroup.controllers": "cpu", "sys/module/apparmor/parameters/enabled": "Y\n",
		"etc/os-release": "-> ../usr/lib/os-release", "usr/lib/os-release": "# c\nID=ubuntu\nVERSION_ID='22.04'\nPRETTY_NAME=\"Ubuntu \\\"22.04\\\" LTS\"\n",
		"etc/hosts": "127.0.0.1 localhost\n", "etc/resolv.conf": "-> /run/systemd/resolve/stub-resolv.conf",
		"run/systemd/resolve/stub-resolv.conf": "nameserver 127.0.0.53\n",
	})
	got, err := Probe(context.Background(), Options{Root: root}, Needs{})
	want := Facts{Schema: 1, Hostname: "node7", Arch: "arm64", Kernel: "6.1.0-18-arm64", CPUs: 7, MemoryBytes: 263842528 << 10,
		OS: OS{"ubuntu", "22.04", `Ubuntu "22.04" LTS`}, CgroupVersion: 2, AppArmor: true, Hosts: "127.0.0.1 localhost\n", ResolvConf: "nameserver 127.0.0.53\n"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Error(err, diff)
	}
}

func TestHybridCgroupsAreVersion1(t *testing.T) {
	root := fakeRoot(t, map[string]string{"sys/fs/cgroup/unified/cgroup.controllers": "", "sys/fs/cgroup/memory/": ""})
	if f, err := Probe(context.Background(), Options{Root: root}, Needs{}); err != nil || f.CgroupVersion != 1 {
		t.Error(err, f.CgroupVersion)
	}
}

func TestThisMachine(t *testing.T) {
	f, err := Probe(context.Background(), Options{Root: "/"}, Needs{Python: "none", CUDA: "none"})
	if err != nil || f.Python != nil || f.CUDA != nil || len(f.Findings) != 0 {
		t.Fatal(err, f)
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		t.Fatal(err)
	}
	name, _ := os.Hostname()
	if f.Hostname != name || f.Kernel != unix.ByteSliceToString(uts.Release[:]) || f.Arch != runtime.GOARCH {
		t.Error(f.Hostname, f.Kernel, f.Arch)
	}
	if f.CPUs < runtime.NumCPU() || f.MemoryBytes < 64<<20 {
		t.Error(f.CPUs, f.MemoryBytes)
	}
}

func TestRootThatIsNone(t *testing.T) {
	if _, err := Probe(context.Background(), Options{Root: t.TempDir() + "/none"}, Needs{}); err == nil || !strings.Contains(err.Error(), "/none") {
		t.Error(err)
	}
}

func TestProbeHonoursItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Probe(ctx, Options{Root: "/", Env: map[string]string{"PATH": "/usr/bin"}}, Needs{Python: "auto"}); err != context.Canceled {
		t.Error(err)
	}
}

func FuzzOSRelease(f *testing.F) {
	for _, s := range []string{"ID=debian\nVERSION_ID=\"12\"\n", "PRETTY_NAME='a b'", "ID=\"", "ID='\n=\n\\", "ID=a\\"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		os := parseOSRelease(b)
		for _, v := range []string{os.ID, os.VersionID, os.Pretty} {
			if strings.Contains(v, "\n") || len(v) > len(b) {
				t.Errorf("%q from %q", v, b)
			}
		}
	})
}
