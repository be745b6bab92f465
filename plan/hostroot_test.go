package plan_test

import (
	"slices"
	"strings"
	"testing"

	"hostrun.dev/hostrun/abi"
	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/host"
	"hostrun.dev/hostrun/plan"
	"hostrun.dev/hostrun/profiles"
)

func init() {
	for name, facts := range map[string]func() plan.Facts{
		"host-root": hostRoot,
		"host-root-split-usr": func() plan.Facts {
			f := hostRoot()
			f.Image.Root = []plan.RootEntry{{Path: "/bin", Dir: true}, {Path: "/etc/passwd"}, {Path: "/lib", Dir: true}, {Path: "/lib64", Dir: true},
				{Path: "/sbin", Dir: true}, {Path: "/usr", Dir: true}}
			return f
		},
		"host-root-writable": func() plan.Facts {
			f := hostRoot()
			f.Profile.ReadOnly = false
			f.Profile.User = "ann"
			f.Image.Root = append(f.Image.Root, plan.RootEntry{Path: "/opt/a,b", Dir: true})
			return f
		},
		"host-root-without-recursive-read-only": func() plan.Facts {
			f := hostRoot()
			f.Engine.MountOptions, f.Engine.OCIRuntime = nil, "crun 1.3"
			return f
		},
		"host-root-python-at-home": func() plan.Facts {
			f := hostRoot()
			f.Profile.User = "ann"
			f.Profile.Python.Interpreter = "/home/ann/venv"
			f.Profile.Command = command("python3", "-c", "import torch")
			f.Host.Python = annsVenv()
			return f
		},
		"host-root-cuda": func() plan.Facts {
			f := hostRoot()
			f.Profile.CUDA = "auto"
			f.Host.CUDA = cuda124()
			return f
		},
		"host-root-volumes": func() plan.Facts {
			f := hostRoot()
			f.Profile.Volumes = []profiles.Volume{
				{Type: "bind", Source: "/srv/tmp", Target: "/tmp", Key: "volumes[0]"},
				{Type: "bind", Source: "/srv/opt", Target: "/opt", Key: "volumes[1]"},
				{Type: "bind", Source: "/srv/etc", Target: "/usr/local/etc", Key: "volumes[2]"},
				{Type: "bind", Source: "/srv/data", Target: "/data", Key: "volumes[3]"},
			}
			f.Sources = map[string]plan.Source{}
			for _, v := range f.Profile.Volumes {
				f.Sources[v.Source] = plan.Source{Exists: true, Dir: true}
			}
			f.Image.Paths["/usr/local/etc"] = plan.Path{Real: "/usr/local/etc", Dir: true, Mode: 0o755}
			return f
		},
		"host-root-refused": func() plan.Facts {
			f := hostRoot()
			f.Profile.User = "bob"
			f.Profile.Command = nil
			f.Profile.Volumes = []profiles.Volume{{Type: "volume", Source: "v", Target: "/usr/share/models", Key: "volumes[0]"}}
			f.Profile.Lines["volumes[0]"], f.Profile.Lines["user"], f.Profile.Lines["python"] = at(4), at(5), at(6)
			f.Profile.Python.Interpreter = "auto"
			f.Host.Python = annsVenv()
			f.Host.Python.Prefix = "/home/ann"
			return f
		},
		"host-root-another-python": func() plan.Facts {
			f := hostRoot()
			f.Profile.Python.Interpreter = "auto"
			f.Profile.Command = command("bash", "-c", "exec /usr/bin/python3 train.py")
			f.Profile.Lines["command"] = at(3)
			f.Host.Python = annsVenv()
			return f
		},
	} {
		cases[name] = facts
	}
}

// hostRoot is a profile without image on a distribution with merged /usr, and a file system of its own for /usr/local.
func hostRoot() plan.Facts {
	f := simple()
	f.Profile.Image, f.Profile.Rootfs, f.Profile.ReadOnly = "", profiles.HostRoot, true
	f.Profile.Command = command("env")
	f.Profile.Lines = map[string]profiles.Position{"rootfs": at(1), "command": at(2)}
	f.Image = plan.Image{
		Users:  []plan.User{{Name: "root", Home: "/root"}, {Name: "ann", UID: 1000, GID: 1000, Home: "/home/ann"}, {Name: "nobody", UID: 65534, GID: 65534, Home: "/nonexistent"}},
		Groups: []plan.Group{{Name: "root"}, {Name: "video", GID: 44, Members: []string{"ann"}}},
		Paths:  map[string]plan.Path{},
		Root: []plan.RootEntry{
			{Path: "/bin", Link: "usr/bin"}, {Path: "/etc/ld.so.cache"}, {Path: "/etc/localtime", Link: "/usr/share/zoneinfo/UTC"}, {Path: "/etc/passwd"},
			{Path: "/etc/ssl/certs", Dir: true}, {Path: "/lib64", Link: "usr/lib64"}, {Path: "/opt/conda", Dir: true},
			{Path: "/usr", Dir: true, Mounts: []string{"/usr/local", "/usr/local/etc/keys"}}, {Path: "/usr/local/etc", Dir: true},
		},
	}
	return f
}

