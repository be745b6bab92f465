package plan

import (
	"fmt"
	"path"
	"slices"
	"sort"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"hostrun.dev/hostrun/finding"
)

// mount is one of the spec, with where it comes from.
type mount struct {
	specs.Mount
	origin      string
	key         string // the profile's, for findings
	replaceable bool   // a default, which a mount of the profile at the same place replaces, as in docker
}

// bind is a recursive bind mount that no later mount of the host gets into.
func bind(source, destination string, options ...string) specs.Mount {
	return specs.Mount{
		Destination: destination, Type: "bind", Source: source,
		Options: append([]string{"rbind", "rprivate"}, options...),
	}
}

// bindFile is how one file is bound: nothing can be mounted below it, so plain read-only is all that there is.
func bindFile(source, destination string) specs.Mount {
	return specs.Mount{
		Destination: destination, Type: "bind", Source: source,
		Options: []string{"bind", "rprivate", "ro", "nosuid", "nodev"},
	}
}

// borrowed is how the host's packages and toolkits are bound: the container can neither change them nor gain rights
// by them.
func (b *builder) borrowed(source, destination string) specs.Mount {
	return bind(source, destination, b.readOnly(true), "nosuid", "nodev")
}

// recursiveReadOnly reports whether "rro" works: runc 1.1 knows it, Linux 5.12 has mount_setattr(2).
func (b *builder) recursiveReadOnly() bool {
	return slices.Contains(b.f.Engine.MountOptions, "rro") && kernelAtLeast(b.f.Host.Kernel, 5, 12)
}

// readOnly is the option of a read-only mount. Plain "ro" leaves file systems that are mounted below it writable.
func (b *builder) readOnly(recursive bool) string {
	switch {
	case !recursive:
		return "ro"
	case b.recursiveReadOnly():
		return "rro"
	}
	if !slices.ContainsFunc(b.found, func(f finding.Finding) bool { return f.ID == finding.RuntimeTooOld }) {
		b.report("", finding.Finding{
			ID: finding.RuntimeTooOld, Severity: finding.Warning, Subject: "read-only mounts",
			Got:     b.f.Engine.OCIRuntime + ", Linux " + b.f.Host.Kernel,
			Want:    "runc 1.1 or crun 1.4, and Linux 5.12",
			Message: "file systems mounted below a read-only mount stay writable: the OCI runtime or the kernel does not know recursive read-only mounts",
			Remedy:  "upgrade runc",
		})
	}
	return "ro"
}

