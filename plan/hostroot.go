package plan

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/finding"
	"hostrun.dev/hostrun/profiles"
)

// A RootEntry is one of the machine's own files of which a root without an image is made.
type RootEntry struct {
	Path   string   `json:"path"`
	Link   string   `json:"link,omitempty"` // target of a symbolic link, as it is written
	Dir    bool     `json:"dir,omitempty"`
	Mounts []string `json:"mounts,omitempty"` // file systems that are mounted below it, sorted
	Closed []string `json:"closed,omitempty"` // what is below it and nobody else's business: closed to others, or a socket; sorted
}

// A Root is the directory that is the root of a container without an image: all that no mount covers. It lies in the
// container's own directory and is made once, with the container; what the container changes in it later stays its own.
type Root struct {
	Path        string      `json:"path"`                  // on the host
	Directories []Directory `json:"directories,omitempty"` // in the root, parents first
	Links       []Link      `json:"links,omitempty"`       // in the root
}

// A Link is a symbolic link.
type Link struct {
	Path   string `json:"path"`
	Target string `json:"target"`
}

// hostTrees are directories of programs: whoever has an account on the machine reads them. On a distribution with merged
// /usr all but the first are links (file-hierarchy(7)).
var hostTrees = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"}

// optEntries are added software; each of its own, so that one that is closed to others can be left out.
const optEntries = "/opt/*"

// hostEtc is what programs need of /etc to run, and no more: a list of what is secret there would never be complete. Not
// among it, for it may hold a password or a token: environment, profile, bashrc, profile.d, pip.conf, gitconfig, apt, nvidia, machine-id.
var hostEtc = []string{
	// the loader and the C library: ld.so(8), nsswitch.conf(5), getaddrinfo(3), getservbyname(3), tzset(3), locale(5)
	"ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld-musl-*.path", "passwd", "group", "nsswitch.conf", "host.conf", "gai.conf", "services", "protocols",
	"networks", "rpc", "localtime", "timezone", "locale.alias", "locale.conf", "default/locale",
	// names of the system
	"os-release", "debian_version", "lsb-release", "redhat-release", "system-release", "*-release", "alternatives",
	// certificates of authorities, and the rules of TLS; the private keys lie beside, in ssl/private and pki/tls/private
	"ssl/certs", "ssl/cert.pem", "ssl/openssl.cnf", "ca-certificates", "ca-certificates.conf", "crypto-policies",
	"pki/ca-trust", "pki/tls/certs", "pki/tls/cert.pem", "pki/tls/openssl.cnf",
	// shells and languages
	"inputrc", "shells", "terminfo", "python*", "perl", "java-*-openjdk", "mime.types", "fonts", "magic", "magic.mime",
	// accelerators and their networks
	"OpenCL", "vulkan", "glvnd", "egl", "nccl.conf", "libibverbs.d", "ascend_install.info", "hccn.conf",
}

// hostMasks are directories of hostTrees that are no programs: configuration and data by the FHS's rule for /usr/local,
// home directories where /home is a link to them, the /etc that an image-based system comes with (ostree, bootc: its shadow
// too), and systemd's credentials (systemd.exec(5), ImportCredential=).
var hostMasks = []string{"/usr/local/etc", "/usr/local/var", "/usr/home", "/usr/etc",
	"/usr/lib/credstore", "/usr/lib/credstore.encrypted", "/usr/local/lib/credstore", "/usr/local/lib/credstore.encrypted"}

// HostRootPaths are the paths of which a root without an image is made, as patterns of path.Match whose last element
// alone may be one. What is closed to others below /opt is not among it.
func HostRootPaths() []string {
	all := append(slices.Clone(hostTrees), optEntries)
	for _, name := range hostEtc {
		all = append(all, "/etc/"+name)
	}
	return append(all, hostMasks...)
}

func usesHostRoot(p *profiles.Profile) bool { return p.Rootfs == profiles.HostRoot }

