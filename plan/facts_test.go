package plan_test

import (
	"encoding/json"
	"testing"

	"github.com/moby/profiles/seccomp"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

// at is a profile's line.
func at(line int) profiles.Position {
	return profiles.Position{File: "/srv/jobs/job.yaml", Line: line, Column: 1}
}

// debian is a small machine: Debian 12 on amd64.
func debian() host.Facts {
	return host.Facts{
		Schema: 1, Hostname: "worker7", Arch: "amd64", Kernel: "6.1.0-18-amd64",
		OS:   host.OS{ID: "debian", VersionID: "12", Pretty: "Debian GNU/Linux 12 (bookworm)"},
		CPUs: 8, MemoryBytes: 32 << 30, CgroupVersion: 2,
		Hosts: "127.0.0.1\tlocalhost\n192.0.2.7\tworker7\n", ResolvConf: "search example.org\nnameserver 192.0.2.53\n",
	}
}

// containerd is a containerd with runc 1.1 and the default seccomp profile cut down to one rule of each kind.
func containerd() plan.Engine {
	return plan.Engine{
		Namespace: "hostrun", RuntimeName: "io.containerd.runc.v2", OCIRuntime: "runc 1.1.5", MountOptions: []string{"rro"},
		DataDir: "/var/lib/hostrun", InitBinary: "/usr/local/libexec/hostrun/hostrun-init", Seccomp: smallSeccomp(),
	}
}

func smallSeccomp() *seccomp.Seccomp {
	var s seccomp.Seccomp
	err := json.Unmarshal([]byte(`{
		"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
		"archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}],
		"syscalls": [
			{"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
			{"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
			{"names": ["futuristic"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "9.0"}},
			{"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
			{"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
			{"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64", "x32"]}},
			{"names": ["arm_fadvise64_64"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm", "arm64"]}}
		]}`), &s)
	if err != nil {
		panic(err)
	}
	return &s
}

func python(executable string, minor int) abi.Python {
	v := abi.Version{Major: 3, Minor: minor, Micro: 4, Level: "final"}
	prefix := "/usr/local"
	site := prefix + "/lib/python" + v.String()[:len("3.11")] + "/site-packages"
	soabi := "cpython-3" + v.String()[2:4] + "-x86_64-linux-gnu"
	return abi.Python{
		Executable: executable, Real: prefix + "/bin/python" + v.String()[:4], Implementation: "cpython", Version: v,
		SOABI: soabi, ExtSuffix: "." + soabi + ".so", Suffixes: []string{"." + soabi + ".so", ".abi3.so", ".so"},
		Multiarch: "x86_64-linux-gnu", Arch: "x86_64", Bits: 64, Libc: "glibc", LibcVersion: "2.36",
		Prefix: prefix, BasePrefix: prefix, Stdlib: prefix + "/lib/python" + v.String()[:4],
		Layout: "upstream", SiteDirs: []string{site},
	}
}

// slim is python:3.11-slim.
func slim() plan.Image {
	return plan.Image{
		Reference: "docker.io/library/job:latest", Digest: "sha256:" + digits('a'), ChainID: "sha256:" + digits('b'),
		OS: "linux", Arch: "amd64",
		Env: []string{"PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}, Cmd: []string{"python3"},
		Users:  []plan.User{{Name: "root", Home: "/root"}, {Name: "app", UID: 1000, GID: 1000, Home: "/home/app"}},
		Groups: []plan.Group{{Name: "root"}, {Name: "app", GID: 1000}, {Name: "video", GID: 44, Members: []string{"app"}}, {Name: "render", GID: 106}},
		Paths:  map[string]plan.Path{"/": {Real: "/", Dir: true, Mode: 0o755, Entries: 20}},
	}
}

func digits(c byte) string {
	b := make([]byte, 64)
	for i := range b {
		b[i] = c
	}
	return string(b)
}

// job is the least profile.
func job() profiles.Profile {
	return profiles.Profile{
		Name: "job", File: "/srv/jobs/job.yaml", Dir: "/srv/jobs", Image: "job",
		Lines: map[string]profiles.Position{"image": at(1)},
	}
}

// simple are the facts of the least profile on the small machine.
func simple() plan.Facts {
	return plan.Facts{Schema: 1, Profile: job(), Host: debian(), Image: slim(), Engine: containerd()}
}

func command(words ...string) *profiles.Command {
	c := profiles.Command(words)
	return &c
}

func build(t *testing.T, f plan.Facts) plan.Plan {
	t.Helper()
	pl, err := plan.Build(f)
	if err != nil {
		t.Fatal(err)
	}
	return pl
}