// addShm makes /dev/shm half of the memory, as the host's own is, and not docker's 64 MiB, which kill data loaders with a
// bus error. The share is given to the kernel as such: a number of bytes would differ after each boot.
func (b *builder) addShm() {
	source := ""
	switch {
	case b.p.IPC == "none":
		return
	case b.p.IPC == "host":
		source = "/dev/shm"
	case b.sharesIPC() != "":
		source = path.Join(b.ipcDirectory(), IPCSharedDirectory)
	}
	if source != "" {
		b.mounts = append(b.mounts, mount{
			Mount:  bind(source, "/dev/shm", "nosuid", "nodev", "noexec"),
			origin: b.fromProfile("ipc"), key: "ipc", replaceable: true,
		})
		if b.p.ShmSize != 0 && b.p.IPC == "host" {
			b.report("shm_size", finding.Finding{
				ID: finding.ProfileInvalid, Severity: finding.Error, Subject: "shm_size",
				Message: "shm_size has no effect together with ipc: host, which shares the host's /dev/shm",
				Remedy:  "remove one of the two",
			})
		}
		return
	}
	size, origin := "50%", "hostrun"
	if b.p.ShmSize > 0 {
		size, origin = fmt.Sprint(b.p.ShmSize), b.fromProfile("shm_size")
	}
	b.mounts = append(b.mounts, mount{
		Mount: specs.Mount{Destination: "/dev/shm", Type: "tmpfs", Source: "shm",
			Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=" + size}},
		origin: origin, replaceable: true,
	})
}

// real is where a destination leads in the image, as far as the facts tell.
func (b *builder) real(p string) string {
	p = path.Join("/", p)
	if at, ok := b.f.Image.Paths[p]; ok && at.Real != "" {
		return path.Join("/", at.Real)
	}
	if p == "/" {
		return p
	}
	return path.Join(b.real(path.Dir(p)), path.Base(p))
}

// coveredBy returns the mount of the profile or of hostrun that p lies in or at, if there is one.
func (b *builder) coveredBy(p string) (mount, bool) {
	p = b.real(p)
	for _, m := range b.mounts {
		if !m.replaceable && within(p, b.real(m.Destination)) {
			return m, true
		}
	}
	return mount{}, false
}

// within reports whether p is dir or lies below it.
func within(p, dir string) bool {
	return p == dir || dir == "/" || strings.HasPrefix(p, dir+"/")
}

// finishMounts settles who wins where, and writes the mounts into the spec: those nearer to the root first, else they
// would hide the deeper ones.
func (b *builder) finishMounts() {
	b.dropReplaced()
	b.checkConflicts()
	depth := func(m mount) int { return strings.Count(strings.TrimSuffix(b.real(m.Destination), "/"), "/") }
	sort.SliceStable(b.mounts, func(i, j int) bool { return depth(b.mounts[i]) < depth(b.mounts[j]) })
	for i, m := range b.mounts {
		b.spec.Mounts = append(b.spec.Mounts, m.Mount)
		b.plan.Origins["/mounts/"+itoa(i)] = m.origin
	}
}

func (b *builder) dropReplaced() {
	taken := map[string]bool{}
	for _, m := range b.mounts {
		if !m.replaceable {
			taken[b.real(m.Destination)] = true
		}
	}
	b.mounts = slices.DeleteFunc(b.mounts, func(m mount) bool { return m.replaceable && taken[b.real(m.Destination)] })
}

func (b *builder) checkConflicts() {
	first := map[string]mount{}
	for _, m := range b.mounts {
		at := b.real(m.Destination)
		other, taken := first[at]
		if !taken {
			first[at] = m
			continue
		}
		key := m.key
		if _, ok := b.position(key); !ok {
			key = other.key
		}
		b.report(key, finding.Finding{
			ID: finding.MountConflict, Severity: finding.Error, Subject: m.Destination,
			Got:     fmt.Sprintf("%s (%s) and %s (%s)", other.Source, other.origin, m.Source, m.origin),
			Message: "two mounts have the target " + at,
			Remedy:  "remove one of the two, or change its target",
		})
	}
}

// closed returns the first directory above p that the container's user can't traverse: its path and mode.
func (b *builder) closed(p string) (string, Path, bool) {
	if b.readsAll() {
		return "", Path{}, false
	}
	var above []string
	for dir := path.Dir(path.Join("/", p)); ; dir = path.Dir(dir) {
		above = append(above, dir)
		if dir == "/" {
			break
		}
	}
	slices.Reverse(above)
	for _, dir := range above {
		if at, ok := b.f.Image.Paths[dir]; ok && at.Dir && !b.coveredByBind(dir) && !b.mayEnter(at) {
			return dir, at, true
		}
	}
	return "", Path{}, false
}

// readsAll: root is held by no permission bits, as long as it has one of these (capabilities(7)).
func (b *builder) readsAll() bool {
	return b.user.uid == 0 && (!b.drops("CAP_DAC_OVERRIDE") || !b.drops("CAP_DAC_READ_SEARCH"))
}

// coveredByBind reports whether the container will not see the image's directory dir, but a mount.
func (b *builder) coveredByBind(dir string) bool {
	_, ok := b.coveredBy(dir)
	return ok
}

// mayEnter is the kernel's rule for search permission (path_resolution(7)).
func (b *builder) mayEnter(at Path) bool {
	switch {
	case at.UID == b.user.uid:
		return at.Mode&0o100 != 0
	case slices.Contains(b.user.groups, at.GID):
		return at.Mode&0o010 != 0
	}
	return at.Mode&0o001 != 0
}

// notTraversed is the finding about a destination below a closed directory.
func (b *builder) notTraversed(key, destination, dir string, at Path, severity finding.Severity) {
	b.report(key, finding.Finding{
		ID: finding.PathNotTraversed, Severity: severity, Subject: destination,
		Got:     fmt.Sprintf("%s of the image is %04o, owner %d:%d", dir, at.Mode, at.UID, at.GID),
		Want:    fmt.Sprintf("search permission (x) for user %d:%d", b.user.uid, b.user.gid),
		Message: fmt.Sprintf("the container's user %d can't reach %s, as %s is closed to it", b.user.uid, destination, dir),
		Remedy:  "mount it elsewhere, for example below /opt, or run as the owner of " + dir,
	})
}

func kernelAtLeast(release string, major, minor int) bool {
	var a, c int
	if n, _ := fmt.Sscanf(release, "%d.%d", &a, &c); n < 2 {
		return false
	}
	return a > major || a == major && c >= minor
}