// addHostRoot makes the root of the machine's own files: a directory of the container's own that holds links and mount
// points, read-only binds of system directories over it, and nothing else of the machine.
func (b *builder) addHostRoot() {
	if !usesHostRoot(b.p) {
		return
	}
	// Closed to others on the host: the container may leave a set-user-ID program in its root (CVE-2021-41091).
	b.addDirectory(Directory{Path: b.ownDirectory(), Mode: 0o700})
	b.root = &Root{Path: path.Join(b.ownDirectory(), "root"), Directories: []Directory{{Path: "/etc", Mode: 0o755}, {Path: "/var", Mode: 0o755}}}
	b.plan.Root = b.root
	// mtab is what /etc/mtab is everywhere since util-linux 2.19 (mount(8), "FILES").
	b.root.Links = []Link{{"/etc/mtab", "../proc/self/mounts"}, {"/var/run", "../run"}, {"/var/lock", "../run/lock"}}
	for _, e := range b.f.Image.Root {
		b.addRootEntry(e)
	}
	b.addPrivate()
	b.checkTargets()
}

// ownDirectory holds what the container may write to.
func (b *builder) ownDirectory() string { return path.Join(b.directory(), "own") }

func (b *builder) addRootEntry(e RootEntry) {
	if _, covered := b.coveredBy(e.Path); covered {
		return // what is mounted here would be made in the volume
	}
	switch {
	case slices.Contains(hostMasks, e.Path):
		b.addOfHost(specs.Mount{Destination: e.Path, Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "noexec", "mode=555", "size=4k", "ro"}})
	case e.Link != "":
		b.addRootDirectories(path.Dir(e.Path))
		b.root.Links = append(b.root.Links, Link{e.Path, e.Link})
	case !e.Dir:
		b.addOfHost(bindFile(e.Path, e.Path))
	case !b.p.ReadOnly && !strings.HasPrefix(e.Path, "/etc/") && overlayName(e.Path):
		b.addOverlay(e.Path)
		b.addMountsBelow(e)
	case b.recursiveReadOnly():
		b.addOfHost(bind(e.Path, e.Path, "rro", "nodev"))
	default: // a recursive bind would leave what is mounted below writable
		b.addReadOnly(e.Path)
		b.addMountsBelow(e)
	}
}

// addRootDirectories makes p and what is above it in the root.
func (b *builder) addRootDirectories(p string) {
	if p == "/" || slices.ContainsFunc(b.root.Directories, func(d Directory) bool { return d.Path == p }) {
		return
	}
	b.addRootDirectories(path.Dir(p))
	b.root.Directories = append(b.root.Directories, Directory{Path: p, Mode: 0o755})
}

// hideClosed covers what lies in the directories of the machine and is closed to others, as root in the container is root for it,
// and sockets. What the profile brings itself stays: below a mount of its own, with a mount in it, or the command that it names.
// What is hidden is no reason to make a container anew: sockets come and go.
func (b *builder) hideClosed() {
	if b.root == nil {
		return
	}
	for _, e := range b.f.Image.Root {
		for _, p := range e.Closed {
			if b.hidden(p) {
				b.spec.Linux.MaskedPaths = append(b.spec.Linux.MaskedPaths, p)
			}
		}
	}
}

func (b *builder) hidden(p string) bool {
	if len(b.args) > 0 && within(b.args[0], p) {
		return false
	}
	var over mount
	for _, m := range b.mounts {
		switch {
		case within(m.Destination, p):
			return false
		case within(p, m.Destination) && len(m.Destination) >= len(over.Destination):
			over = m
		}
	}
	return over.key == "rootfs" && over.Type != "tmpfs"
}

// addOfHost adds a mount that one of the profile replaces.
func (b *builder) addOfHost(m specs.Mount) {
	b.mounts = append(b.mounts, mount{Mount: m, origin: "host", key: "rootfs", replaceable: true})
}

// addReadOnly binds one file system of the host without those below it.
func (b *builder) addReadOnly(p string) {
	b.addOfHost(specs.Mount{Destination: p, Type: "bind", Source: p, Options: []string{"bind", "rprivate", "ro", "nodev"}})
}

func (b *builder) addMountsBelow(e RootEntry) {
	for _, p := range e.Mounts {
		if !slices.ContainsFunc(hostMasks, func(mask string) bool { return within(p, mask) }) {
			b.addReadOnly(p)
		}
	}
}

// overlayName reports whether a path can stand in overlayfs's options, which are joined by commas and colons.
func overlayName(p string) bool { return !strings.ContainsAny(p, ",:\\") }