// annsVenv is a virtual environment at home, of an interpreter that uv keeps there, with packages of the user's own.
func annsVenv() *host.Python {
	p := python("/home/ann/venv/bin/python3", 11)
	const base = "/home/ann/.local/share/uv/python/cpython-3.11-linux-x86_64-gnu"
	p.Prefix, p.BasePrefix, p.Stdlib, p.Real = "/home/ann/venv", base, base+"/lib/python3.11", base+"/bin/python3.11"
	p.Venv = &abi.Venv{Dir: p.Prefix, Home: base + "/bin"}
	site := p.Prefix + "/lib/python3.11/site-packages"
	return &host.Python{Python: p, Kind: "uv", Sites: []host.Site{
		{Path: site, Real: site, Kind: "site-packages", Bytes: 5 << 30, Mode: 0o755},
		{Path: "/home/ann/.local/lib/python3.11/site-packages", Real: "/home/ann/.local/lib/python3.11/site-packages", Kind: "user", Mode: 0o755},
		{Path: "/usr/lib/python3/dist-packages", Real: "/usr/lib/python3/dist-packages", Kind: "dist-packages", Mode: 0o755},
	}, Packages: []host.Package{{Name: "job", Version: "1", Site: site, Editable: "/home/ann/src/job"}}}
}

// secrets are files that a root without an image must not show, each as a place that some program is known to use.
var secrets = []string{
	"/root/.ssh/id_ed25519", "/home/ann/.netrc", "/home/ann/.pgpass", "/home/ann/.docker/config.json", "/home/ann/.kube/config", "/root/.aws/credentials",
	"/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/sudoers", "/etc/sudoers.d/ann", "/etc/ssh/ssh_host_ed25519_key", "/etc/ssl/private/key.pem",
	"/etc/pki/tls/private/localhost.key", "/etc/pki/entitlement/1.pem", "/etc/krb5.keytab", "/etc/wpa_supplicant/wpa_supplicant.conf",
	"/etc/NetworkManager/system-connections/wifi.nmconnection", "/etc/kubernetes/admin.conf", "/etc/rancher/k3s/k3s.yaml", "/etc/docker/key.json",
	"/etc/containers/auth.json", "/etc/cni/net.d/calico-kubeconfig", "/etc/wireguard/wg0.conf", "/etc/openvpn/client.key", "/etc/ipsec.secrets",
	"/etc/ppp/chap-secrets", "/etc/machine-id", "/etc/environment", "/etc/profile", "/etc/bash.bashrc", "/etc/bashrc", "/etc/profile.d/proxy.sh", "/etc/pip.conf", "/etc/gitconfig", "/etc/netrc",
	"/etc/apt/auth.conf.d/90pro.conf", "/etc/yum.repos.d/rhn.repo", "/etc/nvidia/ClientConfigToken/client.tok", "/etc/cups/printers.conf", "/etc/mysql/debian.cnf",
	"/etc/letsencrypt/live/x/privkey.pem", "/etc/security/opasswd", "/etc/fstab", "/etc/crypttab", "/etc/exports", "/etc/cron.d/backup", "/etc/systemd/system/x.service",
	"/etc/credstore/db", "/etc/credstore.encrypted/db", "/etc/munge/munge.key", "/etc/slurm/slurmdbd.conf", "/etc/ceph/ceph.client.admin.keyring", "/etc/postfix/sasl_passwd",
	"/var/lib/sss/secrets/x", "/var/lib/docker/x", "/var/lib/kubelet/pki/x", "/var/lib/cloud/instance/user-data.txt", "/var/lib/NetworkManager/secret_key",
	"/var/lib/dhcp/x", "/var/log/auth.log", "/var/spool/cron/root", "/var/mail/root", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/user/1000/bus",
	"/run/secrets/token", "/run/credentials/x", "/boot/grub/grub.cfg", "/srv/data", "/mnt/nfs", "/usr/local/etc/api.key", "/usr/local/var/db", "/usr/home/ann/.netrc",
	"/usr/etc/shadow", "/usr/etc/ssh/ssh_host_ed25519_key", "/usr/lib/credstore/db", "/usr/lib/credstore.encrypted/db", "/usr/local/lib/credstore/db",
}

