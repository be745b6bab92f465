package plan_test

import (
	"encoding/json"
	"strings"
	"time"

	cdi "tags.cncf.io/container-device-interface/specs-go"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/abi/proof"
	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

var aWarning = finding.Finding{ID: finding.NativeOthers, Severity: finding.Warning, Subject: "native modules", Got: "pkg._b",
	Message: "1 of 2 native modules would not load on their own; the command is not seen to need them"}

func proofOf(found ...finding.Finding) *proof.Report {
	return &proof.Report{Schema: 1, Libc: "glibc 2.36", Findings: found, Counts: proof.Counts{Modules: 2, OK: 1, Fail: 1}}
}

// cases are the goldens of testdata, by the behaviour that they show.
var cases = map[string]func() plan.Facts{
	"least-profile": simple,

	"dinov2-python-target": dinov2,
	"venv-beside-the-images-packages": func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Profile.Python.Packages = []string{"torch"}
		return f
	},
	"conda-host": func() plan.Facts { return borrowing(condaHost()) },
	"image-with-a-venv": func() plan.Facts {
		f := borrowing(venvHost(11))
		base := python("/usr/local/bin/python3", 11)
		inVenv := base
		inVenv.Executable, inVenv.Prefix = "/opt/venv/bin/python3", "/opt/venv"
		inVenv.Venv = &abi.Venv{Dir: "/opt/venv", Home: "/usr/local/bin", Version: "3.11.4"}
		inVenv.SiteDirs = []string{"/opt/venv/lib/python3.11/site-packages"}
		f.Image.Env = []string{"PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin", "VIRTUAL_ENV=/opt/venv"}
		f.Image.Pythons = []abi.Python{inVenv, base}
		return f
	},
	"debian-image": func() plan.Facts {
		f := borrowing(venvHost(11))
		p := python("/usr/bin/python3", 11)
		p.Prefix, p.BasePrefix, p.Layout = "/usr", "/usr", "debian"
		p.SiteDirs = []string{"/usr/local/lib/python3.11/dist-packages", "/usr/lib/python3/dist-packages"}
		f.Image.Pythons = []abi.Python{p}
		return f
	},
	"precedence-host": func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Profile.Python.Precedence = "host"
		return f
	},
	"pth-and-editable":       pthAndEditable,
	"editable-of-src":        editableOfSrc,
	"packages-on-both-sides": packagesOnBothSides,
	"image-python-3.12-refused": func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Image.Pythons = []abi.Python{python("/usr/local/bin/python3", 12)}
		return f
	},
	"another-python-of-the-image-fits": func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Image.Pythons = []abi.Python{python("/usr/local/bin/python3", 12), python("/usr/bin/python3", 11)}
		return f
	},
	"two-pythons-off-path-refused": func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Profile.Command = command("bash", "/run.sh")
		f.Image.Pythons = []abi.Python{python("/opt/a/bin/python3", 12), python("/opt/b/bin/python3", 11)}
		return f
	},
	"musl-image-refused": func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Image.Pythons[0].Libc, f.Image.Pythons[0].LibcVersion = "musl", ""
		f.Image.Pythons[0].SOABI = "cpython-311-x86_64-linux-musl"
		f.Image.Pythons[0].Suffixes = []string{".cpython-311-x86_64-linux-musl.so", ".abi3.so", ".so"}
		return f
	},
	"no-python-in-image-refused": func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Image.Pythons = nil
		return f
	},
	"python-minus-S-refused": func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Profile.Command = command("bash", "-lc", "cd /work && exec python3 -uS train.py")
		return f
	},
	"host-python-missing-refused": func() plan.Facts {
		f := borrowing(nil)
		f.Host.Findings = []finding.Finding{{ID: finding.PythonMissingHost, Severity: finding.Error, Subject: "/opt/gone/bin/python3", Message: "no interpreter at /opt/gone/bin/python3"}}
		return f
	},
	"site-directory-below-a-volume-refused": func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Profile.Volumes = []profiles.Volume{{Type: "bind", Source: "/srv/site", Target: "/usr/local/lib/python3.11/site-packages", Key: "volumes[0]"}}
		f.Sources = map[string]plan.Source{"/srv/site": {Exists: true, Dir: true}}
		f.Profile.Lines["volumes[0]"] = at(6)
		return f
	},
	"opt-below-a-volume": func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Profile.Volumes = []profiles.Volume{{Type: "bind", Source: "/srv/opt", Target: "/opt", Key: "volumes[0]"}}
		f.Sources = map[string]plan.Source{"/srv/opt": {Exists: true, Dir: true}}
		return f
	},
	"user-below-closed-directory-refused": func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Profile.User = "app"
		f.Profile.Python.Target = "/root/.local/lib/python3.11/site-packages"
		f.Image.Paths["/root"] = plan.Path{Real: "/root", Dir: true, Mode: 0o700, Entries: 3}
		f.Profile.Volumes = []profiles.Volume{{Type: "volume", Source: "cache", Target: "/root/.cache", Key: "volumes[0]"}}
		f.Profile.Lines["volumes[0]"], f.Profile.Lines["python.target"] = at(9), at(4)
		return f
	},
	"packages-closed-to-the-user-refused": func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Profile.User = "app"
		f.Host.Python.Sites[0].Mode, f.Host.Python.Sites[0].UID = 0o700, 4711
		return f
	},
	"cuda-with-stubs": func() plan.Facts {
		f := simple()
		f.Profile.CUDA = "auto"
		f.Profile.Lines["cuda"] = at(2)
		f.Host.CUDA = cuda124()
		f.Image.Env = append(f.Image.Env, "CUDA_VISIBLE_DEVICES=3", "NVIDIA_VISIBLE_DEVICES=all", "LD_LIBRARY_PATH=/opt/lib")
		return f
	},
	"cuda-missing-refused": func() plan.Facts {
		f := simple()
		f.Profile.CUDA = "/usr/local/cuda-13.0"
		f.Profile.Lines["cuda"] = at(2)
		return f
	},

	"volumes-of-every-form": volumesOfEveryForm,
	"volumes-refused":       volumesRefused,
	"names-that-lead-elsewhere-refused": func() plan.Facts {
		f := simple()
		f.ID = "../job"
		f.Profile.Volumes = []profiles.Volume{{Type: "volume", Source: "..", Target: "/v", Key: "volumes[0]"}}
		f.Profile.Lines["volumes[0]"] = at(4)
		return f
	},
	"engine-without-seccomp": func() plan.Facts {
		f := simple()
		f.Engine.Seccomp = nil
		return f
	},
	"old-runc-and-kernel": func() plan.Facts {
		f := volumesOfEveryForm()
		f.Engine.MountOptions, f.Engine.OCIRuntime, f.Host.Kernel = nil, "runc 1.0.3", "5.4.0-150-generic"
		return f
	},
	"read-only-root": func() plan.Facts {
		f := simple()
		f.Profile.ReadOnly = true
		f.Profile.Volumes = []profiles.Volume{{Type: "tmpfs", Target: "/tmp", TmpfsSize: 1 << 30, Key: "tmpfs[0]"}, {Type: "tmpfs", Target: "/run", TmpfsMode: 0o755, Key: "tmpfs[1]"}}
		return f
	},
	"shm-size": func() plan.Facts {
		f := simple()
		f.Profile.ShmSize = 16 << 30
		f.Profile.Lines["shm_size"] = at(5)
		return f
	},
	"ipc-host-with-shm-size-refused": func() plan.Facts {
		f := simple()
		f.Profile.IPC, f.Profile.ShmSize = "host", 1<<30
		f.Profile.Lines["shm_size"] = at(5)
		return f
	},

	"named-user-and-groups": func() plan.Facts {
		f := simple()
		f.Profile.User, f.Profile.GroupAdd = "app", []string{"render", "2000"}
		f.Profile.Lines["user"] = at(3)
		return f
	},
	"unknown-user-and-group-refused": func() plan.Facts {
		f := simple()
		f.Profile.User, f.Profile.GroupAdd = "nobody-here", []string{"video", "npu"}
		f.Profile.Lines["user"], f.Profile.Lines["group_add[1]"] = at(3), at(5)
		return f
	},
	"number-without-passwd-line": func() plan.Facts {
		f := simple()
		f.Profile.User = "1234:5678"
		return f
	},
	"names-and-network-none": func() plan.Facts {
		f := simple()
		f.Profile.NetworkMode, f.Profile.Hostname = "none", "alone"
		f.Profile.ExtraHosts = []profiles.Host{{Name: "db", IP: "192.0.2.1"}}
		f.Profile.Sysctls = map[string]string{"net.core.somaxconn": "1024", "kernel.shmmax": "68719476736"}
		return f
	},
	"extra-hosts-and-dns": func() plan.Facts {
		f := simple()
		f.Profile.ExtraHosts = []profiles.Host{{Name: "db", IP: "192.0.2.1"}, {Name: "gateway", IP: "host-gateway"}}
		f.Profile.DNS = []string{"192.0.2.99"}
		f.Profile.Lines["extra_hosts"], f.Profile.Lines["dns"] = at(4), at(7)
		return f
	},
	"sysctls-refused": func() plan.Facts {
		f := simple()
		f.Profile.IPC = "host"
		f.Profile.Sysctls = map[string]string{"net.core.somaxconn": "1024", "kernel.shmmax": "1", "vm.swappiness": "0"}
		f.Profile.Lines["sysctls"] = at(4)
		return f
	},

	"devices":      withDevices,
	"accelerators": withAccelerators,
	"accelerators-shared-and-bound-to-their-node": func() plan.Facts {
		f := withAccelerators()
		f.Grants[0].Ask.Share, f.Grants[0].Ask.Affinity = -1, "strict"
		f.Profile.MemLimit = 8 << 30
		return f
	},
	"accelerator-without-a-node-of-its-own-strict-refused": func() plan.Facts {
		f := withAccelerators()
		f.Grants[0].Ask.Affinity, f.Grants[0].Chosen[0].NUMA = "strict", -1
		return f
	},
	"volumes-over-the-drivers-files": func() plan.Facts {
		f := withAccelerators()
		f.Profile.Volumes = []profiles.Volume{
			{Type: "bind", Source: "/usr/local/acc", Target: "/usr/local/acc", Key: "volumes[0]"},             // the same
			{Type: "bind", Source: "/usr/local/acc/lib64", Target: "/usr/local/acc/lib64", Key: "volumes[1]"}, // a part of it
			{Type: "bind", Source: "/srv/cfg", Target: "/etc/acc.conf.d", Key: "volumes[2]"},                  // beside it
		}
		f.Sources = map[string]plan.Source{"/usr/local/acc": {Exists: true, Dir: true}, "/usr/local/acc/lib64": {Exists: true, Dir: true}, "/srv/cfg": {Exists: true, Dir: true}}
		return f
	},
	"volume-that-hides-the-driver-refused": func() plan.Facts {
		f := withAccelerators()
		f.Profile.Volumes = []profiles.Volume{{Type: "bind", Source: "/srv/other", Target: "/usr/local/acc/lib64", Key: "volumes[0]"}}
		f.Profile.Lines["volumes[0]"] = at(7)
		f.Sources = map[string]plan.Source{"/srv/other": {Exists: true, Dir: true}}
		return f
	},
	"accelerator-that-wants-a-passwd-line": func() plan.Facts {
		f := withAccelerators()
		f.Grants[0].Edits.Passwd, f.Profile.User = true, "4321:4321"
		return f
	},
	"cdi-hooks-are-not-run": func() plan.Facts {
		f := withAccelerators()
		f.Grants[0].Edits.Hooks = []*cdi.Hook{{HookName: "createContainer", Path: "/usr/bin/acc-ctk", Args: []string{"acc-ctk", "hook", "update-ldcache"}}}
		return f
	},
	"optional-accelerator-that-is-not-there": func() plan.Facts {
		f := simple()
		f.Grants = []devices.Grant{{Ask: devices.Ask{Kind: "example.com/acc", Count: 1, Optional: true, Key: "gpus"}}}
		f.Findings = []finding.Finding{{ID: finding.DeviceOptional, Severity: finding.Info, Subject: "gpus", Message: "there is none; the container runs without, as optional: says"}}
		return f
	},
	"limits": limits,
	"limits-refused": func() plan.Facts {
		f := limits()
		f.Profile.CPUs, f.Profile.MemLimit = 64, 1<<20
		f.Profile.Ulimits = map[string]profiles.Ulimit{"nofiles": {Soft: 1, Hard: 1}}
		return f
	},
	"secrets-and-configs": secretsAndConfigs,
	"secrets-refused": func() plan.Facts {
		f := secretsAndConfigs()
		f.Data = map[string]plan.DataSource{"secret-1": {}, "secret-2": {}, "config-1": {Error: "permission denied"}}
		f.Image.Paths["/app"] = plan.Path{Real: "/app", Dir: true, Mode: 0o755}
		return f
	},
	"volumes-read-only-below": volumesReadOnlyBelow,
	"volumes-that-want-labels-refused": func() plan.Facts {
		f := volumesReadOnlyBelow()
		f.Host.SELinux, f.Engine.MountOptions = true, nil
		return f
	},
	"security-modules": func() plan.Facts {
		f := simple()
		f.Profile.AppArmor, f.Profile.Label = "docker-default", "type:container_t"
		f.Host.AppArmor = true
		return f
	},
	"security-modules-that-are-not-there": func() plan.Facts {
		f := simple()
		f.Profile.AppArmor, f.Profile.Label = "docker-default", "type:container_t"
		return f
	},
	"security-label-refused": func() plan.Facts {
		f := simple()
		f.Profile.Label, f.Host.SELinux = "type:container_t", true
		return f
	},
	"links-with-the-hosts-network": func() plan.Facts {
		f := simple()
		f.Profile.Links = []profiles.Link{{Name: "db", Alias: "database", Key: "links[0]"}}
		return f
	},
	"links-on-a-bridge": func() plan.Facts {
		f := simple()
		f.Profile.NetworkMode = "bridge"
		f.Profile.Links = []profiles.Link{{Name: "db", Alias: "database", Key: "links[0]"}}
		return f
	},
	"hooks": hooks,
	"healthcheck-of-the-image": func() plan.Facts {
		f := simple()
		f.Image.Healthcheck = &profiles.Healthcheck{Test: []string{"CMD-SHELL", "curl -f localhost"}, Interval: time.Minute, Retries: 5}
		return f
	},
	"healthcheck-beside-the-images": func() plan.Facts {
		f := simple()
		f.Image.Healthcheck = &profiles.Healthcheck{Test: []string{"CMD-SHELL", "curl -f localhost"}, Interval: time.Minute, Retries: 5}
		f.Profile.Healthcheck = &profiles.Healthcheck{Interval: time.Second, OnFailure: "restart"}
		return f
	},
	"healthcheck-switched-off": func() plan.Facts {
		f := simple()
		f.Image.Healthcheck = &profiles.Healthcheck{Test: []string{"CMD", "true"}}
		f.Profile.NoHealthcheck = true
		return f
	},
	"healthcheck-without-a-test-refused": func() plan.Facts {
		f := simple()
		f.Profile.Healthcheck = &profiles.Healthcheck{Interval: time.Second}
		f.Profile.Lines["healthcheck"] = at(3)
		return f
	},
	"healthcheck-too-long-refused": func() plan.Facts {
		f := simple()
		f.Profile.Healthcheck = &profiles.Healthcheck{Test: []string{"CMD-SHELL", strings.Repeat("x", 5000)}}
		f.Profile.Lines["healthcheck"] = at(3)
		return f
	},
	"output-to-the-journal": func() plan.Facts {
		f := simple()
		f.Profile.Logging = &profiles.Logging{Driver: "journald", MaxSize: 20 << 20, MaxFiles: 5, Compress: true, Tag: "{{.Name}}"}
		return f
	},
	"hooks-of-a-one-off": func() plan.Facts {
		f := hooks()
		f.ID = "job-run-1"
		return f
	},
	"weights":             weights,
	"weights-in-cgroup-1": weightsInCgroup1,
	"weights-refused": func() plan.Facts {
		f := weights()
		f.Profile.CPUQuota, f.Profile.CPURTRuntime, f.Profile.CPUReservation, f.Profile.MemReservation = 2_000_000, 1000, 64, 64<<30
		f.Profile.Lines["cpu_quota"], f.Profile.Lines["cpu_rt_runtime"] = at(4), at(5)
		f.Profile.Lines["deploy.resources.reservations.cpus"] = at(6)
		f.Blocks[0].Type = "c"
		return f
	},
	"shared-namespaces": func() plan.Facts {
		f := simple()
		f.Profile.PID, f.Profile.UTS, f.Profile.Cgroup, f.Profile.CgroupParent = "container:web", "host", "host", "/jobs.slice"
		f.Profile.NetworkMode, f.Profile.Userns = "none", "host"
		f.Profile.Lines["pid"], f.Profile.Lines["cgroup_parent"] = at(3), at(4)
		return f
	},
	"user-namespace": func() plan.Facts {
		f := withOwnIDs(simple())
		f.Profile.Volumes = []profiles.Volume{
			{Type: "bind", Source: "/srv/models", Target: "/models", ReadOnly: true, Key: "volumes[0]"}, {Type: "volume", Source: "kept", Target: "/kept", Key: "volumes[1]"},
			{Type: "bind", Source: "/dev/shm/x", Target: "/x", Recursive: "disabled", Key: "volumes[2]"}, {Type: "bind", Source: "/sys/kernel/debug", Target: "/debug", Key: "volumes[3]"},
		}
		f.Sources = map[string]plan.Source{"/srv/models": {Exists: true, Dir: true}, "/dev/shm/x": {Exists: true, Dir: true}, "/sys/kernel/debug": {Exists: true, Dir: true}}
		f.Nodes = []devices.Node{{Path: "/dev/fuse", Destination: "/dev/fuse", Type: "c", Major: 10, Minor: 229, Mode: 0o666, Access: "rwm"}}
		f.Profile.CapAdd = []string{"NET_ADMIN", "SYS_PTRACE"}
		return f
	},
	"user-namespace-without-a-network": func() plan.Facts {
		f := withOwnIDs(simple())
		f.Profile.NetworkMode, f.Profile.CapAdd = "none", []string{"NET_ADMIN"}
		return f
	},
	"user-namespace-on-a-bridge": func() plan.Facts {
		f := withOwnIDs(simple())
		f.Profile.NetworkMode, f.Profile.CapAdd = "bridge", []string{"NET_ADMIN"}
		return f
	},
	"user-namespace-refused": func() plan.Facts {
		f := withOwnIDs(simple())
		f.Host.Kernel = "5.15.0-91-generic"
		f.IDs.Error = "all 2 ranges of user ids and 2 of group ids are taken (/etc/subuid, /etc/subgid)"
		f.Profile.PID, f.Profile.IPC, f.Profile.Privileged, f.Profile.Domainname, f.Profile.User, f.Profile.GroupAdd = "host", "host", true, "example.org", "70000", []string{"65536"}
		f.Profile.NetworkMode = "container:web"
		f.Profile.Volumes = []profiles.Volume{{Type: "bind", Source: "/srv", Target: "/srv", Propagation: "rshared", Key: "volumes[0]"}}
		f.Sources = map[string]plan.Source{"/srv": {Exists: true, Dir: true}}
		return f
	},
	"volumes-without-names": func() plan.Facts {
		f := simple()
		f.Profile.ReadOnly = true
		f.Profile.Volumes = []profiles.Volume{
			{Type: "volume", Anonymous: true, Target: "/srv/own", Key: "volumes[0]"}, {Type: "volume", Anonymous: true, Of: "db", Target: "/theirs", Key: "volumes[1]"},
			{Type: "volume", Source: "kept", Target: "/kept", Key: "volumes[2]"}, {Type: "volume", Source: "bare", Target: "/bare", NoCopy: true, Key: "volumes[3]"},
		}
		f.Image.Volumes = []string{"/var/lib/db", "/kept", "/kept/below", "/dev/shm", "cache/"}
		for _, p := range []string{"/kept", "/bare", "/srv/own"} {
			f.Image.Paths[p] = plan.Path{Real: p, Dir: true, Mode: 0o700, UID: 70, GID: 70}
		}
		return f
	},
	"ipc-of-another-container": func() plan.Facts {
		f := simple()
		f.Profile.IPC, f.Profile.OpenSystemPaths, f.Profile.MemLimit = "container:mps", true, 1<<30
		f.Profile.Lines["ipc"], f.Profile.Lines["security_opt.systempaths"], f.Profile.Lines["mem_limit"] = at(3), at(4), at(5)
		f.Host.CgroupVersion, f.Host.SwapAccounting = 1, true
		return f
	},
	"ipc-of-nobody": func() plan.Facts {
		f := simple()
		f.Profile.IPC = "none"
		return f
	},
	"processes-of-the-host": func() plan.Facts {
		f := simple()
		mask := uint32(0o027)
		f.Profile.PID, f.Profile.Umask = "host", &mask
		f.Profile.Lines["umask"] = at(3)
		return f
	},
	"privileged": func() plan.Facts {
		f := withDevices()
		f.Profile.Privileged = true
		f.Profile.Lines["privileged"] = at(3)
		return f
	},
	"capabilities-and-own-seccomp": func() plan.Facts {
		f := simple()
		off := false
		f.Profile.CapDrop, f.Profile.CapAdd = []string{"ALL"}, []string{"SYS_ADMIN", "CAP_SYS_PTRACE"}
		f.Profile.NoNewPrivileges = &off
		f.Profile.Seccomp = "/srv/jobs/seccomp.json"
		f.Profile.SeccompProfile, _ = json.Marshal(smallSeccomp())
		return f
	},
	"capability-that-containerd-lacks-refused": func() plan.Facts {
		f := simple()
		f.Engine.Capabilities = []string{"CAP_CHOWN", "CAP_KILL", "CAP_SETUID"}
		f.Profile.CapAdd = []string{"SYS_RESOURCE", "KILL"}
		f.Profile.Lines["cap_add[0]"] = at(4)
		return f
	},
	"limits-without-sys-resource": func() plan.Facts {
		f := simple()
		score := -500
		f.Profile.OOMScoreAdj = &score
		f.Profile.Ulimits = map[string]profiles.Ulimit{"rtprio": {Soft: 99, Hard: 99}, "nproc": {Soft: 1000, Hard: -1}, "core": {Soft: -1, Hard: -1}}
		f.Engine.Limits, f.Engine.OOMScoreFixed, f.Engine.OOMScoreAdj = map[string]uint64{"nproc": 96365, "rtprio": 0}, true, 1
		f.Profile.Lines["ulimits"], f.Profile.Lines["ulimits.rtprio"], f.Profile.Lines["oom_score_adj"] = at(4), at(5), at(8)
		return f
	},
	"own-seccomp-refused": func() plan.Facts {
		f := simple()
		f.Profile.Seccomp, f.Profile.SeccompProfile = "/srv/jobs/seccomp.json", []byte("{")
		f.Profile.Lines["security_opt"] = at(8)
		return f
	},
	"proof-refuses": func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Proof = proofOf(finding.Finding{ID: finding.NativeMissing, Severity: finding.Error, Subject: "pkg._a",
			Got: "/opt/hostrun/site/0/pkg/_a.so", Message: "ImportError: libgone.so.1: cannot open shared object file: No such file or directory"})
		return f
	},
	"proof-warns": func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Proof = proofOf(aWarning)
		return f
	},
	"proof-warns-and-strict-refuses": func() plan.Facts {
		f := borrowing(venvHost(11))
		f.Proof, f.Strict = proofOf(aWarning), true
		return f
	},
	"init-tty-stop-labels": initTTYStopLabels,
	"init-not-installed-refused": func() plan.Facts {
		f := simple()
		f.Profile.Init, f.Engine.InitBinary = true, ""
		return f
	},
	"labels-refused": func() plan.Facts {
		f := simple()
		f.Profile.Labels = map[string]string{"hostrun.dev/state": "ready", "big": strings.Repeat("x", 5000)}
		f.Profile.Lines["labels"] = at(9)
		return f
	},
	"entrypoint-drops-the-images-command": func() plan.Facts {
		f := simple()
		f.Image.Entrypoint, f.Image.Cmd = []string{"/entrypoint.sh"}, []string{"serve"}
		f.Profile.Entrypoint = command("/bin/echo", "hello")
		f.Profile.Lines["entrypoint"] = at(2)
		return f
	},
	"no-command-refused": func() plan.Facts {
		f := simple()
		f.Image.Cmd = nil
		return f
	},
	"foreign-image-refused": func() plan.Facts {
		f := simple()
		f.Image.Arch = "arm64"
		return f
	},
}

// withOwnIDs gives the container a user namespace.
func withOwnIDs(f plan.Facts) plan.Facts {
	f.Profile.Userns = "private"
	f.Profile.Lines["userns_mode"] = at(2)
	f.Host.Kernel = "6.8.0-45-generic"
	f.IDs = &plan.IDRange{UID: 0x70010000, GID: 0x70020000, Size: 65536}
	return f
}