// addOverlay gives the container a layer of its own over a directory of the host. It ends with the container.
func (b *builder) addOverlay(p string) {
	layer := path.Join(b.ownDirectory(), "layer", p)
	b.addDirectory(Directory{Path: layer + "/upper", Mode: 0o755})
	b.addDirectory(Directory{Path: layer + "/work", Mode: 0o755})
	b.addOfHost(specs.Mount{Destination: p, Type: "overlay", Source: "overlay",
		Options: []string{"nodev", "lowerdir=" + p, "upperdir=" + layer + "/upper", "workdir=" + layer + "/work"}})
}

// addPrivate gives the container what of a machine every program writes to: /run in memory, and scratch directories and a
// home directory, in memory too where the root is read-only. None of the machine's is seen in them.
func (b *builder) addPrivate() {
	b.addOfHost(scratch("/run", 0o755, 0, 0))
	homes := []Directory{{Path: "/tmp", Mode: 0o1777}, {Path: "/var/tmp", Mode: 0o1777}}
	if home := path.Clean(b.user.home); b.ownHome(home) {
		homes = append(homes, Directory{Path: home, Mode: 0o700, UID: b.user.uid, GID: b.user.gid})
	}
	for _, d := range homes {
		if _, covered := b.coveredBy(d.Path); covered {
			continue
		}
		if b.p.ReadOnly {
			b.addOfHost(scratch(d.Path, d.Mode, d.UID, d.GID))
		} else {
			b.addRootDirectories(path.Dir(d.Path))
			b.root.Directories = append(b.root.Directories, d)
		}
	}
}

// scratch is a file system in memory. Programs compile and load code in such places (torch.compile in /tmp, triton at home), so
// that it is not noexec.
func scratch(p string, mode, uid, gid uint32) specs.Mount {
	return specs.Mount{Destination: p, Type: "tmpfs", Source: "tmpfs",
		Options: []string{"nosuid", "nodev", fmt.Sprintf("mode=%o", mode), fmt.Sprintf("uid=%d", uid), fmt.Sprintf("gid=%d", gid)}}
}

// ownHome reports whether the user's home is a directory to make: those of system accounts are /, /bin, /dev, /nonexistent.
func (b *builder) ownHome(home string) bool {
	if !strings.HasPrefix(home, "/") || home == "/nonexistent" || b.ofHostRoot(home) {
		return false
	}
	return within(home, "/root") || within(home, "/home") || within(home, "/var/lib") && strings.Count(home, "/") > 2 ||
		strings.Count(home, "/") > 1 && !slices.ContainsFunc(systemDirs, func(d string) bool { return within(home, d) })
}

// ofHostRoot reports whether p is among what the root shows of the machine.
func (b *builder) ofHostRoot(p string) bool {
	for _, e := range b.f.Image.Root {
		if within(b.real(p), e.Path) && !slices.Contains(hostMasks, e.Path) && (e.Link == "" || p == e.Path) {
			return true
		}
	}
	return false
}

// checkTargets refuses a mount for which there is no place: in a read-only directory of the machine nothing can be made.
func (b *builder) checkTargets() {
	for _, v := range b.p.Volumes {
		if target := path.Clean(v.Target); b.lacksPlace(target) {
			b.report(v.Key, noPlace("choose another target, for example /data, or make the directory on the machine: mkdir -p "+shellQuote(target), target))
		}
	}
}

// lacksPlace reports whether a mount's target would have to be made in a read-only directory of the machine.
func (b *builder) lacksPlace(target string) bool {
	_, there := b.f.Image.Paths[target]
	_, covered := b.coveredBy(path.Dir(target))
	return !there && !covered && b.ofHostRoot(target) && (b.p.ReadOnly || strings.HasPrefix(target, "/etc/"))
}

func noPlace(remedy, target string, more ...string) finding.Finding {
	return finding.Finding{
		ID: finding.RootNoPlace, Severity: finding.Error, Subject: target,
		Got: "no " + strings.Join(append([]string{target}, more...), ", no ") + " on this machine", Want: "a target that exists, or one outside of the machine's system directories",
		Message: "nothing can be mounted at " + target + ": the root is made of this machine's own directories, read-only, and none of them has it",
		Remedy:  remedy,
	}
}