// TestSecretsAreNotInTheHostsRoot: the allow-list matches none of them, and no mount of a plan shows one.
func TestSecretsAreNotInTheHostsRoot(t *testing.T) {
	f := hostRoot()
	f.Image.Root = nil
	for _, p := range plan.HostRootPaths() {
		f.Image.Root = append(f.Image.Root, plan.RootEntry{Path: p, Dir: true}) // the worst case: everything is a directory
	}
	for _, readOnly := range []bool{true, false} {
		f.Profile.ReadOnly = readOnly
		pl := build(t, f)
		for _, secret := range secrets {
			shown := ""
			for _, m := range pl.Spec.Mounts { // the nearest one counts
				if strings.HasPrefix(secret, m.Destination+"/") || secret == m.Destination {
					shown = m.Type + " of " + m.Source
				}
			}
			if shown != "" && !strings.HasPrefix(shown, "tmpfs") {
				t.Errorf("%s is shown by %s", secret, shown)
			}
		}
	}
}

// TestHostRootNeedsNoImage: what is asked of the machine's files is no more than the places of mounts.
func TestHostRootNeedsNoImage(t *testing.T) {
	f := hostRoot()
	f.Profile.Python.Interpreter, f.Profile.CUDA = "auto", "auto"
	if n := plan.Needs(&f.Profile); n.Python || n.Paths != nil {
		t.Errorf("needs %+v", n)
	}
	pl := build(t, hostRoot())
	if pl.Image != "" || pl.ChainID != "" || pl.Root == nil || !pl.Spec.Root.Readonly {
		t.Errorf("image %q, layers %q, root %+v", pl.Image, pl.ChainID, pl.Root)
	}
}

// TestHostRootChangesTheHash: an image's container and one without an image are never taken for each other, and a file
// that appears in the machine's /etc makes another container.
func TestHostRootChangesTheHash(t *testing.T) {
	first := build(t, hostRoot())
	more := hostRoot()
	more.Image.Root = append(more.Image.Root, plan.RootEntry{Path: "/etc/vulkan", Link: "/usr/share/vulkan"})
	if second := build(t, more); second.Hash == first.Hash {
		t.Error("a new link in the root does not change the hash")
	}
}

// TestClosedFilesAreHidden: whatever the profile says of system paths; but not what it brings itself. A key that appears, or a socket
// that goes, is no reason to make a container anew.
func TestClosedFilesAreHidden(t *testing.T) {
	without := build(t, hostRoot())
	for name, change := range map[string]func(*profiles.Profile){
		"plain": func(*profiles.Profile) {}, "privileged": func(p *profiles.Profile) { p.Privileged = true },
		"systempaths": func(p *profiles.Profile) { p.OpenSystemPaths = true }, "writable": func(p *profiles.Profile) { p.ReadOnly = false },
	} {
		f := hostRoot()
		f.Image.Root[6].Closed = []string{"/opt/conda/.netrc", "/opt/conda/data", "/opt/conda/run.sock", "/opt/conda/venv", "/opt/conda/work"}
		f.Image.Root[7].Closed = []string{"/usr/local/etc/key", "/usr/local/key"}
		f.Profile.Volumes = []profiles.Volume{{Type: "bind", Source: "/srv/data", Target: "/opt/conda/data", Key: "volumes[0]"}, {Type: "bind", Source: "/srv/w", Target: "/opt/conda/work/x", Key: "volumes[1]"}}
		f.Sources = map[string]plan.Source{"/srv/data": {Exists: true, Dir: true}, "/srv/w": {Exists: true, Dir: true}}
		f.Image.Paths["/opt/conda/data"] = plan.Path{Real: "/opt/conda/data", Dir: true, Mode: 0o700}
		f.Image.Paths["/opt/conda/work/x"] = plan.Path{Real: "/opt/conda/work/x", Dir: true, Mode: 0o700}
		f.Profile.Command = command("/opt/conda/venv/bin/python3")
		change(&f.Profile)
		pl := build(t, f)
		var hidden []string
		for _, p := range pl.Spec.Linux.MaskedPaths {
			if !strings.HasPrefix(p, "/proc/") && !strings.HasPrefix(p, "/sys/") {
				hidden = append(hidden, p)
			}
		}
		if want := []string{"/opt/conda/.netrc", "/opt/conda/run.sock", "/usr/local/key"}; !slices.Equal(hidden, want) {
			t.Errorf("%s: %q, want %q", name, hidden, want)
		}
	}
	f := hostRoot()
	f.Image.Root[6].Closed = []string{"/opt/conda/run.sock"}
	if with := build(t, f); with.Hash != without.Hash {
		t.Error("a socket of the machine makes another container")
	}
}

