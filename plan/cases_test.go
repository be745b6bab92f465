package plan_test

import (
	"encoding/json"
	"strings"
	"time"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/devices"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

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
	"pth-and-editable": pthAndEditable,
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

	"devices": withDevices,
	"limits":  limits,
	"limits-refused": func() plan.Facts {
		f := limits()
		f.Profile.CPUs, f.Profile.MemLimit = 64, 1<<20
		f.Profile.Ulimits = map[string]profiles.Ulimit{"nofiles": {Soft: 1, Hard: 1}}
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
	"own-seccomp-refused": func() plan.Facts {
		f := simple()
		f.Profile.Seccomp, f.Profile.SeccompProfile = "/srv/jobs/seccomp.json", []byte("{")
		f.Profile.Lines["security_opt"] = at(8)
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

// borrowing is the least profile that borrows the packages of h.
func borrowing(h *host.Python) plan.Facts {
	f := simple()
	f.Profile.Python.Interpreter = "auto"
	f.Profile.Command = command("python3", "train.py")
	f.Profile.Lines["python"], f.Profile.Lines["command"] = at(3), at(2)
	f.Host.Python = h
	f.Image.Pythons = []abi.Python{python("/usr/local/bin/python3", 11)}
	f.Image.Paths["/opt"] = plan.Path{Real: "/opt", Dir: true, Mode: 0o755}
	return f
}

// venvHost is a virtual environment with a site directory, and one that a second name leads to.
func venvHost(minor int) *host.Python {
	p := python("/home/u/venv/bin/python3", minor)
	p.Prefix = "/home/u/venv"
	site := p.Prefix + "/lib/python3.11/site-packages"
	p.SiteDirs = []string{site, p.Prefix + "/lib64/python3.11/site-packages"}
	p.Venv = &abi.Venv{Dir: p.Prefix, Home: "/usr/bin", Version: "3.11.4"}
	return &host.Python{Python: p, Kind: "venv", Sites: []host.Site{
		{Path: site, Real: site, Kind: "site-packages", Files: 20000, Bytes: 5 << 30, Modules: []string{"torch"}, Mode: 0o755},
		{Path: p.SiteDirs[1], Real: site, Kind: "site-packages", Files: 20000, Bytes: 5 << 30},
	}, Packages: []host.Package{{Name: "torch", Version: "2.6.0", Site: site, TopLevel: []string{"torch"}}}}
}

func condaHost() *host.Python {
	p := python("/home/u/anaconda3/bin/python3", 11)
	p.Prefix, p.BasePrefix, p.Layout = "/home/u/anaconda3", "/home/u/anaconda3", "conda"
	site := p.Prefix + "/lib/python3.11/site-packages"
	p.SiteDirs = []string{site}
	return &host.Python{Python: p, Kind: "conda", Sites: []host.Site{
		{Path: site, Real: site, Kind: "site-packages", Files: 30000, Bytes: 7 << 30, Mode: 0o755},
		{Path: "/home/u/.local/lib/python3.11/site-packages", Real: "/home/u/.local/lib/python3.11/site-packages", Kind: "user", Files: 10, Bytes: 1 << 20, Mode: 0o755},
	}}
}

// dinov2 is the seed's own example: conda on the host, conda in the image, the packages mounted over the image's.
func dinov2() plan.Facts {
	f := simple()
	f.Profile.Name, f.Profile.Image = "dinov2", "dinov2:latest"
	f.Profile.File, f.Profile.Dir = "/srv/dinov2/dinov2.yaml", "/srv/dinov2"
	f.Profile.Python = profiles.Python{Interpreter: "/home/u/anaconda3/bin/python3", Target: "/opt/conda/lib/python3.11/site-packages", Packages: []string{"torch"}}
	f.Profile.CUDA = "/usr/local/cuda"
	f.Profile.Command = command("python3", "tests/test_dinov2_images.py")
	f.Profile.WorkingDir = "/workspace"
	f.Profile.IPC = "host"
	f.Profile.Volumes = []profiles.Volume{{Type: "bind", Source: "/srv/dinov2", Target: "/workspace", Key: "volumes[0]"}}
	for key, line := range map[string]int{"image": 1, "python": 2, "python.target": 4, "cuda": 6, "command": 7, "working_dir": 8, "volumes[0]": 9, "ipc": 10} {
		f.Profile.Lines[key] = profiles.Position{File: f.Profile.File, Line: line}
	}
	f.Sources = map[string]plan.Source{"/srv/dinov2": {Exists: true, Dir: true}}
	f.Host.Python = condaHost()
	f.Host.Python.Sites = f.Host.Python.Sites[:1]
	f.Host.CUDA = cuda124()
	p := python("/opt/conda/bin/python3", 11)
	p.Prefix, p.BasePrefix, p.Layout, p.Real = "/opt/conda", "/opt/conda", "conda", "/opt/conda/bin/python3.11"
	p.SiteDirs = []string{"/opt/conda/lib/python3.11/site-packages"}
	f.Image.Reference = "docker.io/library/dinov2:latest"
	f.Image.Env = []string{"PATH=/opt/conda/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	f.Image.Pythons = []abi.Python{p}
	f.Image.Paths["/opt/conda/lib/python3.11/site-packages"] = plan.Path{Real: "/opt/conda/lib/python3.11/site-packages", Dir: true, Mode: 0o755, Entries: 12}
	return f
}

func cuda124() *host.CUDA {
	return &host.CUDA{
		Path: "/usr/local/cuda", Real: "/usr/local/cuda-12.4", Version: "12.4.1", NVCC: true,
		Links: []string{"/usr/local/cuda -> /etc/alternatives/cuda", "/etc/alternatives/cuda -> /usr/local/cuda-12.4"},
		Stubs: []string{"/usr/local/cuda-12.4/targets/x86_64-linux/lib/stubs"}, LibDirs: []string{"/usr/local/cuda-12.4/targets/x86_64-linux/lib"},
	}
}

// pthAndEditable has .pth directories inside and outside of the site directory, one of them where the image has files of
// its own, and two editable installs, one of which can't keep its path.
func pthAndEditable() plan.Facts {
	h := venvHost(11)
	site := h.Sites[0].Path
	h.Sites[0].Pth = []host.PthFile{{Name: "extra.pth", Paths: []string{site + "/vendored", "/home/u/src/lib", "/usr/share/pylib", "/srv/code"}}}
	for _, p := range h.Sites[0].Pth[0].Paths {
		h.Sites = append(h.Sites, host.Site{Path: p, Real: p, Kind: "pth", Files: 3, Bytes: 1000})
	}
	h.Packages = append(h.Packages, host.Package{Name: "proj", Site: site, Editable: "/home/u/proj"}, host.Package{Name: "sys", Site: site, Editable: "/var/lib/sys"})
	f := borrowing(h)
	f.Image.Paths["/srv/code"] = plan.Path{Real: "/srv/code", Dir: true, Mode: 0o755, Entries: 7}
	for _, p := range []string{"/home/u/proj", "/var/lib/sys"} {
		f.Host.Findings = append(f.Host.Findings, finding.Finding{
			ID: finding.SitePathIgnored, Severity: finding.Warning, Subject: p, Message: "its source " + p + " is not mounted, and the import fails",
			Remedy: "mount it at the same path under volumes: \"" + p + ":" + p + ":ro\", or install it",
		})
	}
	return f
}

func volumesOfEveryForm() plan.Facts {
	f := simple()
	f.Profile.User = "1000"
	f.Profile.Volumes = []profiles.Volume{
		{Type: "bind", Source: "/srv/data", Target: "/data/deep/down", Key: "volumes[0]"},
		{Type: "bind", Source: "/srv/ro", Target: "/data", ReadOnly: true, Key: "volumes[1]"},
		{Type: "bind", Source: "/srv/file", Target: "/etc/app.conf", ReadOnly: true, Recursive: "disabled", Key: "volumes[2]"},
		{Type: "bind", Source: "/srv/made", Target: "/made", CreateHostPath: true, Key: "volumes[3]"},
		{Type: "bind", Source: "/mnt/shared", Target: "/mnt/shared", Propagation: "rshared", Key: "volumes[4]"},
		{Type: "bind", Source: "/mnt/slave", Target: "/mnt/slave", Propagation: "rslave", Key: "volumes[5]"},
		{Type: "volume", Source: "cache", Target: "/home/app/.cache", Key: "volumes[6]"},
		{Type: "volume", Source: "models", Target: "/models", ReadOnly: true, Key: "volumes[7]"},
		{Type: "tmpfs", Target: "/scratch", TmpfsSize: 1 << 30, TmpfsMode: 0o700, Key: "volumes[8]"},
		{Type: "tmpfs", Target: "/tmp", Key: "tmpfs[0]"},
		{Type: "bind", Source: "/srv/hosts", Target: "/etc/hosts", Key: "volumes[9]"},
	}
	f.Sources = map[string]plan.Source{}
	for _, p := range []string{"/srv/data", "/srv/ro", "/mnt/shared", "/mnt/slave"} {
		f.Sources[p] = plan.Source{Exists: true, Dir: true}
	}
	f.Sources["/srv/file"], f.Sources["/srv/hosts"] = plan.Source{Exists: true}, plan.Source{Exists: true}
	f.Sources["/srv/made"] = plan.Source{}
	f.Image.Paths["/home/app/.cache"] = plan.Path{Real: "/home/app/.cache", Dir: true, Mode: 0o700, UID: 1000, GID: 1000}
	f.Profile.Lines["volumes[0]"], f.Profile.Lines["tmpfs[0]"] = at(4), at(20)
	return f
}

func volumesRefused() plan.Facts {
	f := simple()
	f.Profile.User = "1000"
	f.Profile.Volumes = []profiles.Volume{
		{Type: "bind", Source: "/srv/it's missing", Target: "/data", Key: "volumes[0]"},
		{Type: "bind", Source: "/srv/dir", Target: "/etc/passwd", Key: "volumes[1]"},
		{Type: "bind", Source: "/srv/dir", Target: "/var/run/app", Key: "volumes[2]"},
		{Type: "bind", Source: "/srv/file", Target: "/run/app", Key: "volumes[3]"},
		{Type: "volume", Source: "cache", Target: "/root/.cache", Key: "volumes[4]"},
		{Type: "bind", Source: "/srv/closed/x", Target: "/x", Key: "volumes[5]"},
		{Type: "tmpfs", Target: "relative", Key: "tmpfs[0]"},
	}
	for i, v := range f.Profile.Volumes {
		f.Profile.Lines[v.Key] = at(4 + i)
	}
	f.Sources = map[string]plan.Source{
		"/srv/it's missing": {}, "/srv/dir": {Exists: true, Dir: true}, "/srv/file": {Exists: true}, "/srv/closed/x": {Error: "permission denied"},
	}
	f.Image.Paths["/etc/passwd"] = plan.Path{Real: "/etc/passwd", Mode: 0o644}
	f.Image.Paths["/root"] = plan.Path{Real: "/root", Dir: true, Mode: 0o700}
	f.Image.Paths["/var/run"] = plan.Path{Real: "/run", Dir: true, Mode: 0o755}
	return f
}

func withDevices() plan.Facts {
	f := simple()
	f.Profile.Devices = []profiles.Device{{Source: "/dev/fuse", Target: "/dev/fuse", Permissions: "rwm", Key: "devices[0]"}, {Source: "/dev/dri", Target: "/dev/dri", Key: "devices[1]"}}
	f.Profile.Lines["devices[0]"], f.Profile.Lines["devices[1]"] = at(5), at(6)
	f.Nodes = []devices.Node{
		{Path: "/dev/fuse", Destination: "/dev/fuse", Type: "c", Major: 10, Minor: 229, Mode: 0o666, Access: "rwm"},
		{Path: "/dev/dri/card0", Destination: "/dev/dri/card0", Type: "c", Major: 226, Minor: 0, Mode: 0o660, GID: 44, Access: "rw"},
		{Path: "/dev/dri/renderD128", Destination: "/dev/dri/renderD128", Type: "c", Major: 226, Minor: 128, Mode: 0o660, GID: 106},
		{Path: "/dev/null", Destination: "/dev/null", Type: "c", Major: 1, Minor: 3, Mode: 0o666, Access: "rw"},
	}
	f.Engine.NoFileMax = 20000
	return f
}

func limits() plan.Facts {
	f := simple()
	f.Profile.CPUs, f.Profile.CPUSet = 2.5, "0-3"
	f.Profile.MemLimit, f.Profile.PidsLimit = 8<<30, 512
	f.Profile.Ulimits = map[string]profiles.Ulimit{"nofile": {Soft: 1024, Hard: -1}, "memlock": {Soft: -1, Hard: -1}, "core": {}}
	f.Engine.MemlockMax = 8 << 20
	for key, line := range map[string]int{"cpus": 2, "cpuset": 3, "mem_limit": 4, "pids_limit": 5, "ulimits.nofile": 7, "ulimits": 6} {
		f.Profile.Lines[key] = at(line)
	}
	return f
}

func initTTYStopLabels() plan.Facts {
	f := simple()
	grace := 90 * time.Second
	f.ID = "job-run-0a1b2c3d"
	f.Profile.Init, f.Profile.TTY, f.Profile.StdinOpen = true, true, true
	f.Profile.Environment = []profiles.EnvVar{{Name: "TERM", Value: "screen"}, {Name: "LANG", Value: "de_DE.UTF-8"}, {Name: "CUDA_VISIBLE_DEVICES", Value: "0"}}
	f.Profile.Labels = map[string]string{"team": "vision"}
	f.Profile.Annotations = map[string]string{"org.example.note": "x"}
	f.Profile.StopGracePeriod = &grace
	f.Image.StopSignal = "SIGINT"
	f.Profile.Lines["init"], f.Profile.Lines["environment"], f.Profile.Lines["environment.LANG"] = at(3), at(5), at(7)
	return f
}