// TestEnvironmentInASystemDirectoryIsNotBound: an interpreter of the distribution needs no mount.
func TestEnvironmentInASystemDirectoryIsNotBound(t *testing.T) {
	f := hostRoot()
	f.Profile.Python.Interpreter = "auto"
	p := python("/usr/bin/python3", 11)
	p.Prefix, p.BasePrefix, p.Stdlib, p.Real = "/usr", "/usr", "/usr/lib/python3.11", "/usr/bin/python3.11"
	f.Host.Python = &host.Python{Python: p, Kind: "debian", Sites: []host.Site{{Path: "/usr/lib/python3/dist-packages", Real: "/usr/lib/python3/dist-packages", Mode: 0o755}}}
	if pl := build(t, f); len(pl.Borrowed) > 0 {
		t.Errorf("borrowed: %+v", pl.Borrowed)
	}
}

// TestWholeHomeIsRefused for every directory that is a home or contains one.
func TestWholeHomeIsRefused(t *testing.T) {
	for _, prefix := range []string{"/home/ann", "/home/zoe", "/root", "/", "/home", "/srv", "/var", "/data/people", "/home/ann/.local"} {
		f := hostRoot()
		f.Image.Users = append(f.Image.Users, plan.User{Name: "eve", UID: 1001, Home: "/data/people/eve"})
		f.Profile.Python.Interpreter = "auto"
		f.Host.Python = annsVenv()
		f.Host.Python.Prefix = prefix
		pl, err := plan.Build(f)
		refused := slices.ContainsFunc(pl.Findings, func(x finding.Finding) bool { return x.ID == finding.RootWholeHome && x.Subject == prefix })
		if err == nil || !refused {
			t.Errorf("%s: %v", prefix, pl.Findings)
		}
	}
}

// TestWhatTheHostsRootShowsIsNoFinding: a .pth line that leads to a system directory leads nowhere in an image, and there in this root.
func TestWhatTheHostsRootShowsIsNoFinding(t *testing.T) {
	f := hostRoot()
	f.Profile.Python.Interpreter = "auto"
	f.Host.Python = annsVenv()
	for _, p := range []string{"/usr/share/job", "/srv/job"} {
		f.Host.Findings = append(f.Host.Findings, finding.Finding{ID: finding.SitePathIgnored, Severity: finding.Warning, Subject: p, Remedy: `add "` + p + ":" + p + `:ro" to volumes:`})
	}
	var told []string
	for _, x := range build(t, f).Findings {
		told = append(told, x.Subject)
	}
	if !slices.Equal(told, []string{"/srv/job"}) {
		t.Errorf("told of %q", told)
	}
}

// TestLinksOutOfTheHostsRootAreFollowed: the container has the link, and needs what it leads to.
func TestLinksOutOfTheHostsRootAreFollowed(t *testing.T) {
	for _, real := range []string{"/data/conda", "/data/miniconda3"} {
		f := hostRoot()
		f.Profile.Python.Interpreter = "auto"
		p := python("/usr/local/conda/bin/python3", 11)
		p.Prefix, p.BasePrefix, p.Stdlib, p.Real = "/usr/local/conda", "/usr/local/conda", "/usr/local/conda/lib/python3.11", real+"/bin/python3.11"
		f.Host.Python = &host.Python{Python: p, Kind: "conda", Sites: []host.Site{
			{Path: p.Prefix + "/lib/python3.11/site-packages", Real: real + "/lib/python3.11/site-packages", Mode: 0o755}}}
		if got := build(t, f).Borrowed; len(got) != 1 || got[0].Source != real {
			t.Errorf("borrowed: %+v, want %s", got, real)
		}
	}
}

// TestInterpreterThatALinkAtHomeLeadsTo: the link itself is not in the container, so PATH names the environment's directory.
func TestInterpreterThatALinkAtHomeLeadsTo(t *testing.T) {
	f := hostRoot()
	f.Profile.Python.Interpreter = "auto"
	f.Profile.Command = command("python3", "train.py")
	f.Host.Python = annsVenv()
	f.Host.Python.Executable, f.Host.Python.Prefix, f.Host.Python.Venv = "/home/ann/.local/bin/python3", f.Host.Python.BasePrefix, nil
	f.Host.Python.Sites = f.Host.Python.Sites[1:]
	pl := build(t, f)
	if want := "PATH=" + f.Host.Python.BasePrefix + "/bin:"; !strings.HasPrefix(pl.Spec.Process.Env[0], want) {
		t.Errorf("%s, want %s", pl.Spec.Process.Env[0], want)
	}
	if len(pl.Findings) > 0 {
		t.Errorf("findings: %v", pl.Findings)
	}
	f.Profile.Command = command("/home/ann/.local/bin/python3", "train.py")
	if told := build(t, f).Findings; len(told) != 1 || told[0].ID != finding.RootOtherPython {
		t.Errorf("a command that the container lacks: %v", told)
	}
}
